"""Rows of CSV, JSON Lines and Parquet files, streamed.

A malformed row is yielded as ``Malformed`` and costs itself alone. A file that cannot be read to its
end, or that breaks off in the middle of a row, raises ``ShouldFixInput``.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput

_BATCH_ROWS = 1024


class FileKind(StrEnum):
    """Formats that can be imported."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line (CSV, JSON Lines) or its number (Parquet), from 1, and its cells."""

    line: int
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no row."""

    line: int
    value: str
    problem: str
    fix: str


def kind_of(path: Path) -> FileKind:
    """The format that a file's name says; ``ShouldFixArgument`` if it says none."""
    suffix = path.suffix.lower().removeprefix(".")
    known = {"pq": FileKind.PARQUET, "ndjson": FileKind.JSONL} | {str(k): k for k in FileKind}
    if suffix not in known:
        raise ShouldFixArgument(
            f"The name {path.name!r} does not say what the file is.",
            f"Say one of {', '.join(FileKind)}.",
        )
    return known[suffix]


def _unreadable(path: Path, problem: object) -> ShouldFixInput:
    return ShouldFixInput(
        f"{path} cannot be read to its end: {problem}. Nothing was imported.",
        "Write the file again and import it whole.",
    )


def columns_of(path: Path, kind: FileKind) -> tuple[str, ...] | None:
    """Names of the columns; None for JSON Lines, where each line names its own.

    Raises:
        ShouldFixInput: the file cannot be read.
    """
    try:
        if kind is FileKind.JSONL:
            with path.open("rb"):
                return None
        if kind is FileKind.PARQUET:
            with pq.ParquetFile(path) as file:
                return tuple(file.schema_arrow.names)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream, strict=True), [])
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as problem:
        raise _unreadable(path, problem) from problem
    repeated = {name for name in header if header.count(name) > 1}
    if repeated or not header:
        problem_text = f"repeats {', '.join(sorted(repeated))}" if repeated else "has no header"
        raise ShouldFixInput(f"{path} {problem_text}.", "Name each column once in the first line.")
    return tuple(header)


def read_rows(path: Path, kind: FileKind, wanted: Collection[str]) -> Iterator[Row | Malformed]:
    """Stream the rows; of Parquet only the ``wanted`` columns are read.

    Raises:
        ShouldFixInput: the file cannot be read to its end.
    """
    try:
        if kind is FileKind.PARQUET:
            yield from _parquet(path, wanted)
        elif kind is FileKind.CSV:
            yield from _csv(path)
        else:
            yield from _jsonl(path)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as problem:
        raise _unreadable(path, problem) from problem


def _parquet(path: Path, wanted: Collection[str]) -> Iterator[Row]:
    line = 0
    with pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if name in wanted]
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names):
            table = pa.table(batch)
            for index, field in enumerate(table.schema):
                # Nanoseconds do not fit into Python's datetime.
                if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
                    coarse = pa.timestamp("us", tz=field.type.tz)
                    column = table.column(index).cast(coarse, safe=False)
                    table = table.set_column(index, field.name, column)
            for cells in table.to_pylist():
                line += 1
                yield Row(line, cells)


def _ends_whole(path: Path) -> bool:
    """Whether the last line is finished."""
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return True
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) in b"\r\n"


def _csv(path: Path) -> Iterator[Row | Malformed]:
    whole = _ends_whole(path)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        header = next(reader)
        line, short = reader.line_num + 1, None
        for cells in reader:
            if short is not None:
                yield short
                short = None
            if len(cells) == len(header):
                yield Row(line, dict(zip(header, cells, strict=True)))
            elif cells:
                wrong = Malformed(
                    line,
                    ",".join(cells),
                    f"has another number of cells than the header's {len(header)}",
                    "Quote cells that hold a comma or a line break.",
                )
                if len(cells) < len(header):
                    short = wrong
                else:
                    yield wrong
            line = reader.line_num + 1
        if short is not None and not whole:
            raise _unreadable(path, f"line {short.line} breaks off")
        if short is not None:
            yield short


def _jsonl(path: Path) -> Iterator[Row | Malformed]:
    with path.open("rb") as stream:
        for line, raw in enumerate(stream, start=1):
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
            if not text.strip():
                continue
            try:
                cells = json.loads(text)
            except (ValueError, RecursionError) as problem:
                if not raw.endswith(b"\n"):
                    raise _unreadable(path, f"line {line} breaks off") from problem
                yield Malformed(line, text.strip(), "is not JSON", "Write one object per line.")
                continue
            if isinstance(cells, dict):
                yield Row(line, cells)
            else:
                yield Malformed(
                    line, text.strip(), "is not a JSON object", "Write one object per line."
                )
