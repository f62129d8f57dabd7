"""What an adapter learned already, so that draw, count and training mean the same by "new"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from everloop.contracts.voices import LearningTask, SourceType, TrainingDataInstance


@dataclass(frozen=True, slots=True)
class Taught:
    """By default nothing.

    Attributes:
        lessons: task and source of every row that it was trained on. Not the rows' ids, which change with
            the turn that a prompt begins with; and with the task, since a correction's pair is new to who
            learned its completion alone.
        corpora: whether there is an adapter: corpora are learned with the first one, and what it learned of
            them is not kept row by row.
    """

    lessons: frozenset[tuple[LearningTask, str]] = frozenset()
    corpora: bool = False

    def is_new(self, row: TrainingDataInstance) -> bool:
        """Whether a row was not learned yet."""
        if row.source_type is SourceType.CORPUS:
            return not self.corpora
        return any((row.task, source) not in self.lessons for source in row.source_ids)


NOTHING = Taught()


def taught_by(learned: Iterable[TrainingDataInstance]) -> Taught:
    """What an adapter knows that was trained on these rows."""
    return Taught(
        frozenset((row.task, source) for row in learned for source in row.source_ids), corpora=True
    )
