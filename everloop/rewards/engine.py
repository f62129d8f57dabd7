"""DuckDB as the rewards stage uses it: bounded memory, a spill folder, errors named by remedy."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldFixSignal,
    ShouldFreeDisk,
    ShouldRestoreArtefact,
)
from everloop.rewards.definition import REFUSAL


@contextmanager
def bounded_engine(
    spill_into: Path, memory_limit_mb: int, threads: int
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB that spills into a folder of its own under ``spill_into``.

    Raises:
        ShouldFixArgument: a limit is not positive, or the work does not fit the memory limit.
        ShouldFixSignal: the reward definition refused a signal.
        ShouldFreeDisk: the disk is full.
        ShouldRestoreArtefact: an input file is missing or is no Parquet.
    """
    if memory_limit_mb < 1 or threads < 1:
        raise ShouldFixArgument(
            f"memory_limit_mb={memory_limit_mb} and threads={threads} must both be at least 1.",
            "Give positive whole numbers.",
        )
    with tempfile.TemporaryDirectory(dir=spill_into, prefix=".spill-") as spill:
        connection = duckdb.connect(
            config={
                "memory_limit": f"{memory_limit_mb}MB",
                "threads": threads,
                "temp_directory": spill,
            }
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        except duckdb.Error as problem:
            raise remedy_for(problem) from problem
        finally:
            connection.close()


def register_parquet(
    connection: duckdb.DuckDBPyConnection, name: str, path: Path, columns: str = "*"
) -> None:
    """Make one Parquet file readable as a view; ``file_row_number`` is there to be selected."""
    source = f"read_parquet({quoted(glob.escape(str(path)))}, file_row_number = true)"
    connection.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM {source}")  # noqa: S608


def quoted(text: str) -> str:
    """Text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def remedy_for(problem: duckdb.Error) -> EverloopError:
    """The error of ours that says what to do about one of DuckDB's."""
    text = str(problem)
    if REFUSAL in text:
        return ShouldFixSignal(
            f"The reward definition {text[text.index(REFUSAL) :]}.",
            "Send declared types only, with values in their declared range, confidence in [0, 1] "
            "and latency >= 0.",
        )
    if "No space left" in text or "max_temp_directory_size" in text:
        return ShouldFreeDisk(
            f"Rewards could not be written: {text}.", "Free disk space and rerun."
        )
    if isinstance(problem, duckdb.OutOfMemoryException):
        return ShouldFixArgument(
            f"Rewards do not fit the memory limit: {text}.", "Raise memory_limit_mb."
        )
    return ShouldRestoreArtefact(
        f"Rewards could not be computed from the dataset: {text}.", "Extract the dataset again."
    )
