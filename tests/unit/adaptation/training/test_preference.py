"""What preferences teach an adapter, step by step, and what is published of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from everloop.adaptation.training.log_probabilities import score_all, teach_scoring
from everloop.adaptation.training.models import load_tokenizer, with_adapter
from everloop.adaptation.training.preference import Tuned, tune_preferences
from everloop.adaptation.training.preference_examples import (
    choose_method,
    pair_examples,
    sequence_of,
    thumb_examples,
)
from everloop.adaptation.training.publish import publish_tensors
from everloop.adaptation.training.rendering import Renderer
from everloop.adaptation.training.train import train_adapter
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldRestoreArtefact,
)
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import PreferenceMethod, PreferenceSpec, StrategySpec
from everloop.contracts.voices import (
    SignalVolume,
    Strategy,
    StrategyChoice,
    TrainingDataInstance,
)
from tests.voice_instances import pair, said, thumb, voice

PAIRS = tuple(pair(number) for number in range(20))
THUMBS = tuple(thumb(number, number % 4 != 0) for number in range(20))
SPEC = voice()


@pytest.fixture(scope="module")
def tuned(tiny_voice: BaseFolder, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Pairs learned once, on a new adapter."""
    place = tmp_path_factory.mktemp("dpo")
    return tune_preferences(tiny_voice, None, SPEC, PAIRS, place / "out", place / "work", 3)


@pytest.mark.parametrize(
    ("method", "pairs", "thumbs", "expected"),
    [
        ("auto", 30, 0, "dpo"),
        ("auto", 30, 200, "dpo"),
        ("auto", 29, 100, "kto"),
        ("auto", 29, 99, "dpo"),
        ("auto", 0, 2, "kto"),
        ("dpo", 1, 200, "dpo"),
        ("kto", 200, 2, "kto"),
    ],
)
def test_the_method_follows_what_there_is(
    method: str, pairs: int, thumbs: int, expected: str
) -> None:
    spec = voice(PreferenceSpec(method=PreferenceMethod(method)))
    instances = [pair(n) for n in range(pairs)] + [thumb(n, n % 2 == 0) for n in range(thumbs)]
    choice = choose_method(spec, instances)
    assert choice.method.value == expected
    assert f"{pairs} pairs (effective {pairs:.1f} of 30)" in choice.reason


def test_what_the_strategy_chose_is_what_is_done() -> None:
    # By amounts alone it would be the other one, each time.
    few = [pair(n) for n in range(30)] + [thumb(n, n % 2 == 0) for n in range(4)]
    assert choose_method(SPEC, few).method is PreferenceMethod.DPO
    choice = choose_method(SPEC, few, PreferenceMethod.KTO)
    assert choice.method is PreferenceMethod.KTO
    assert choice.reason.startswith("the strategy takes kto")
    many = [pair(1)] + [thumb(n, n % 2 == 0) for n in range(100)]
    assert choose_method(SPEC, many).method is PreferenceMethod.KTO
    assert choose_method(SPEC, many, PreferenceMethod.DPO).method is PreferenceMethod.DPO
    with pytest.raises(ShouldCollectMoreData, match="nothing to learn from"):
        choose_method(SPEC, [pair(1)], PreferenceMethod.KTO)


@pytest.mark.parametrize(
    ("way", "method"),
    [(Strategy.PREFERENCE_PAIRS, "dpo"), (Strategy.PREFERENCE_THUMBS, "kto")],
)
def test_a_night_learns_in_the_way_that_was_chosen(
    tiny_voice: BaseFolder, tmp_path: Path, way: Strategy, method: str
) -> None:
    volume = SignalVolume(0, 0, 0.0, 0.0, 8.0, 4.0, 4.0, 0, 6)
    rows = [pair(n) for n in range(8)] + [thumb(n, n % 2 == 0) for n in range(8)]
    choice = StrategyChoice((way,), {}, {}, volume)
    figures = train_adapter(tiny_voice, SPEC, choice, rows, tmp_path / "o", tmp_path / "w", 3)
    assert [phase.method for phase in figures.phases] == [method]


def test_unreliable_pairs_count_less_for_the_choice() -> None:
    half = [pair(number, weight=0.5) for number in range(59)]
    thumbs = [thumb(number, number % 2 == 0) for number in range(100)]
    assert choose_method(SPEC, half + thumbs).method is PreferenceMethod.KTO
    enough = SPEC.model_copy(update={"strategy": StrategySpec(pairs_from=29)})
    assert choose_method(enough, half + thumbs).method is PreferenceMethod.DPO


@pytest.mark.parametrize(
    ("method", "instances"),
    [
        ("auto", [said(1)]),
        ("auto", [thumb(1, True), thumb(2, True)]),
        ("dpo", [thumb(1, True), thumb(2, False)]),
        ("kto", [pair(1)]),
    ],
)
def test_nothing_to_learn_from_is_said(method: str, instances: list[TrainingDataInstance]) -> None:
    with pytest.raises(ShouldCollectMoreData, match="nothing to learn from"):
        choose_method(voice(PreferenceSpec(method=PreferenceMethod(method))), instances)


@pytest.mark.parametrize("method", ["none", "rloo", "grpo"])
def test_other_methods_are_refused(method: str) -> None:
    with pytest.raises(ShouldFixArgument, match="auto, dpo or kto"):
        choose_method(voice(PreferenceSpec(method=PreferenceMethod(method))), PAIRS)


def test_weights_have_mean_one_and_rare_thumbs_weigh_more(tiny_voice: BaseFolder) -> None:
    renderer = Renderer(load_tokenizer(tiny_voice), 512)
    pairs = pair_examples([pair(1, 0.2), pair(2, 0.6)], renderer)
    assert [example.weight for example in pairs] == pytest.approx([0.5, 1.5])
    thumbs = thumb_examples([thumb(n, n > 0) for n in range(4)], renderer, seed=1)
    weights = {example.liked: example.weight for example in thumbs}
    assert weights == pytest.approx({True: 4 / 6, False: 2.0})
    assert all(example.said.completion[-1] == 2 for example in thumbs)
    assert all(example.mismatched.prompt == example.said.prompt for example in thumbs)
    assert all(example.mismatched.completion != example.said.completion for example in thumbs)


def test_both_answers_are_read_after_one_prompt(tiny_voice: BaseFolder) -> None:
    renderer = Renderer(load_tokenizer(tiny_voice), 60)
    long = replace(pair(1), rejected="no " * 20)
    (example,) = pair_examples([long], renderer)
    assert example.chosen.prompt == example.rejected.prompt
    assert max(len(example.chosen), len(example.rejected)) <= 60


def test_steps_are_logged_as_they_were_taken(tuned: Tuned) -> None:
    adapter, (phase,), steps = tuned
    assert (phase.method, phase.examples, phase.steps) == ("dpo", 20, 3)
    assert (phase.warmup_steps, phase.effective_batch, phase.max_grad_norm) == (1, 8, 1.0)
    assert phase.adapter_in == ""
    assert phase.adapter_out == adapter.sha256
    # A warm-up step from 0, then half a cosine over the two that are left.
    rates = [0.0, 5e-3, 5e-3 * 0.5 * (1 + math.cos(math.pi / 2))]
    assert [step.learning_rate for step in steps] == pytest.approx(rates)
    assert [step.step for step in steps] == [1, 2, 3]
    # Where the adapter is its own reference, every pair's loss is log 2.
    assert steps[0].loss == pytest.approx(math.log(2), abs=0.01)
    assert phase.peak_learning_rate == 5e-3
    assert "auto takes dpo" in phase.reason


@pytest.mark.parametrize(("rows", "rates"), [(8, [5e-3]), (9, [0.0, 5e-3])])
@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_as_few_as_one_batch_is_learned_from(
    tiny_voice: BaseFolder, tmp_path: Path, rows: int, rates: list[float], kind: str
) -> None:
    given = [pair(n) if kind == "dpo" else thumb(n, n % 2 == 0) for n in range(rows)]
    _, (phase,), steps = tune_preferences(
        tiny_voice, None, SPEC, given, tmp_path / "out", tmp_path / "work", 3
    )
    assert [step.learning_rate for step in steps] == rates
    assert (phase.method, phase.warmup_steps) == (kind, len(rates) - 1)


def test_gradients_of_the_first_step_are_those_of_the_formula(
    tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    spec = voice(
        PreferenceSpec(learning_rate=5e-3, beta=0.3, max_steps=2), batch_size=3, accumulation=1
    )
    instances = [pair(1, 0.2), pair(2, 0.6), pair(3, 0.7)]
    _, _, steps = tune_preferences(
        tiny_voice, None, spec, instances, tmp_path / "out", tmp_path / "work", 3
    )
    model = with_adapter(tiny_voice, spec.lora, 3).eval()
    renderer = Renderer(load_tokenizer(tiny_voice), 512)
    total = torch.zeros(())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for instance in instances:
            margin = _log_probability(model, instance, instance.completion, renderer)
            margin = margin - _log_probability(model, instance, instance.rejected or "", renderer)
            weight = instance.weight / 0.5
            total = total - weight * torch.nn.functional.logsigmoid(
                0.3 * (margin - margin.detach())
            )
    (total / 3).backward()
    slopes = [p.grad.double() for p in model.parameters() if p.grad is not None]
    norm = math.sqrt(sum(float(slope.square().sum()) for slope in slopes))
    assert steps[0].grad_norm == pytest.approx(norm, rel=0.02)
    assert norm > 0.01


def _log_probability(
    model: torch.nn.Module, instance: TrainingDataInstance, text: str, renderer: Renderer
) -> torch.Tensor:
    sequence = sequence_of(instance, text, renderer)
    assert sequence is not None
    ids = torch.tensor([[*sequence.prompt, *sequence.completion]])
    logits = model(input_ids=ids).logits[0].float().log_softmax(dim=-1)
    first = len(sequence.prompt)
    each = [logits[at - 1, ids[0, at]] for at in range(first, len(sequence))]
    return torch.stack(each).sum()


def test_memory_of_slices_changes_nothing(
    tiny_voice: BaseFolder, tmp_path: Path, tuned: Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.adaptation.training.log_probabilities.SLICE_TOKENS", 1)
    _, _, steps = tune_preferences(
        tiny_voice, None, SPEC, PAIRS, tmp_path / "out", tmp_path / "work", 3
    )
    norms = [step.grad_norm for step in tuned[2]]
    assert [step.grad_norm for step in steps] == pytest.approx(norms, rel=0.05)


def test_nothing_but_the_adapter_is_published_or_kept(tuned: Tuned) -> None:
    adapter, _, _ = tuned
    names = load_file(adapter.path / "adapter_model.safetensors").keys()
    assert names
    assert not [name for name in names if "ref" in name]
    kept = adapter.path.parent / "work"
    checkpoints = list(kept.glob("*/checkpoint-*"))
    assert checkpoints
    for folder in checkpoints:
        assert not (folder / "ref").exists()


def test_a_reference_among_the_tensors_is_not_published(
    tiny_voice: BaseFolder, tuned: Tuned, tmp_path: Path
) -> None:
    adapter, _, _ = tuned
    tensors = load_file(adapter.path / "adapter_model.safetensors")
    leaked = {
        name.replace("lora_A", "lora_A.ref"): value.clone() for name, value in tensors.items()
    }
    config = {"base_model_name_or_path": tiny_voice.name}
    with pytest.raises(ShouldRestoreArtefact, match="ref"):
        publish_tensors(tensors | leaked, config, tiny_voice, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_goes_on_from_the_adapter_which_is_the_reference(
    tiny_voice: BaseFolder, tmp_path: Path, tuned: Tuned
) -> None:
    first, _, _ = tuned
    second, (phase,), steps = tune_preferences(
        tiny_voice, first, SPEC, THUMBS[:12] + PAIRS, tmp_path / "out", tmp_path / "work", 4
    )
    assert phase.adapter_in == first.sha256
    assert second.sha256 != first.sha256
    assert steps[0].loss == pytest.approx(math.log(2), abs=0.01)
    margins = [_margin(tiny_voice, adapter) for adapter in (None, first, second)]
    assert margins[0] < margins[1] < margins[2]


def _margin(base: BaseFolder, adapter: AdapterFolder | None) -> float:
    model = with_adapter(base, SPEC.lora, 3, adapter)
    teach_scoring(model.get_base_model())
    examples = pair_examples(PAIRS, Renderer(load_tokenizer(base), 512))
    sequences = [e.chosen for e in examples] + [e.rejected for e in examples]
    found = score_all(model, sequences, 0, torch.device("cpu"))
    return sum(found[: len(examples)]) - sum(found[len(examples) :])


def test_thumbs_teach_by_kto(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    adapter, (phase,), steps = tune_preferences(
        tiny_voice, None, SPEC, THUMBS, tmp_path / "out", tmp_path / "work", 3
    )
    assert (phase.method, phase.steps, phase.effective_batch) == ("kto", 3, 8)
    # Where the adapter is its own reference, each loss is half of its weight.
    assert steps[0].loss == pytest.approx(0.5, abs=0.12)
    assert _margin(tiny_voice, adapter) > _margin(tiny_voice, None)


def test_training_that_moves_nothing_is_no_training(
    tiny_voice: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.adaptation.training.preference.distance", lambda *_: 0.0)
    still = voice(PreferenceSpec(learning_rate=5e-3, max_steps=1))
    with pytest.raises(ShouldFixArgument, match=r"moved the adapter by 0\.0"):
        tune_preferences(tiny_voice, None, still, PAIRS, tmp_path / "out", tmp_path / "work", 3)
    assert not (tmp_path / "out").exists()
