"""Rows of tokens on disk, read through memory mapping, so that millions of them need no memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset

from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.documents import atomically
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import LearningTask, TrainingDataInstance

_SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("weight", pa.float64()),
    ]
)
_PIECE = 1000
"""Rows that are held while they are written."""


@dataclass(frozen=True, slots=True)
class RowTable:
    """``rows``: tokens and weights; ``lengths``, ``completions``: (n,) tokens of each row and of its
    completion; ``categories``: (n,) of each; ``earlier``: (n,) whether it is of an earlier night."""

    rows: Dataset
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]]
    completions: np.ndarray[tuple[int], np.dtype[np.int64]]
    categories: tuple[Category, ...]
    earlier: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def of(self, categories: tuple[Category, ...]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Indices of tonight's rows of these categories; none named means every one."""
        wanted = set(categories or Category)
        chosen = [
            index
            for index, category in enumerate(self.categories)
            if category in wanted and not self.earlier[index]
        ]
        return np.asarray(chosen, dtype=np.int64)


def write_rows(
    instances: Iterable[TrainingDataInstance],
    earlier: Iterable[TrainingDataInstance],
    renderer: Renderer,
    path: Path,
) -> RowTable:
    """Render what says what should have been said, and write it to ``path``; tonight's rows come first."""
    lengths: list[int] = []
    completions: list[int] = []
    categories: list[Category] = []
    old: list[bool] = []
    held: list[dict[str, object]] = []
    with atomically(path) as stream, pa.ipc.new_stream(stream, _SCHEMA) as writer:
        for of_earlier, source in ((False, instances), (True, earlier)):
            for instance in source:
                row = renderer.row(instance) if instance.task is LearningTask.SFT else None
                if row is None:
                    continue
                held.append(
                    {"input_ids": row.input_ids, "labels": row.labels, "weight": row.weight}
                )
                lengths.append(len(row.input_ids))
                completions.append(len(row.completion))
                categories.append(instance.category)
                old.append(of_earlier)
                if len(held) == _PIECE:
                    writer.write_batch(pa.RecordBatch.from_pylist(held, schema=_SCHEMA))
                    held.clear()
        if held:
            writer.write_batch(pa.RecordBatch.from_pylist(held, schema=_SCHEMA))
    return RowTable(
        Dataset.from_file(str(path)) if lengths else Dataset.from_dict({}),
        np.asarray(lengths, dtype=np.int64),
        np.asarray(completions, dtype=np.int64),
        tuple(categories),
        np.asarray(old, dtype=np.bool_),
    )
