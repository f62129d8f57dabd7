"""Counts what comes in, what is left out and what stays, for ``DataFigures``."""

from __future__ import annotations

from collections import Counter, defaultdict

from everloop.adaptation.categories import dominating, shares
from everloop.contracts.voice_spec import Category, DataSpec
from everloop.contracts.voices import DataFigures, SourceType, TrainingDataInstance


class DataTally:
    """Counters of one build; holds people's pseudonyms and no text."""

    def __init__(self) -> None:
        self._removed: Counter[str] = Counter()
        self._tasks: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._categories: Counter[Category] = Counter()
        self._people: set[str] = set()
        self._judges: set[str] = set()
        self._licenses: dict[str, str] = {}
        self._augmented = 0
        self._unseen = 0
        self._held_out: Counter[str] = Counter()
        self._undrawn: defaultdict[str, float] = defaultdict(float)

    def removed(self, reason: str, rows: int = 1) -> None:
        """Rows that were left out."""
        self._removed[reason] += rows

    def undrawn(self, kind: str, weight: float) -> None:
        """What an example counts for that could be learned from, and will not be this time."""
        self._undrawn[kind] += weight

    def unseen(self, rows: int) -> None:
        """New rows of people who teach that nobody looked at."""
        self._unseen += rows

    def judges(self, instance: TrainingDataInstance) -> None:
        """An example of somebody who is held out."""
        self._held_out[instance.task.value] += 1
        if instance.user_id is not None:
            self._judges.add(instance.user_id)

    def teaches(self, instance: TrainingDataInstance) -> None:
        """An example to learn from."""
        self._tasks[instance.task.value] += 1
        self._sources[instance.source_type.value] += 1
        self._categories[instance.category] += 1
        self._augmented += bool(instance.augmented)
        if instance.user_id is not None:
            self._people.add(instance.user_id)
        if instance.source_type is SourceType.CORPUS:
            corpus = str(instance.metadata.get("corpus", instance.source_ids[0]))
            self._licenses[corpus] = str(instance.metadata.get("license", ""))

    def figures(self, spec: DataSpec) -> DataFigures:
        """Everything counted so far."""
        rows, held_out = self._tasks.total(), self._held_out.total()
        categories, above = shares(self._categories, spec), dominating(self._categories, spec)
        return DataFigures(
            rows_in=rows + held_out + sum(self._removed.values()),
            rows_out=rows,
            removed=dict(sorted(self._removed.items())),
            by_task=dict(sorted(self._tasks.items())),
            by_source=dict(sorted(self._sources.items())),
            augmented=self._augmented,
            people=len(self._people),
            categories=tuple(sorted(categories, key=lambda each: -each.rows)),
            licenses=dict(sorted(self._licenses.items())),
            dominating=above.value if above else "",
            held_out=held_out,
            held_out_people=len(self._judges),
            held_out_by_task=dict(sorted(self._held_out.items())),
            unseen=self._unseen,
            undrawn=dict(sorted(self._undrawn.items())),
        )
