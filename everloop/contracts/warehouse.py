"""Ports of reward aggregation: on this machine, or where the log is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.loop_spec import LoopSpec

if TYPE_CHECKING:
    import pyarrow as pa


class RewardWriter(Protocol):
    """Runs the reward definition on a dataset version."""

    def __call__(
        self,
        spec: LoopSpec,
        dataset: DatasetVersion,
        out: Path,
        memory_limit_mb: int = 1024,
        threads: int = 1,
    ) -> Path:
        """Write the table that ``everloop.rewards.runner.aggregate_and_flag`` describes.

        Constraints: a row per episode in dataset order, columns and types as described, ``held`` false
        throughout; every number within 1e-12 of the definition's value, and null where it is null;
        a signal that the definition refuses is ``ShouldFixSignal``; ``out`` appears whole or not at all.
        """


class Warehouse(Protocol):
    """A database elsewhere that runs statements in BigQuery's dialect on Parquet files."""

    def rows(
        self, statement: str, tables: Mapping[str, Path], labels: Mapping[str, str]
    ) -> AbstractContextManager[Iterator[pa.RecordBatch]]:
        """The statement's rows, in the order that it asks for.

        Args:
            tables: name of a table that the statement reads -> the Parquet file that holds it.
            labels: ``loop``, ``tenant`` and ``dataset``, by which what it costs is told apart.

        Constraints: nothing of the files stays there once the context is left; what the statement itself
        refuses with ERROR() is ``ShouldFixInput`` with its words.
        """
