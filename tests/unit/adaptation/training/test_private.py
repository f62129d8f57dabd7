"""What one person can do to a private training, however much they wrote."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from everloop.adaptation.training import private
from everloop.adaptation.training.log_probabilities import TokenSequence, teach_scoring
from everloop.adaptation.training.models import load_tokenizer, with_adapter
from everloop.adaptation.training.private import (
    Gradient,
    PersonExamples,
    PrivateTerms,
    clipped_sum,
    noisy_mean,
    people_of,
    person_gradient,
    train_privately,
    with_counts,
)
from everloop.adaptation.training.private_release import released_file, restored
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.datasets import Float
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldRestoreArtefact,
)
from everloop.contracts.privacy import GaussianMechanism, Mechanism, SubsampledGaussianMechanism
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import VoicePrivacySpec
from everloop.contracts.voices import SourceType, TrainingDataInstance
from everloop.privacy.accounting import epsilon_of
from synthetic.audit.repeated import audit_repeated
from synthetic.noise import Noise, SealedNoise
from tests.voice_instances import pair, said, voice

SPEC = voice().model_copy(
    update={"privacy": VoicePrivacySpec(epsilon=1.0, examples_per_person=3, learning_rate=2e-3)}
)
CLIP = 0.01
FULL = GaussianMechanism(sigma=2.0, clip=CLIP, steps=1)
PEOPLE = tuple(f"person-{number}" for number in range(6))
TEXTS = tuple(said(number) for number in range(18))


def _terms(
    mechanism: Mechanism = FULL,
    people: Sequence[str] = PEOPLE,
    seed: bytes = b"s" * 32,
    noise: Noise | None = None,
) -> PrivateTerms:
    return PrivateTerms(
        mechanism=mechanism,
        people=tuple(people),
        people_expected=5,
        noise=noise or SealedNoise(seed, "adapter"),
        epsilon=1.0,
        delta=1e-5,
        release_id="release-1",
    )


def _silence(shape: tuple[int, ...]) -> Float:
    return np.zeros(shape)


class _Gradients:
    """Everybody's gradients at the start of a training, computed once."""

    def __init__(self, base: BaseFolder) -> None:
        self.model = with_adapter(base, SPEC.lora, 1)
        teach_scoring(self.model.get_base_model())
        self.model.eval()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self._renderer = Renderer(load_tokenizer(base), 256)

    def people(
        self, instances: Sequence[TrainingDataInstance], people: Sequence[str] = PEOPLE
    ) -> tuple[PersonExamples, ...]:
        return people_of(instances, people, 3, self._renderer)

    def of(self, person: PersonExamples) -> Gradient | None:
        return person_gradient(self.model, self.parameters, person.examples)


@pytest.fixture(scope="module")
def gradients(tiny_voice: BaseFolder) -> _Gradients:
    return _Gradients(tiny_voice)


def _flat(gradient: Gradient) -> Float:
    return np.concatenate([part.numpy().ravel() for part in gradient])


def _sum(gradients: _Gradients, people: Sequence[PersonExamples], clip: float = CLIP) -> Float:
    total, _ = clipped_sum(map(gradients.of, people), gradients.parameters, clip)
    return _flat(total)


@pytest.mark.parametrize("gone", [0, 3, 5])
def test_neighbours_differ_by_the_clip_and_no_more(gradients: _Gradients, gone: int) -> None:
    everybody = gradients.people(TEXTS)
    others = [person for at, person in enumerate(everybody) if at != gone]
    apart = float(np.linalg.norm(_sum(gradients, everybody) - _sum(gradients, others)))
    # Everybody is clipped here, so that it is the clip itself.
    assert apart == pytest.approx(CLIP, rel=1e-9)


def test_what_is_below_the_clip_is_left_alone(gradients: _Gradients) -> None:
    person = gradients.people(TEXTS)[0]
    whole = gradients.of(person)
    assert whole is not None
    assert _sum(gradients, [person], clip=1e6) == pytest.approx(_flat(whole))


def test_a_persons_many_examples_count_once(gradients: _Gradients) -> None:
    person = gradients.people(TEXTS)[0]
    one = replace(person, examples=person.examples[:1])
    many = replace(person, examples=person.examples[:1] * 40)
    alone, repeated = gradients.of(one), gradients.of(many)
    assert alone is not None
    assert repeated is not None
    assert _flat(repeated) == pytest.approx(_flat(alone), rel=0.02, abs=0.02)
    three = gradients.people([said(number, person="person-0") for number in range(30)])
    assert [len(each.examples) for each in three] == [3, 0, 0, 0, 0, 0]


def test_long_examples_weigh_like_short_ones(gradients: _Gradients) -> None:
    short = TokenSequence((5, 6), (7, 2))
    long = TokenSequence((5, 6), (*range(10, 60), 2))
    both = gradients.of(PersonExamples("p", (short, long)))
    each = [gradients.of(PersonExamples("p", (one,))) for one in (short, long)]
    assert both is not None
    assert each[0] is not None
    assert each[1] is not None
    mean = (_flat(each[0]) + _flat(each[1])) / 2
    assert _flat(both) == pytest.approx(mean, rel=0.05, abs=0.05)


def test_a_person_with_endless_gradients_counts_as_nobody(gradients: _Gradients) -> None:
    broken = [torch.full(p.shape, math.nan, dtype=torch.float64) for p in gradients.parameters]
    total, reached = clipped_sum(iter([broken, None]), gradients.parameters, CLIP)
    assert not reached
    assert not _flat(total).any()


def test_who_is_not_admitted_and_what_is_nobodys_is_left_out(gradients: _Gradients) -> None:
    corpus = replace(TEXTS[0], source_type=SourceType.CORPUS, user_id=None)
    stranger = said(1, person="stranger")
    found = gradients.people([corpus, stranger, pair(1), TEXTS[0]], ["person-0", "person-9"])
    assert [len(person.examples) for person in found] == [1, 0]
    with pytest.raises(ShouldCollectMoreData, match="None of 1 people"):
        gradients.people([corpus, stranger, pair(1)], ["person-0"])


def test_nobody_depends_on_anothers_weight_or_texts(gradients: _Gradients) -> None:
    lighter = [replace(each, weight=0.1) for each in TEXTS]
    assert gradients.people(lighter) == gradients.people(TEXTS)
    assert gradients.people(list(reversed(TEXTS))) == gradients.people(TEXTS)
    mine = [each for each in TEXTS if each.user_id == "person-2"]
    assert gradients.people(mine)[2] == gradients.people(TEXTS)[2]


def _made(gradients: _Gradients, bug: str):  # type: ignore[no-untyped-def]
    """One step as it ships or with a bug: the released numbers with a canary person or without."""
    ordinary = [gradients.of(person) for person in gradients.people(TEXTS)]
    canary = gradients.of(PersonExamples("canary", (TokenSequence((5, 6), (90, 91, 92, 2)),) * 20))
    clip = CLIP * (4 if bug == "clip ignored" else 1)
    factor = {"noise off": 0.0, "noise halved": 0.5}.get(bug, 1.0)

    def make(included: bool, noise: Noise) -> Float:
        people = [*ordinary, canary] if included else ordinary
        total, _ = clipped_sum(iter(people), gradients.parameters, clip)
        terms = _terms(noise=lambda shape: factor * noise(shape))
        return _flat(noisy_mean(total, terms))

    return make


@pytest.mark.parametrize("bug", ["", "noise off", "noise halved", "clip ignored"])
def test_the_audit_passes_what_ships_and_fails_every_bug(gradients: _Gradients, bug: str) -> None:
    most = CLIP / _terms().people_expected
    found = audit_repeated(
        "adapter",
        _made(gradients, bug),
        runs=200,
        deviation=FULL.sigma * most,
        most=most,
        epsilon=epsilon_of(FULL.mu_squared, 1e-5),
        delta=1e-5,
        seed=3,
        noise_seed=b"n" * 32,
    )
    assert found.passed == (bug == ""), found.problems


def test_a_killed_training_run_anew_is_the_same_release(
    tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    mechanism = SubsampledGaussianMechanism(sigma=1.0, clip=1.0, steps=3, sampling_rate=0.5)
    runs = [
        train_privately(tiny_voice, SPEC, TEXTS, _terms(mechanism, seed=seed), tmp_path / "out", 1)
        for seed in (b"a" * 32, b"a" * 32, b"b" * 32)
    ]
    adapters = [adapter.sha256 for adapter, _ in runs]
    assert adapters[0] == adapters[1] != adapters[2]
    figures = runs[0][1]
    assert (figures.epsilon, figures.delta, figures.release_id) == (1.0, 1e-5, "release-1")
    assert figures.moved > 0.0
    assert not figures.placebo
    assert [step.learning_rate for step in figures.steps] == pytest.approx([0.0, 2e-3, 1e-3])
    assert figures.phases[0].examples == 18
    assert all(math.isnan(step.loss) for step in figures.steps)


def test_each_step_learns_from_those_whom_it_drew(
    tiny_voice: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [[True, False, True, False, False, True], [False, False, False, True, True, False]]
    turns, asked = iter(drawn), list[tuple[TokenSequence, ...]]()

    def noted(model: torch.nn.Module, at: Sequence[torch.Tensor], examples: object) -> Gradient:
        asked.append(examples)  # type: ignore[arg-type]
        return [torch.ones(each.shape, dtype=torch.float64) for each in at]

    monkeypatch.setattr(private, "_sampled", lambda *_: np.array(next(turns)))
    monkeypatch.setattr(private, "person_gradient", noted)
    terms = _terms(GaussianMechanism(sigma=2.0, clip=CLIP, steps=2))
    train_privately(tiny_voice, SPEC, TEXTS, terms, tmp_path / "out", 1)
    renderer = Renderer(load_tokenizer(tiny_voice), SPEC.phases.max_length)
    everybody = people_of(TEXTS, PEOPLE, 3, renderer)
    assert asked == [everybody[at].examples for at in (0, 2, 5, 3, 4)]


def test_learning_reaches_the_adapter(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    mechanism = SubsampledGaussianMechanism(sigma=1e-6, clip=1.0, steps=8, sampling_rate=0.9)
    spec = SPEC.model_copy(
        update={"privacy": SPEC.privacy.model_copy(update={"learning_rate": 5e-3})}
    )
    adapter, _ = train_privately(tiny_voice, spec, TEXTS, _terms(mechanism), tmp_path / "out", 1)
    losses = []
    for start in (None, adapter):
        model = with_adapter(tiny_voice, SPEC.lora, 1, start).eval()
        found = people_of(TEXTS, PEOPLE, 3, Renderer(load_tokenizer(tiny_voice), 256))
        tokens = found[0].examples[0]
        ids = torch.tensor([[*tokens.prompt, *tokens.completion]])
        labels = torch.tensor([[-100] * len(tokens.prompt) + list(tokens.completion)])
        losses.append(float(model(input_ids=ids, labels=labels).loss.detach()))
    assert losses[1] < losses[0] - 0.3


def test_noise_alone_is_no_training(
    tiny_voice: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(_: object, parameters: Sequence[torch.Tensor], __: object) -> Gradient:
        return [torch.zeros(p.shape, dtype=torch.float64) for p in parameters]

    monkeypatch.setattr(private, "person_gradient", dead)
    with pytest.raises(ShouldFixArgument, match="No person's gradient reached"):
        train_privately(tiny_voice, SPEC, TEXTS, _terms(), tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_a_stored_release_is_published_again_to_the_same_bytes(
    tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    mechanism = replace(FULL, steps=2)
    adapter, figures = train_privately(
        tiny_voice, SPEC, TEXTS, _terms(mechanism), tmp_path / "out", 1
    )
    file = released_file(adapter, figures, tmp_path / "file")
    again, told = restored(file, tiny_voice, tmp_path / "again")
    assert again.sha256 == adapter.sha256
    assert (told.release_id, told.adapter_sha256) == ("release-1", adapter.sha256)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    same = released_file(again, told, tmp_path / "second")
    assert hashlib.sha256(same.read_bytes()).hexdigest() == digest
    with pytest.raises(ShouldRestoreArtefact, match="holds no private adapter"):
        restored(adapter.path / "adapter_model.safetensors", tiny_voice, tmp_path / "third")


def test_a_releases_file_does_not_count_anybody(
    tiny_voice: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two datasets one person apart, whose weights are equal: nothing but counts could tell them apart.
    renderer = Renderer(load_tokenizer(tiny_voice), SPEC.phases.max_length)
    added = people_of(TEXTS, PEOPLE[-1:], 3, renderer)[0].examples

    def gradient(model: object, at: Sequence[torch.Tensor], examples: object) -> Gradient | None:
        if examples == added:
            return None
        return person_gradient(model, at, examples)  # type: ignore[arg-type]

    monkeypatch.setattr(private, "person_gradient", gradient)
    files, counted, stored = [], [], []
    for name, people in (("all", PEOPLE), ("without", PEOPLE[:-1])):
        terms, out = _terms(people=people), tmp_path / name
        adapter, figures = train_privately(tiny_voice, SPEC, TEXTS, terms, out, 1)
        file = released_file(adapter, figures, tmp_path / f"{name}.release")
        files.append(file.read_bytes())
        assert figures.rows == figures.phases[0].examples
        counted.append((figures.rows, figures.phases[0].tokens, figures.people))
        _, told = restored(file, tiny_voice, tmp_path / f"{name}-again")
        again = with_counts(told, tiny_voice, SPEC, TEXTS, FULL, people)
        stored.append((again.rows, again.phases[0].tokens, again.people))
    assert counted[0][0] == counted[1][0] + 3
    assert counted[0][1] > counted[1][1]
    assert counted[0][2] == counted[1][2] + 1
    assert stored == counted
    assert files[0] == files[1]


@pytest.mark.parametrize("people", [("b", "a"), ("a", "a")])
def test_people_come_sorted_and_once(people: tuple[str, ...]) -> None:
    with pytest.raises(ShouldFixArgument, match="Take them from the reservation"):
        _terms(people=people)
