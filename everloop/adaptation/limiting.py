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
from everloop.adaptation.drawing import NOT_DRAWN, DrawingOrder
from everloop.adaptation.instance_file import read_instances, write_instances
from everloop.contracts.voice_spec import DataSpec
from everloop.contracts.voices import (
    DataFigures,
    LearningTask,
    SourceType,
    TrainingDataInstance,
)

CORPUS_SHARE = 0.2
"""Of the drawn examples of a task at most, where people gave enough."""


def limit(
    train: Path,
    held_out: Path,
    figures: DataFigures,
    spec: DataSpec,
    seed: int,
    private: bool = False,
    classifier: Classifier | None = None,
) -> DataFigures:
    """Rewrite both files with what is drawn, and say what was left.

    Of each task at most ``max_examples`` teach: corrections and comparisons before other texts, and of each
    person one before anybody's second. At most ``max_held_out`` rows judge, drawn alike. Files that are
    small enough stay as they are. The same arguments draw the same rows.

    Args:
        private: all that people gave teaches, and of each task ``max_examples`` of what belongs to nobody:
            one person more or less then changes nobody else's rows. How many of a person's examples one
            step takes is the private training's to say.
        classifier: names the categories of what was drawn where nobody did, if it is little enough.
    """
    tally = DataTally()
    for reason, rows in figures.removed.items():
        tally.removed(reason, rows)
    most = spec.max_examples
    if most is not None:
        draw = _drawn_of_nobody if private else _drawn_to_teach
        _rewrite(train, draw(read_instances(train), most, seed), tally)
    judges = _ordered(read_instances(held_out), seed)
    if judges.rows > spec.max_held_out:
        _rewrite(held_out, judges.first(spec.max_held_out), tally)
    if classifier is not None and _rows(train) + _rows(held_out) <= spec.classify_at_most:
        for path in (train, held_out):
            _replace(path, categorised(read_instances(path), classifier))
    for instance in read_instances(train):
        tally.teaches(instance)
    for instance in read_instances(held_out):
        tally.judges(instance)
    return tally.figures(spec)


def _ordered(rows: Iterable[TrainingDataInstance], seed: int) -> DrawingOrder:
    order = DrawingOrder(seed)
    for number, row in enumerate(rows):
        order.add(number, row)
    return order


def _drawn_to_teach(rows: Iterable[TrainingDataInstance], most: int, seed: int) -> frozenset[int]:
    orders: dict[tuple[LearningTask, bool], DrawingOrder] = defaultdict(lambda: DrawingOrder(seed))
    for number, row in enumerate(rows):
        orders[row.task, row.source_type is SourceType.CORPUS].add(number, row)
    chosen: set[int] = set()
    for task in LearningTask:
        people, corpora = orders[task, False], orders[task, True]
        given = min(corpora.rows, max(round(CORPUS_SHARE * most), most - people.rows))
        chosen |= corpora.first(given) | people.first(most - given)
    return frozenset(chosen)


def _drawn_of_nobody(rows: Iterable[TrainingDataInstance], most: int, seed: int) -> frozenset[int]:
    orders: dict[LearningTask, DrawingOrder] = defaultdict(lambda: DrawingOrder(seed))
    chosen: set[int] = set()
    for number, row in enumerate(rows):
        if row.user_id is None:
            orders[row.task].add(number, row)
        else:
            chosen.add(number)
    return frozenset(chosen.union(*(order.first(most) for order in orders.values())))


def _rewrite(path: Path, kept: frozenset[int], tally: DataTally) -> None:
    left: Counter[str] = Counter()

    def drawn() -> Iterator[TrainingDataInstance]:
        for number, row in enumerate(read_instances(path)):
            if number in kept:
                yield row
            else:
                left[NOT_DRAWN] += 1

    _replace(path, drawn())
    if left:
        tally.removed(NOT_DRAWN, left[NOT_DRAWN])


def _replace(path: Path, rows: Iterable[TrainingDataInstance]) -> None:
    fresh = path.with_name(f"drawn-{path.name}")
    write_instances(rows, fresh)
    fresh.replace(path)


def _rows(path: Path) -> int:
    return sum(1 for _ in read_instances(path))
