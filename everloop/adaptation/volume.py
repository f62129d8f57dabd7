"""How much there is to learn from that was not learned yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from everloop.adaptation.taught import NOTHING, Taught
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackSource,
    FeedbackStatus,
    FeedbackType,
)
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.contracts.voices import (
    LearningTask,
    SignalVolume,
    SourceType,
    TrainingDataInstance,
    UserDataPackage,
)

PRAISED = 0.5
"""From here on an answer counts as praised, in [-1, 1]."""
_NOTHING_LEFT: Mapping[str, float] = MappingProxyType({})
_TEACHES = (FeedbackStatus.ACCEPTED, FeedbackStatus.RELEASED)


def volume_of(
    instances: Iterable[TrainingDataInstance],
    feedback: Iterable[SpokenFeedback],
    packages: Iterable[UserDataPackage],
    learned_until: datetime | None,
    golden_drop: float | None = None,
    forgets: int = 0,
    taught: Taught = NOTHING,
    undrawn: Mapping[str, float] = _NOTHING_LEFT,
    unseen: int = 0,
) -> SignalVolume:
    """Count what was not learned yet.

    An instance is new where it was not ``taught``, whenever it came: a reviewer may have released it since.
    Its weight is what it counts for; a paraphrase counts for nothing. What is heeded without training
    (traits, praise) is new where it came after ``learned_until``; None: always. People contradict
    themselves who ask for one trait both ways, or call one answer both good and bad.

    Args:
        instances: those that may be trained on.
        feedback, packages: of the people who teach.
        golden_drop, forgets, unseen: see ``SignalVolume``.
        undrawn: kind of signal -> what counts beside the instances; see ``DataFigures``.
    """
    people: set[str] = set()
    traits = praised = 0
    leanings: dict[tuple[str, str], set[bool]] = defaultdict(set)
    for row in feedback:
        said = row.feedback
        if row.disputed or said.status not in _TEACHES or not _is_new(said, learned_until):
            continue
        people.add(said.user_id)
        traits += any(each.trait is not None for each in said.interpretations)
        praised += _is_praised(said)
        for about, leaning in _leanings(said):
            leanings[said.user_id, about].add(leaning)
    for package in packages:
        if _after(package.received_at or package.timestamp, learned_until):
            people.add(package.user_id)
    sums = defaultdict[str, float](float, undrawn)
    for instance in instances:
        if counts(instance, taught):
            sums[signal_of(instance)] += instance.weight
            if instance.user_id is not None:
                people.add(instance.user_id)
    return SignalVolume(
        trait_signals=traits,
        praised=praised,
        corrections=sums["corrections"],
        own_texts=sums["own_texts"],
        pairs=sums["pairs"],
        thumbs_up=sums["up"],
        thumbs_down=sums["down"],
        corpus_rows=int(sums["corpus"]),
        people=len(people),
        contradictory_people=len({who for (who, _), both in leanings.items() if len(both) == 2}),
        golden_drop=golden_drop,
        forgets=forgets,
        unseen=unseen,
    )


def counts(instance: TrainingDataInstance, taught: Taught) -> bool:
    """Whether an example says something that was not learned yet; a paraphrase says nothing new."""
    return not instance.augmented and taught.is_new(instance)


def signal_of(instance: TrainingDataInstance) -> str:
    """Kind of signal that an example is counted among."""
    if instance.user_id is None:
        return "corpus"
    if instance.task is LearningTask.PREFERENCE:
        return "pairs"
    if instance.task is LearningTask.THUMB:
        return "up" if instance.liked else "down"
    return "corrections" if instance.source_type is SourceType.FEEDBACK else "own_texts"


def _is_new(said: FeedbackInstance, learned_until: datetime | None) -> bool:
    return _after(said.received_at or said.timestamp, learned_until)


def _after(moment: datetime, learned_until: datetime | None) -> bool:
    return learned_until is None or moment > learned_until


def _is_praised(said: FeedbackInstance) -> bool:
    if said.feedback_type is FeedbackType.CORRECTION:
        return True
    found = [each.value for each in said.interpretations if each.value is not None]
    return said.source is not FeedbackSource.IMPLICIT and bool(found) and max(found) >= PRAISED


def _leanings(said: FeedbackInstance) -> Iterable[tuple[str, bool]]:
    for each in said.interpretations:
        if each.trait is not None and each.adjustment:
            yield f"trait {each.trait}", each.adjustment > 0
        if each.value and said.log_id and said.source is not FeedbackSource.IMPLICIT:
            yield f"answer {said.log_id}", each.value > 0
