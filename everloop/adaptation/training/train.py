"""One night's training of the adapter: the ways that the strategy chose, one after the other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from everloop.adaptation.training.best_of import Scorer
from everloop.adaptation.training.curriculum import train_curriculum
from everloop.adaptation.training.on_policy import tune_on_policy
from everloop.adaptation.training.preference import tune_preferences
from everloop.adaptation.training.private import PrivateTraining
from everloop.adaptation.training.progress import Progress, silent
from everloop.adaptation.training.publish import (
    CONFIG,
    WEIGHTS,
    adapter_folder,
    distance,
    publish_tensors,
    require_published,
)
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import PreferenceMethod, VoiceSpec
from everloop.contracts.voices import (
    AdapterFigures,
    LearningTask,
    PhaseFigures,
    StepLog,
    Strategy,
    StrategyChoice,
    TrainingDataInstance,
)

_ON_POLICY = (PreferenceMethod.RLOO, PreferenceMethod.GRPO)
_CHOSEN = {
    Strategy.PREFERENCE_PAIRS: PreferenceMethod.DPO,
    Strategy.PREFERENCE_THUMBS: PreferenceMethod.KTO,
}
_SUPERVISED = frozenset({Strategy.SFT, Strategy.FULL_RETRAINING})
_PREFERRED = frozenset(_CHOSEN)
_LEARNS_FROM = {
    **dict.fromkeys(_SUPERVISED, LearningTask.SFT),
    Strategy.PREFERENCE_PAIRS: LearningTask.PREFERENCE,
    Strategy.PREFERENCE_THUMBS: LearningTask.THUMB,
}


def tasks_of(choice: StrategyChoice, private: bool) -> frozenset[LearningTask]:
    """What a training learns from; a private one learns from completions alone."""
    if private:
        return frozenset({LearningTask.SFT})
    return frozenset(_LEARNS_FROM[way] for way in choice.chosen if way in _LEARNS_FROM)


def train_adapter(
    base: BaseFolder,
    spec: VoiceSpec,
    choice: StrategyChoice,
    instances: Sequence[TrainingDataInstance],
    out: Path,
    work: Path,
    seed: int,
    start_from: AdapterFolder | None = None,
    on_progress: Progress = silent,
    scorer: Scorer | None = None,
    private: PrivateTraining | None = None,
    earlier: Sequence[TrainingDataInstance] = (),
) -> AdapterFigures:
    """Train as the strategy says, and publish one adapter in ``out``.

    Supervised phases come first, preferences after them from the same adapter. A private training takes
    the place of both: what came after it without noise would undo it. Killed, and called again with the
    same arguments, it gives the same bytes.

    Args:
        instances: what is to be learned, of every task.
        work: checkpoints of unfinished trainings; may be deleted afterwards.
        start_from: the adapter that goes on; None for a new one.
        scorer: the reward model that on-policy learning needs.
        private: pays for and runs a private training; None trains without privacy.
        earlier: what ``start_from`` learned before: the supervised phases replay a share of it.

    Raises:
        ShouldCollectMoreData: nothing that was chosen has an example.
        ShouldFixArgument: what was trained is not one whole adapter for this base, or did not move.
    """
    if private is not None:
        published, figures = private(base, spec, instances, out, seed, start_from, on_progress)
        require_published(published, base)
        return figures
    ways, adapter = frozenset(choice.chosen), start_from
    phases, steps, moved = list[PhaseFigures](), list[StepLog](), 0.0
    if ways & _SUPERVISED:
        place = work / "supervised"
        taught = train_curriculum(
            *(base, spec, instances, place / "adapter", place / "work"),
            *(seed, start_from, on_progress, earlier),
        )
        adapter = adapter_folder(place / "adapter")
        phases, steps, moved = [*taught.phases], [*taught.steps], taught.moved
    if ways & _PREFERRED:
        place = work / "preferred"
        before = adapter
        terms = (place / "adapter", place / "work", seed, on_progress)
        if spec.preference.method in _ON_POLICY:
            tuned = tune_on_policy(base, adapter, spec, instances, scorer, *terms)
        else:
            chosen = next(method for way, method in _CHOSEN.items() if way in ways)
            tuned = tune_preferences(base, adapter, spec, instances, *terms, chosen)
        adapter = tuned[0]
        phases, steps = [*phases, *tuned[1]], [*steps, *tuned[2]]
        moved += _moved(_tensors(adapter), None if before is None else _tensors(before))
    if adapter is None or not phases:
        raise ShouldCollectMoreData(
            f"Of {', '.join(way.value for way in choice.chosen) or 'no way of learning'} nothing trains "
            "an adapter.",
            "Collect corrections, comparisons or thumbs first.",
        )
    if not (math.isfinite(moved) and moved > 0.0):
        raise ShouldFixArgument(
            f"Training moved the adapter by {moved}.",
            "Check the phases' rates and the versions of trl and peft.",
        )
    tensors = _tensors(adapter)
    published = publish_tensors(tensors, json.loads((adapter.path / CONFIG).read_text()), base, out)
    require_published(published, base)
    return AdapterFigures(
        base_sha256=base.sha256,
        adapter_sha256=published.sha256,
        phases=tuple(phases),
        steps=tuple(steps),
        moved=moved,
        parameters=sum(tensor.numel() for tensor in tensors.values()),
    )


def _tensors(adapter: AdapterFolder) -> Mapping[str, torch.Tensor]:
    return load_file(adapter.path / WEIGHTS)


def _moved(after: Mapping[str, torch.Tensor], before: Mapping[str, torch.Tensor] | None) -> float:
    """Norm of the change; of a new adapter that of B, which begins at 0."""
    if before is not None:
        return distance(after, before)
    squares = (t.double().square().sum() for name, t in after.items() if "lora_B" in name)
    return math.sqrt(float(sum(squares, torch.tensor(0.0))))
