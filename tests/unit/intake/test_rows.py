"""Readers of CSV, JSON Lines and Parquet: lines, malformed rows and broken files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput
from everloop.intake.rows import FileKind, Malformed, Row, columns_of, kind_of, read_rows


def _write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _read(path: Path, kind: FileKind) -> list[Row | Malformed]:
    return list(read_rows(path, kind, {"a", "b"}))


def test_the_format_is_read_off_the_name() -> None:
    assert kind_of(Path("x.PARQUET")) is kind_of(Path("x.pq")) is FileKind.PARQUET
    assert kind_of(Path("x.csv")) is FileKind.CSV
    assert kind_of(Path("x.jsonl")) is kind_of(Path("x.ndjson")) is FileKind.JSONL
    with pytest.raises(ShouldFixArgument, match=r"'x\.txt'.*parquet, csv, jsonl"):
        kind_of(Path("x.txt"))


def test_csv_rows_with_their_lines(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv", '\ufeffa,b\n1,"two\nlines"\n\n3,4\n5\n6,7,8\n9,0')
    assert columns_of(path, FileKind.CSV) == ("a", "b")
    rows = _read(path, FileKind.CSV)
    good = [(r.line, dict(r.cells)) for r in rows if isinstance(r, Row)]
    bad = [(r.line, r.value) for r in rows if isinstance(r, Malformed)]
    assert good == [
        (2, {"a": "1", "b": "two\nlines"}),
        (5, {"a": "3", "b": "4"}),
        (8, {"a": "9", "b": "0"}),
    ]
    assert bad == [(6, "5"), (7, "6,7,8")]


def test_a_short_last_row_of_a_whole_file_is_only_malformed(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv", "a,b\n1,2\n3\n")
    assert [type(r) for r in _read(path, FileKind.CSV)] == [Row, Malformed]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a,b\n1,2\n3", "line 3 breaks off"),
        ('a,b\n1,2\n3,"unfinis', "unexpected end of data"),
        (b"a,b\n1,\xff\xfe\n", "invalid start byte"),
    ],
)
def test_a_csv_that_breaks_off_is_refused(tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(ShouldFixInput, match=rf"{problem}.*Nothing was imported"):
        _read(_write(tmp_path / "x.csv", content), FileKind.CSV)


@pytest.mark.parametrize(
    ("content", "problem"),
    [("", "has no header"), ("a,b,a\n", "repeats a"), (b"\xff\n", "cannot be read")],
)
def test_a_csv_without_a_usable_header(tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(ShouldFixInput, match=problem):
        columns_of(_write(tmp_path / "x.csv", content), FileKind.CSV)


def test_jsonl_rows_with_their_lines(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.jsonl", '\ufeff{"a": 1}\n\n[1]\n{"a": \n{"b": [1, null]}')
    assert columns_of(path, FileKind.JSONL) is None
    rows = _read(path, FileKind.JSONL)
    assert [(r.line, type(r)) for r in rows] == [
        (1, Row),
        (3, Malformed),
        (4, Malformed),
        (5, Row),
    ]
    assert rows[3] == Row(5, {"b": [1, None]})


@pytest.mark.parametrize("content", ['{"a": 1}\n{"a": 2', b'{"a": 1}\n\xff\n'])
def test_a_jsonl_that_breaks_off_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ShouldFixInput, match="Nothing was imported"):
        _read(_write(tmp_path / "x.jsonl", content), FileKind.JSONL)


def test_parquet_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    moments = pa.array([1_772_366_400_000_000_001, None], pa.timestamp("ns", tz="UTC"))
    table = pa.table({"a": moments, "b": [[1.5], None], "c": [1, 2]})
    pq.write_table(table, path)
    assert columns_of(path, FileKind.PARQUET) == ("a", "b", "c")
    assert _read(path, FileKind.PARQUET) == [
        Row(1, {"a": datetime(2026, 3, 1, 12, tzinfo=UTC), "b": [1.5]}),
        Row(2, {"a": None, "b": None}),
    ]


def test_parquet_is_streamed_over_batches(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": list(range(2500))}), path)
    rows = _read(path, FileKind.PARQUET)
    assert [r.line for r in rows] == list(range(1, 2501))


def test_a_truncated_or_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": list(range(5000))}), path, compression="none")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ShouldFixInput, match="cannot be read"):
        columns_of(path, FileKind.PARQUET)
    path.write_bytes(whole[:4] + b"\xff" * 2000 + whole[2004:])
    with pytest.raises(ShouldFixInput, match="Nothing was imported"):
        _read(path, FileKind.PARQUET)


@pytest.mark.parametrize("kind", list(FileKind))
def test_an_absent_file_is_refused(tmp_path: Path, kind: FileKind) -> None:
    with pytest.raises(ShouldFixInput, match="cannot be read"):
        columns_of(tmp_path / "absent", kind)


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_a_clear_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    refusals = []
    for kind in FileKind:
        try:
            if columns_of(path, kind) is None or kind is FileKind.CSV:
                _read(path, kind)
        except ShouldFixInput as refused:
            refusals.append(refused.remedy)
    assert all(refusals)
