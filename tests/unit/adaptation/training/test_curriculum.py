"""Phases as they are logged, and the one adapter that goes through them."""

from __future__ import annotations

import dataclasses
import math
import os
import tracemalloc

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from everloop.adaptation.training import curriculum as module
from everloop.adaptation.training.curriculum import train_curriculum
from everloop.adaptation.training.models import with_adapter
from everloop.adaptation.training.publish import adapter_folder, require_published
from everloop.adaptation.training.row_file import RowTable
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldRestoreArtefact,
)
from everloop.contracts.model_folders import folder_sha256
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import (
    FEEDBACK,
    LARGE_CORPUS,
    Category,
    LoraSpec,
    PhaseSpec,
    Preset,
)
from everloop.contracts.voices import AdapterFigures, StepLog
from tests.voice_examples import correction, corrections, voice

SIZES = {
    Category.TECHNICAL: 9,
    Category.FACTUAL: 9,
    Category.INSTRUCTIONAL: 9,
    Category.TOOL: 9,
    Category.ANALYTICAL: 20,
    Category.ETHICAL: 20,
    Category.EMPATHETIC: 12,
    Category.CREATIVE: 12,
    Category.CONVERSATIONAL: 12,
}


def _rate(step: int, steps: int, peak: float) -> float:
    """Linear to the peak over 3 % of the steps, rounded up but not all; then half a cosine to 0. From 1."""
    done, warm = step - 1, min(math.ceil(0.03 * steps), steps - 1)
    if done < warm:
        return peak * done / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (done - warm) / (steps - warm)))


def _check_rates(figures: AdapterFigures, phases) -> None:
    for phase, ran in zip(phases, figures.phases, strict=True):
        logs = [log for log in figures.steps if log.phase == phase.name]
        assert [log.step for log in logs] == list(range(1, ran.steps + 1))
        expected = [_rate(log.step, ran.steps, phase.learning_rate) for log in logs]
        assert [log.learning_rate for log in logs] == pytest.approx(expected)
        assert ran.peak_learning_rate == phase.learning_rate
        assert ran.warmup_steps == math.ceil(0.03 * ran.steps)
        assert ran.max_grad_norm == 1.0
        assert ran.effective_batch == 32
        assert (ran.first_loss, ran.last_loss) == (logs[0].loss, logs[-1].loss)
        assert all(log.grad_norm > 0 for log in logs)


@pytest.fixture(scope="module")
def large(tiny_voice: BaseFolder, tmp_path_factory: pytest.TempPathFactory):
    """The large-corpus preset as it is."""
    place = tmp_path_factory.mktemp("large")
    spec = voice().model_copy(update={"preset": Preset.LARGE_CORPUS})
    rows = [row for category, count in SIZES.items() for row in corrections(count, category)]
    told: list[tuple[StepLog, int]] = []
    figures = train_curriculum(
        tiny_voice,
        spec,
        rows,
        place / "out",
        place / "work",
        3,
        on_progress=lambda log, steps: told.append((log, steps)),
    )
    return figures, place, told


def test_the_large_corpus_preset_is_trained_as_it_says(large):
    figures, _, told = large

    _check_rates(figures, LARGE_CORPUS.phases)
    assert [phase.phase for phase in figures.phases] == [
        "foundation",
        "analytical",
        "empathic_creative",
        "mixed",
        "fine_tuning",
    ]
    assert [phase.peak_learning_rate for phase in figures.phases] == [
        2e-5,
        1.5e-5,
        1e-5,
        5e-6,
        3e-6,
    ]
    assert tuple(log for log, _ in told) == figures.steps
    assert [steps for _, steps in told[:4]] == [2, 2, 2, 2]


def test_each_phase_goes_on_from_the_one_before(large):
    figures, place, _ = large

    assert figures.phases[0].adapter_in == ""
    for before, after in zip(figures.phases, figures.phases[1:], strict=False):
        assert after.adapter_in == before.adapter_out
    assert len({phase.adapter_out for phase in figures.phases}) == 5
    assert figures.phases[-1].adapter_out == figures.adapter_sha256 == folder_sha256(place / "out")


def test_later_phases_replay_earlier_ones(large):
    figures, _, _ = large

    # 36 rows; 40 and a tenth of all replayed; 36 likewise; every row is its own at the end.
    assert [(p.examples, p.replayed) for p in figures.phases] == [
        (36, 0),
        (44, 4),
        (40, 4),
        (112, 0),
        (112, 0),
    ]


def test_what_is_published_is_the_adapter_alone(large, tiny_voice):
    _, place, _ = large
    folder = adapter_folder(place / "out")

    require_published(folder, tiny_voice)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    tensors = load_file(folder.path / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert not any("ref" in name or "default" in name for name in tensors)


def test_the_feedback_preset_is_trained_as_it_says(tiny_voice, tmp_path):
    figures = train_curriculum(
        tiny_voice, voice(), corrections(40), tmp_path / "out", tmp_path / "work", 1
    )

    _check_rates(figures, FEEDBACK.phases)
    assert figures.phases[0].peak_learning_rate == 2e-4
    assert figures.phases[0].steps == 4  # 3 x 40 / 32
    assert figures.moved > 0
    assert figures.parameters == sum(
        tensor.numel()
        for tensor in load_file(tmp_path / "out" / "adapter_model.safetensors").values()
    )


TWO_STEPS = PhaseSpec(name="only", learning_rate=1e-3, max_steps=2)


def test_an_adapter_goes_on_and_earlier_nights_are_replayed(tiny_voice, tmp_path):
    spec = voice([TWO_STEPS])
    first = train_curriculum(tiny_voice, spec, corrections(9), tmp_path / "a", tmp_path / "w", 1)
    started = adapter_folder(tmp_path / "a")

    second = train_curriculum(
        tiny_voice,
        spec,
        corrections(9, Category.CREATIVE),
        tmp_path / "b",
        tmp_path / "w",
        1,
        start_from=started,
        earlier=corrections(9),
    )

    assert second.phases[0].adapter_in == first.adapter_sha256
    assert (second.phases[0].examples, second.phases[0].replayed) == (10, 1)
    before, after = (
        load_file(tmp_path / name / "adapter_model.safetensors") for name in ("a", "b")
    )
    moved = math.sqrt(sum(float((after[k] - before[k]).square().sum()) for k in after))
    assert second.moved == pytest.approx(moved, rel=1e-5)


def test_nothing_to_learn_from_is_said(tiny_voice, tmp_path):
    long = correction("Hello?", "long answer " * 400)

    with pytest.raises(ShouldCollectMoreData, match="too_long"):
        train_curriculum(tiny_voice, voice(), [long], tmp_path / "out", tmp_path / "work", 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("steps", [1, 2])
def test_a_phase_of_few_steps_learns_at_its_peak(tiny_voice, tmp_path, steps):
    phase = TWO_STEPS.model_copy(update={"max_steps": steps})
    figures = train_curriculum(
        tiny_voice, voice([phase]), corrections(4), tmp_path / "out", tmp_path / "work", 1
    )

    assert [log.learning_rate for log in figures.steps] == [0.0, 1e-3][-steps:]
    assert figures.phases[0].peak_learning_rate == 1e-3
    assert figures.moved > 0


def test_an_adapter_that_did_not_move_is_an_error(tiny_voice, tmp_path, monkeypatch):
    spec = voice([PhaseSpec(name="only", learning_rate=1e-3, max_steps=1)])
    monkeypatch.setattr(module, "distance", lambda *_: 0.0)

    with pytest.raises(ShouldFixArgument, match=r"moved the adapter by 0\.0"):
        train_curriculum(tiny_voice, spec, corrections(4), tmp_path / "out", tmp_path / "work", 1)
    assert not (tmp_path / "out").exists()


def test_a_phase_that_restarted_the_adapter_is_an_error(tiny_voice, tmp_path, monkeypatch):
    def anew(base, lora, seed, start_from=None):
        return with_adapter(base, lora, seed)

    monkeypatch.setattr(module, "with_adapter", anew)
    spec = voice([TWO_STEPS, TWO_STEPS.model_copy(update={"name": "second"})])

    with pytest.raises(ShouldFixArgument, match="Phase second restarted the adapter"):
        train_curriculum(tiny_voice, spec, corrections(4), tmp_path / "out", tmp_path / "work", 1)


def test_an_adapter_of_another_shape_cannot_go_on(tiny_voice, tmp_path):
    spec = voice([TWO_STEPS])
    train_curriculum(tiny_voice, spec, corrections(4), tmp_path / "a", tmp_path / "w", 1)

    with pytest.raises(ShouldFixArgument, match="has the shape"):
        with_adapter(tiny_voice, LoraSpec(r=4), 1, adapter_folder(tmp_path / "a"))


def test_a_base_that_changed_is_refused(tiny_voice, tmp_path):
    changed = dataclasses.replace(tiny_voice, sha256="0" * 64)

    with pytest.raises(ShouldRestoreArtefact, match="was expected"):
        train_curriculum(
            changed, voice([TWO_STEPS]), corrections(4), tmp_path / "a", tmp_path / "w", 1
        )


def test_a_training_is_known_by_its_rows_which_are_never_whole_in_memory(tmp_path, tiny_voice):
    rows = RowTable(
        Dataset.from_dict({}), np.array([1]), np.array([1]), (Category.TOOL,), np.array([False])
    )
    file = tmp_path / "rows.arrow"

    def folder():
        return module._folder(tmp_path, tiny_voice, voice(), rows, 1, None)

    def written(last: bytes):
        with file.open("wb") as stream:
            stream.truncate(64 * 1024 * 1024)
            stream.seek(-1, os.SEEK_END)
            stream.write(last)

    written(b"a")
    first = folder()
    tracemalloc.start()
    try:
        assert folder() == first
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
    written(b"b")
    assert folder() != first
