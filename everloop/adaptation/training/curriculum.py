"""Supervised phases: one adapter goes through all of them, and may be taken up again at any step."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save

from everloop.adaptation.training.checkpoints import newest_checkpoint
from everloop.adaptation.training.models import load_tokenizer, with_adapter
from everloop.adaptation.training.order import Rows, draw_replay, phase_order, steps_of
from everloop.adaptation.training.progress import Progress, silent
from everloop.adaptation.training.publish import (
    CONFIG,
    WEIGHTS,
    adapter_folder,
    distance,
    publish,
    publish_tensors,
    trained_tensors,
)
from everloop.adaptation.training.rendering import Renderer
from everloop.adaptation.training.row_file import RowTable, write_rows
from everloop.contracts.documents import read, sha256_of, to_json, write, write_atomically
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import PhaseSpec, VoiceSpec
from everloop.contracts.voices import AdapterFigures, PhaseFigures, StepLog, TrainingDataInstance

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

METHOD = "sft"
CHECKPOINT_STEPS = 20
"""Steps between two checkpoints; a killed training repeats fewer than these."""
_PHASE = "phase.json"
_ADAPTER = "adapter"
_BEGAN = "began.safetensors"
"""The weights that a phase began with."""


@dataclass(frozen=True, slots=True)
class _Phase:
    """A finished phase, as its folder keeps it."""

    figures: PhaseFigures
    steps: tuple[StepLog, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One phase before it runs: its rows in order, ``replayed`` of its ``examples`` earlier ones."""

    spec: PhaseSpec
    seed: int
    order: Rows
    examples: int
    replayed: int
    steps: int


def train_curriculum(
    base: BaseFolder,
    spec: VoiceSpec,
    instances: Iterable[TrainingDataInstance],
    out: Path,
    work: Path,
    seed: int,
    start_from: AdapterFolder | None = None,
    on_progress: Progress = silent,
    earlier: Iterable[TrainingDataInstance] = (),
    checkpoint_steps: int = CHECKPOINT_STEPS,
) -> AdapterFigures:
    """Train an adapter by the voice's curriculum and publish it in ``out``.

    A phase that no instance belongs to is passed over. Killed, and called again with the same arguments
    and folder ``work``, it gives the same bytes as if it had never stopped.

    Args:
        instances: those of the task SFT are learned from; read once.
        work: checkpoints and finished phases; may be deleted afterwards.
        seed: of a new adapter, the order of examples, replay and dropout.
        start_from: the adapter that goes on; None for a new one.
        on_progress: told of every step.
        earlier: instances of earlier nights, for replay alone.
        checkpoint_steps: steps between two checkpoints.

    Raises:
        ShouldCollectMoreData: no instance can be learned from.
        ShouldFixArgument: figures that are no numbers, a phase that restarted the adapter, or an adapter
            that did not move.
    """
    tokenizer = load_tokenizer(base)
    renderer = Renderer(tokenizer, min(spec.phases.max_length, base.context_tokens))
    work.mkdir(parents=True, exist_ok=True)
    rows = write_rows(instances, earlier, renderer, work / "rows.arrow")
    folder = _folder(work, base, spec, rows, seed, start_from)
    plans = _plans(spec, rows, seed)
    if not plans:
        raise ShouldCollectMoreData(
            f"No instance says what should have been said ({dict(renderer.left_out)} left out).",
            "Collect corrections or texts first.",
        )
    adapter, finished = start_from, list[_Phase]()
    for number, plan in enumerate(plans):
        place = folder / f"{number}-{plan.spec.name}"
        run = _Run(base, spec, tokenizer, rows, place, seed, checkpoint_steps, on_progress)
        finished.append(run.phase(plan, adapter))
        adapter = adapter_folder(place / _ADAPTER)
    began = load_file(folder / f"0-{plans[0].spec.name}" / _BEGAN)
    return _published(
        base, folder / f"{len(plans) - 1}-{plans[-1].spec.name}" / _ADAPTER, began, finished, out
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """What a phase is run with."""

    base: BaseFolder
    spec: VoiceSpec
    tokenizer: PreTrainedTokenizerBase
    rows: RowTable
    place: Path
    seed: int
    checkpoint_steps: int
    on_progress: Progress

    def phase(self, plan: _Plan, adapter: AdapterFolder | None) -> _Phase:
        """Run a phase, go on with it, or read what it became."""
        done = self.place / _PHASE
        if done.exists():
            return read(_Phase, done)
        from everloop.adaptation.training.supervised import (  # noqa: PLC0415
            Report,
            settings,
            step_log,
            trainer_of,
        )

        began = time.monotonic()
        model = with_adapter(self.base, self.spec.lora, self.seed, adapter)
        _require_continued(model, adapter, plan.spec.name)
        if not (self.place / _BEGAN).exists():
            write_atomically(save(trained_tensors(model)), self.place / _BEGAN)
        arguments = settings(
            self.spec.phases,
            plan.spec,
            plan.steps,
            self.place / "steps",
            plan.seed,
            self.checkpoint_steps,
        )
        trainer = trainer_of(
            model,
            self.tokenizer,
            self.rows.rows.select(plan.order),
            arguments,
            Report(plan.spec.name, self.on_progress),
        )
        trainer.train(resume_from_checkpoint=newest_checkpoint(self.place / "steps"))
        published = publish(model, self.base, self.place / _ADAPTER)
        logs = tuple(
            step_log(plan.spec.name, entry)
            for entry in trainer.state.log_history
            if "learning_rate" in entry
        )
        figures = PhaseFigures(
            phase=plan.spec.name,
            method=METHOD,
            examples=plan.examples,
            replayed=plan.replayed,
            steps=len(logs),
            warmup_steps=arguments.get_warmup_steps(plan.steps),
            peak_learning_rate=max(log.learning_rate for log in logs),
            max_grad_norm=arguments.max_grad_norm,
            effective_batch=arguments.train_batch_size
            * arguments.gradient_accumulation_steps
            * arguments.world_size,
            first_loss=logs[0].loss,
            last_loss=logs[-1].loss,
            tokens=int(self.rows.completions[plan.order].sum()),
            seconds=time.monotonic() - began,
            adapter_in=adapter.sha256 if adapter else "",
            adapter_out=published.sha256,
        )
        finished = _Phase(figures, logs)
        write(finished, done)
        shutil.rmtree(self.place / "steps")
        return finished


def _require_continued(model: PeftModel, adapter: AdapterFolder | None, phase: str) -> None:
    """The adapter in the model is, to the bit, the one that the phase goes on from."""
    if adapter is None:
        return
    stored = load_file(adapter.path / WEIGHTS)
    loaded = trained_tensors(model)
    if stored.keys() != loaded.keys() or distance(stored, loaded) != 0.0:
        raise ShouldFixArgument(
            f"Phase {phase} restarted the adapter: it holds other weights than {adapter.version}.",
            "Check the versions of peft and transformers.",
        )


def _plans(spec: VoiceSpec, rows: RowTable, seed: int) -> list[_Plan]:
    """The phases that have rows, each with its order."""
    curriculum = spec.phases
    batch = curriculum.batch_size * curriculum.accumulation
    plans: list[_Plan] = []
    seen: Rows = np.flatnonzero(rows.earlier)
    for number, phase in enumerate(curriculum.phases):
        own = rows.of(phase.categories)
        if not len(own):
            continue
        rng = np.random.default_rng([seed, number])
        # A phase of every category replays what it holds already only where other nights have more.
        outside = np.setdiff1d(seen, own)
        replay = draw_replay(outside, len(own), curriculum.replay_share, rng)
        joined = np.concatenate([own, replay])
        order = phase_order(joined, rows.lengths, phase.epochs, phase.max_steps, batch, rng)
        steps = steps_of(len(joined), phase.epochs, phase.max_steps, batch)
        phase_seed = int(rng.integers(2**31))
        plans.append(_Plan(phase, phase_seed, order, len(joined), len(replay), steps))
        seen = np.union1d(seen, own)
    return plans


def _published(
    base: BaseFolder,
    trained: Path,
    began: Mapping[str, torch.Tensor],
    finished: Sequence[_Phase],
    out: Path,
) -> AdapterFigures:
    after = load_file(trained / WEIGHTS)
    moved = distance(after, began)
    if not (math.isfinite(moved) and moved > 0.0):
        raise ShouldFixArgument(
            f"Training moved the adapter by {moved}.",
            "Check the phases' rates and the versions of trl and peft.",
        )
    config = json.loads((trained / CONFIG).read_text())
    published = publish_tensors(after, config, base, out)
    return AdapterFigures(
        base_sha256=base.sha256,
        adapter_sha256=published.sha256,
        phases=tuple(phase.figures for phase in finished),
        steps=tuple(step for phase in finished for step in phase.steps),
        moved=moved,
        parameters=sum(tensor.numel() for tensor in after.values()),
    )


def _folder(
    work: Path,
    base: BaseFolder,
    spec: VoiceSpec,
    rows: RowTable,
    seed: int,
    start_from: AdapterFolder | None,
) -> Path:
    """Where a training of exactly these terms keeps its state."""
    told = hashlib.sha256()
    told.update(to_json(replace(base, path=Path())))
    told.update(to_json(spec.phases) + to_json(spec.lora))
    told.update(f"{seed} {start_from.sha256 if start_from else ''} {torch.__version__}".encode())
    told.update(sha256_of(work / "rows.arrow").encode())
    told.update(to_json(list(rows.categories), list) + rows.earlier.tobytes())
    return work / told.hexdigest()[:16]
