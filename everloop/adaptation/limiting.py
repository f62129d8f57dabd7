"""As many examples as a training will see, drawn so that everybody has a say.

A night that takes ten steps learns from few of a million rows. What it will learn from is drawn before
anything is trained, so that candidate and placebo see the same rows and the references name them alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from everloop.adaptation.categorising import Classifier, categorised
from everloop.adaptation.data_tally import DataTally
from everloop.adaptation.drawing import NOT_DRAWN, DrawingOrder, in_turn
from everloop.adaptation.instance_file import read_instances, write_instances
from everloop.adaptation.line_file import reading_lines
from everloop.adaptation.taught import NOTHING, Taught
from everloop.adaptation.volume import counts, signal_of
from everloop.contracts.voice_spec import Category, DataSpec
from everloop.contracts.voices import (
    DataFigures,
    LearningTask,
    SourceType,
    TrainingDataInstance,
)

CORPUS_SHARE = 0.2
"""Of the drawn examples of a task at most, where people gave enough."""
_ASKED_FOR_LITTLE = 1e-9
"""Share that a category counts as asked for that has no lower bound: it comes behind the others."""


def limit(
    train: Path,
    held_out: Path,
    figures: DataFigures,
    spec: DataSpec,
    seed: int,
    private: bool = False,
    classifier: Classifier | None = None,
    taught: Taught = NOTHING,
    replay: float = 0.0,
) -> DataFigures:
    """Rewrite both files with what is drawn, and say what was left.

    Of each task at most ``max_examples`` teach: what is new before what was ``taught``, corrections and
    comparisons before other texts, and of each person one before anybody's second; of corpora one of each
    category in turn, those below their range first. At most ``max_held_out`` rows judge, of each task one
    in turn. Files that are small enough stay as they are. The same arguments draw the same rows.

    Args:
        private: all that people gave teaches, and of each task ``max_examples`` of what belongs to nobody:
            one person more or less then changes nobody else's rows. How many of a person's examples one
            step takes is the private training's to say.
        classifier: names the categories of what was drawn where nobody did, if it is little enough.
        replay: share of the completions that were learned before, corpora among them, where there are
            more new ones than will be drawn.
    """
    tally = DataTally()
    for reason, rows in figures.removed.items():
        tally.removed(reason, rows)
    tally.unseen(figures.unseen)
    most = spec.max_examples
    if most is not None:
        there = read_instances(train)
        if private:
            kept = _drawn_of_nobody(there, most, spec, seed)
        else:
            kept = _drawn_to_teach(there, most, spec, seed, taught, replay)
        _rewrite(train, kept, tally, taught)
    judges = _judging(read_instances(held_out), spec.max_held_out, seed)
    if len(judges) < _rows(held_out):
        _rewrite(held_out, judges, tally)
    if classifier is not None and _rows(train) + _rows(held_out) <= spec.classify_at_most:
        for path in (train, held_out):
            _replace(path, categorised(read_instances(path), classifier))
    for instance in read_instances(train):
        tally.teaches(instance)
    for instance in read_instances(held_out):
        tally.judges(instance)
    return tally.figures(spec)


def _judging(rows: Iterable[TrainingDataInstance], most: int, seed: int) -> frozenset[int]:
    """Of each task as many as of the others, as far as there are: whatever trains is then judged."""
    orders: dict[LearningTask, DrawingOrder] = defaultdict(lambda: DrawingOrder(seed))
    for number, row in enumerate(rows):
        orders[row.task].add(number, row)
    given = in_turn({task: order.rows for task, order in orders.items()}, most)
    return frozenset().union(*(orders[task].first(count) for task, count in given.items()))


def _drawn_to_teach(
    rows: Iterable[TrainingDataInstance],
    most: int,
    spec: DataSpec,
    seed: int,
    taught: Taught,
    replay: float,
) -> frozenset[int]:
    people: dict[tuple[LearningTask, bool], DrawingOrder] = defaultdict(lambda: DrawingOrder(seed))
    corpora, categories = _Corpora(spec, seed), list[Category]()
    for number, row in enumerate(rows):
        categories.append(row.category)
        if row.source_type is SourceType.CORPUS:
            corpora.add(number, row)
        else:
            people[row.task, taught.is_new(row)].add(number, row)
    chosen: set[int] = set()
    left: dict[LearningTask, int] = {}
    for task in LearningTask:
        new, old, of_corpora = people[task, True], people[task, False], corpora.rows(task)
        given = min(of_corpora, max(round(CORPUS_SHARE * most), most - new.rows - old.rows))
        room = most - given
        again = round(replay * most) - given if task is LearningTask.SFT else 0
        again = min(old.rows, max(0, again, room - new.rows))
        chosen |= old.first(again) | new.first(room - again)
        left[task] = given
    known = Counter(categories[number] for number in chosen)
    rows_out = len(chosen) + sum(left.values())
    return frozenset(
        chosen.union(*(corpora.first(task, given, known, rows_out) for task, given in left.items()))
    )


def _drawn_of_nobody(
    rows: Iterable[TrainingDataInstance], most: int, spec: DataSpec, seed: int
) -> frozenset[int]:
    nobodys, chosen = _Corpora(spec, seed), set[int]()
    for number, row in enumerate(rows):
        if row.user_id is None:
            nobodys.add(number, row)
        else:
            chosen.add(number)
    # How much people gave of a category draws nothing.
    known: Counter[Category] = Counter()
    drawn = (nobodys.first(task, most, known, most) for task in LearningTask)
    return frozenset(chosen.union(*drawn))


class _Corpora:
    """Rows of nobody, drawn so that no category dominates."""

    def __init__(self, spec: DataSpec, seed: int) -> None:
        self._ranges = spec.ranges
        self._orders: dict[tuple[LearningTask, Category], DrawingOrder] = defaultdict(
            lambda: DrawingOrder(seed)
        )

    def add(self, number: int, row: TrainingDataInstance) -> None:
        self._orders[row.task, row.category].add(number, row)

    def rows(self, task: LearningTask) -> int:
        return sum(order.rows for (of, _), order in self._orders.items() if of is task)

    def first(
        self, task: LearningTask, count: int, known: Counter[Category], rows: int
    ) -> frozenset[int]:
        """``count`` rows, of each category one in turn: of those below their range first, of those above it
        last, and in each turn of the one that lacks most. They are ``known`` then.

        Args:
            rows: that all tasks will have.
        """
        given: Counter[Category] = Counter()

        def place(category: Category) -> tuple[bool, bool, int, float]:
            (low, high), there = self._range(category), known[category]
            return there >= low * rows, there >= high * rows, given[category], there / low

        for _ in range(min(count, self.rows(task))):
            orders = self._orders
            offered = [each for each in Category if given[each] < orders[task, each].rows]
            following = min(offered, key=place)
            given[following] += 1
            known[following] += 1
        return frozenset().union(*(self._orders[task, each].first(given[each]) for each in given))

    def _range(self, category: Category) -> tuple[float, float]:
        wanted = self._ranges.get(category)
        return (
            (_ASKED_FOR_LITTLE, 1.0)
            if wanted is None
            else (max(_ASKED_FOR_LITTLE, wanted.low), wanted.high)
        )


def _rewrite(
    path: Path, kept: frozenset[int], tally: DataTally, taught: Taught | None = None
) -> None:
    """Leave what is not kept; what teaches counts for the next night (``taught``: of those who teach)."""
    left: Counter[str] = Counter()

    def drawn() -> Iterator[TrainingDataInstance]:
        for number, row in enumerate(read_instances(path)):
            if number in kept:
                yield row
            else:
                left[NOT_DRAWN] += 1
                if taught is not None and counts(row, taught):
                    tally.undrawn(signal_of(row), row.weight)

    _replace(path, drawn())
    if left:
        tally.removed(NOT_DRAWN, left[NOT_DRAWN])


def _replace(path: Path, rows: Iterable[TrainingDataInstance]) -> None:
    fresh = path.with_name(f"drawn-{path.name}")
    write_instances(rows, fresh)
    fresh.replace(path)


def _rows(path: Path) -> int:
    return sum(1 for _ in reading_lines(path))
