"""Which examples may be learned from: no tag, nothing that a screen keeps out, nothing said before.

Examples come in groups, one for each source: a correction's completion and its pair share one fate.
What is compared is an answer behind what was said last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from everloop.adaptation.filters import NearDuplicateFilter, Screen
from everloop.adaptation.tags import tag_in, texts_of
from everloop.adaptation.verdicts import digest
from everloop.contracts.voices import LearningTask, TrainingDataInstance

_ALIKE = 0.5
"""Jaccard similarity of 5-character shingles from which two answers of one group are not compared with
each other: a correction is often nearly what it corrects."""
_SHINGLE = 5
_COPY = "near_duplicate"


@dataclass(slots=True)
class _Known:
    """What was asked about before, and digests of what was admitted."""

    near: NearDuplicateFilter
    admitted: set[bytes] = field(default_factory=set)


class Admission:
    """Judges one build's examples in their order; held-out ones go first.

    Holds 16 bytes for every answer admitted, beside what the filter holds.

    Args:
        near_duplicates: an empty filter.
        apart: makes one more empty filter for each person, where a training is private: a promise about
            one person's rows says nothing of what becomes of another's because of them. A person's rows are
            then held against their own alone, and what belongs to nobody against what belongs to nobody.
    """

    def __init__(
        self,
        screen: Screen,
        near_duplicates: NearDuplicateFilter,
        apart: Callable[[], NearDuplicateFilter] | None = None,
    ) -> None:
        self._screen = screen
        self._shared = _Known(near_duplicates)
        self._apart = apart
        self._own: dict[str, _Known] = {}

    def _known(self, instance: TrainingDataInstance) -> _Known:
        if self._apart is None or instance.user_id is None:
            return self._shared
        if instance.user_id not in self._own:
            self._own[instance.user_id] = _Known(self._apart())
        return self._own[instance.user_id]

    def unfit(self, group: Sequence[TrainingDataInstance]) -> str:
        """``tag``, or the screen's reason, where one text is not fit; "" else."""
        if any(tag_in(instance) for instance in group):
            return "tag"
        return self._screen.reason(
            tuple(dict.fromkeys(text for instance in group for text in _others_texts(instance)))
        )

    def keep(self, group: Sequence[TrainingDataInstance]) -> None:
        """Remember what is held out, so that nothing like it is learned from."""
        near = self._known(group[0]).near
        for answer in _answers(group):
            near.seen(answer)

    def repeats(self, group: Sequence[TrainingDataInstance]) -> str:
        """``near_duplicate`` where something like it was admitted or held out before; "" else.

        Another person's thumb or comparison of the very words that were admitted is no repetition: it is
        another vote.
        """
        judged, known_to = [*_answers(group)], self._known(group[0])
        first = digest(judged[0])
        votes = group[0].task is not LearningTask.SFT and group[0].user_id is not None
        if not votes and first in known_to.admitted:
            return _COPY
        asked: list[str] = []
        for answer in judged:
            key = digest(answer)
            known = key in known_to.admitted or any(_alike(answer, other) for other in asked)
            if not known and known_to.near.seen(answer):
                return _COPY
            asked.append(answer)
        known_to.admitted.update(digest(answer) for answer in judged)
        return ""

    def is_new(self, instance: TrainingDataInstance) -> bool:
        """Whether the very words of a paraphrase were not admitted before; they are then."""
        key = digest(next(_answers((instance,))))
        admitted = self._known(instance).admitted
        if key in admitted:
            return False
        admitted.add(key)
        return True


def _others_texts(instance: TrainingDataInstance) -> Iterator[str]:
    """What people said and what was said to them; not what the product tells its voice."""
    told = {turn.content for turn in instance.prompt if turn.role == "system"}
    return (text for text in texts_of(instance) if text not in told)


def _answers(group: Sequence[TrainingDataInstance]) -> Iterator[str]:
    """Distinct answers of a group, each behind what was said last: what is wanted first."""
    found: dict[str, None] = {}
    for instance in group:
        said = instance.prompt[-1].content
        found.setdefault(f"{said}\n{instance.completion}")
        if instance.rejected is not None:
            found.setdefault(f"{said}\n{instance.rejected}")
    return iter(found)


def _alike(one: str, other: str) -> bool:
    a, b = _shingles(one), _shingles(other)
    return len(a & b) >= _ALIKE * len(a | b)


def _shingles(text: str) -> frozenset[str]:
    plain = " ".join(text.casefold().split())
    return frozenset(plain[n : n + _SHINGLE] for n in range(max(1, len(plain) - _SHINGLE + 1)))
