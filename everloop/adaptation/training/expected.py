"""How many optimiser steps a night may take, told before the first one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from everloop.adaptation.training.order import replayed_of, steps_of
from everloop.contracts.voice_spec import Category, PreferenceMethod, VoiceSpec
from everloop.contracts.voices import (
    LearningTask,
    Strategy,
    StrategyChoice,
    TrainingDataInstance,
)

ANSWERS = 4
"""That on-policy learning draws for a prompt, each an example of its step."""
_SUPERVISED = frozenset({Strategy.SFT, Strategy.FULL_RETRAINING})
_LEARNS_FROM = {
    Strategy.PREFERENCE_PAIRS: LearningTask.PREFERENCE,
    Strategy.PREFERENCE_THUMBS: LearningTask.THUMB,
}
_ON_POLICY = (PreferenceMethod.RLOO, PreferenceMethod.GRPO)


def expected_steps(
    spec: VoiceSpec, choice: StrategyChoice, instances: Iterable[TrainingDataInstance]
) -> int:
    """Optimiser steps of the candidate, where nothing of the examples was learned before; 0 where nothing
    trains.

    What a version learned already is replayed in part, so that a later night takes fewer. The placebo takes
    as many.

    Args:
        instances: what the night may learn from.
    """
    ways = frozenset(choice.chosen)
    if not ways & (_SUPERVISED | _LEARNS_FROM.keys()):
        return 0
    if spec.privacy.epsilon is not None:
        return spec.privacy.steps
    rows = Counter((each.task, each.category) for each in instances)
    tasks = Counter[LearningTask]()
    for (task, _), count in rows.items():
        tasks[task] += count
    steps = 0
    if ways & _SUPERVISED:
        supervised = {c: n for (task, c), n in rows.items() if task is LearningTask.SFT}
        steps += _of_curriculum(spec, supervised)
    chosen = next((task for way, task in _LEARNS_FROM.items() if way in ways), None)
    if chosen is not None:
        found = tasks[chosen]
        if spec.preference.method in _ON_POLICY:
            found = ANSWERS * tasks.total()
        steps += steps_of(found, spec.preference.epochs, spec.preference.max_steps, _batch(spec))
    return steps


def _of_curriculum(spec: VoiceSpec, rows: dict[Category, int]) -> int:
    """Of all phases; a later one replays a share of what earlier ones held and it does not."""
    steps, seen = 0, set[Category]()
    for phase in spec.phases.phases:
        taken: Collection[Category] = phase.categories or tuple(rows)
        own = sum(rows.get(category, 0) for category in taken)
        if own == 0:
            continue
        outside = sum(rows.get(category, 0) for category in seen.difference(taken))
        replayed = min(replayed_of(own, spec.phases.replay_share), outside)
        steps += steps_of(own + replayed, phase.epochs, phase.max_steps, _batch(spec))
        seen.update(taken)
    return steps


def _batch(spec: VoiceSpec) -> int:
    return spec.phases.batch_size * spec.phases.accumulation
