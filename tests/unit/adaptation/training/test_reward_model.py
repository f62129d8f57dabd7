"""What a reward model learns, what it says of itself, and whom it lets win."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from everloop.adaptation.training.best_of import best_of_n
from everloop.adaptation.training.reward_model import accuracy_of, train_reward_model
from everloop.adaptation.training.reward_weights import (
    RewardScorer,
    reward_tensors,
    save_reward_model,
    unpack_scorer,
    with_reward_head,
)
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.speaking import BaseFolder, SpeakRequest
from everloop.contracts.voice_spec import RewardModelSpec, VoiceSpec
from everloop.contracts.voices import Message, RewardModelFigures, TrainingDataInstance
from tests.fake_speaker import FakeSpeaker
from tests.voice_instances import asked, curt, pair, said, voice, warm

PAIRS = tuple(pair(number, person=f"person-{number % 9}") for number in range(40))
JUDGING = tuple(pair(number, person=f"judge-{number % 3}") for number in range(40, 50))
Trained = tuple[Path, RewardModelFigures]


def _spec(min_comparisons: int = 40, rate: float = 5e-3) -> VoiceSpec:
    return voice(batch_size=8, accumulation=1).model_copy(
        update={
            "reward_model": RewardModelSpec(min_comparisons=min_comparisons, learning_rate=rate)
        }
    )


@pytest.fixture(scope="module")
def trained(tiny_voice: BaseFolder, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A reward model of the planted preference."""
    place = tmp_path_factory.mktemp("reward")
    figures = train_reward_model(
        tiny_voice, _spec(), PAIRS, JUDGING, place / "out", place / "work", seed=1
    )
    return place / "out", figures


def test_it_tells_the_preferred_answers_of_people_it_never_met(trained: Trained) -> None:
    _, figures = trained
    assert figures.refused == ""
    assert (figures.train_people, figures.train_pairs) == (9, 40)
    assert (figures.held_out_people, figures.held_out_pairs) == (3, 10)
    assert figures.moved > 0.0
    accuracy = figures.accuracy
    assert accuracy is not None
    assert (accuracy.n, accuracy.clusters) == (10, 3)
    # Wilson by hand, with as many trials as people, every one of them right.
    z = 1.959963984540054
    assert accuracy.value == 1.0
    assert accuracy.low == pytest.approx(3 / (3 + z * z))
    assert len(figures.steps) == 5
    assert figures.steps[0].learning_rate == 0.0


@pytest.mark.parametrize(("pairs", "rates"), [(8, [5e-3]), (9, [0.0, 5e-3])])
def test_a_reward_model_of_one_step_or_two_learns_at_its_rate(
    tiny_voice: BaseFolder, tmp_path: Path, pairs: int, rates: list[float]
) -> None:
    spec = _spec(min_comparisons=8, rate=5e-3)
    figures = train_reward_model(
        tiny_voice, spec, PAIRS[:pairs], JUDGING, tmp_path / "out", tmp_path / "work", seed=1
    )
    assert [step.learning_rate for step in figures.steps] == rates
    assert figures.moved > 0.0


def test_flipped_comparisons_are_judged_wrong(tiny_voice: BaseFolder, trained: Trained) -> None:
    folder, figures = trained
    flipped = [
        replace(each, completion=each.rejected or "", rejected=each.completion) for each in PAIRS
    ]
    scorer = RewardScorer(tiny_voice, folder, figures.sha256)
    assert accuracy_of(scorer, flipped, _spec()).value < 0.1


@pytest.mark.parametrize(
    ("pairs", "judging", "reason"),
    [
        (PAIRS[:39], JUDGING, "39 comparisons to learn from, fewer than 40"),
        ((*PAIRS[:9], *(said(at) for at in range(50))), JUDGING, "9 comparisons"),
        (PAIRS, (), "nothing can judge"),
        (PAIRS, (said(1, person="judge-1"),), "nothing can judge"),
    ],
)
def test_too_little_is_a_refusal_and_no_error(
    tiny_voice: BaseFolder,
    tmp_path: Path,
    pairs: tuple[TrainingDataInstance, ...],
    judging: tuple[TrainingDataInstance, ...],
    reason: str,
) -> None:
    figures = train_reward_model(
        tiny_voice, _spec(), pairs, judging, tmp_path / "out", tmp_path / "work", seed=1
    )
    assert reason in figures.refused
    assert (figures.sha256, figures.accuracy, figures.steps) == ("", None, ())
    assert not (tmp_path / "out").exists()


def test_nobody_teaches_and_judges(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    with pytest.raises(ShouldFixArgument, match="1 people would both teach"):
        train_reward_model(
            tiny_voice, _spec(), PAIRS, PAIRS[:1], tmp_path / "out", tmp_path / "work", seed=1
        )


def test_answers_that_cannot_be_read_never_win(tiny_voice: BaseFolder, trained: Trained) -> None:
    folder, figures = trained
    scorer = RewardScorer(tiny_voice, folder, figures.sha256)
    answers = ["", "  ", "so " * 600, warm(1), curt(1)]
    scores = scorer.score([asked(1)] * 5, answers)
    assert scores[:3] == (-math.inf,) * 3
    assert scores[3] > scores[4] > -math.inf
    assert scorer.score([asked(1)], [warm(1)])[0] == pytest.approx(scores[3], abs=0.05)
    with pytest.raises(ShouldFixArgument, match="2 prompts and 1 completions"):
        scorer.score([asked(1)] * 2, ["yes"])


def test_a_folder_is_its_checksum_and_its_base(
    tiny_voice: BaseFolder, trained: Trained, tmp_path: Path
) -> None:
    folder, figures = trained
    with pytest.raises(ShouldRestoreArtefact, match="was expected"):
        RewardScorer(tiny_voice, folder, "0" * 64)
    with pytest.raises(ShouldFixArgument, match="Train it anew"):
        RewardScorer(replace(tiny_voice, sha256="0" * 64), folder, figures.sha256)
    broken = with_reward_head(tiny_voice, _spec().lora, seed=1)
    with torch.no_grad():
        next(p for p in broken.parameters() if p.requires_grad).fill_(math.nan)
    with pytest.raises(ShouldRestoreArtefact, match="is not finite"):
        save_reward_model(broken, tiny_voice, _spec(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_learns_is_the_adapter_and_the_head(tiny_voice: BaseFolder) -> None:
    model = with_reward_head(tiny_voice, _spec().lora, seed=1)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in name or "score" in name for name in learning)
    assert any("score" in name for name in learning)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert any(name.endswith("score.weight") for name in reward_tensors(model))
    same = reward_tensors(with_reward_head(tiny_voice, _spec().lora, seed=1))
    assert all(torch.equal(value, same[name]) for name, value in reward_tensors(model).items())


class _Longest:
    def score(
        self, prompts: list[tuple[Message, ...]], completions: list[str]
    ) -> tuple[float, ...]:
        return tuple(float(len(text)) for text in completions)


class _Indifferent:
    def score(
        self, prompts: list[tuple[Message, ...]], completions: list[str]
    ) -> tuple[float, ...]:
        return (0.0,) * len(completions)


def test_the_best_of_n_scores_highest_in_one_batch() -> None:
    speaker = FakeSpeaker(says=lambda request: "a" * (request.seed % 7 + 1))
    request = SpeakRequest((Message("user", "hello"),), seed=3)
    assert best_of_n(speaker, _Longest(), request, 5).text == "a" * 7
    assert [each.seed for each in speaker.asked] == [3, 4, 5, 6, 7]
    assert best_of_n(speaker, _Indifferent(), request, 5).text == "a" * 4
    assert best_of_n(speaker, _Longest(), request, 1).text == "a" * 4
    with pytest.raises(ShouldFixArgument, match="n=0"):
        best_of_n(speaker, _Longest(), request, 0)


def test_what_a_registry_keeps_is_loaded_by_its_checksum(
    tiny_voice: BaseFolder, trained: Trained, tmp_path: Path
) -> None:
    folder, figures = trained
    files = {path.name: path for path in folder.iterdir()}
    prompts, answers = [asked(1)] * 2, [warm(1), curt(1)]
    kept = unpack_scorer(files, tiny_voice, figures.sha256, tmp_path / "cache")
    own = RewardScorer(tiny_voice, folder, figures.sha256)
    assert kept.score(prompts, answers) == own.score(prompts, answers)
    (made,) = (tmp_path / "cache").iterdir()
    (made / "reward_model.json").write_text("{}")
    unpack_scorer(files, tiny_voice, figures.sha256, tmp_path / "cache")
    with pytest.raises(ShouldRestoreArtefact, match="was expected"):
        unpack_scorer(files, tiny_voice, "0" * 64, tmp_path / "cache")
    with pytest.raises(ShouldRestoreArtefact, match="has no file reward_model"):
        unpack_scorer({}, tiny_voice, figures.sha256, tmp_path / "cache")
