"""Names what an example teaches where nobody did: not who gave it, not its corpus.

Analysis and the curriculum's phases alone know a category; no text holds one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import TrainingDataInstance

Classifier = Callable[[Sequence[TrainingDataInstance]], Sequence[Category]]
_BY, _CLASSIFIER = "category_by", "classifier"
UNNAMED: Mapping[str, str] = {_BY: "nobody"}
"""In the metadata of an example whose category is a mere default."""
_BATCH = 64


def is_unnamed(row: TrainingDataInstance) -> bool:
    """Whether nobody named the row's category."""
    return row.metadata.get(_BY) == UNNAMED[_BY]


def categorised(
    rows: Iterable[TrainingDataInstance], classifier: Classifier
) -> Iterator[TrainingDataInstance]:
    """The same rows in their order; those of which nobody named a category have the classifier's."""
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        unnamed = [at for at, row in enumerate(batch) if is_unnamed(row)]
        named = classifier([batch[at] for at in unnamed]) if unnamed else ()
        for at, category in zip(unnamed, named, strict=True):
            metadata = {**batch[at].metadata, _BY: _CLASSIFIER}
            batch[at] = replace(batch[at], category=category, metadata=metadata)
        yield from batch
