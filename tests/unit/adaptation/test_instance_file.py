"""Files of instances: what was written is read, and nothing that was changed is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.adaptation import line_file
from everloop.adaptation.instance_file import read_instances, write_instances
from everloop.adaptation.line_file import reading_lines, writing_lines
from everloop.contracts.errors import ShouldFixInput, ShouldRestoreArtefact
from everloop.contracts.voices import LearningTask, Message, TrainingDataInstance
from tests.voice_records import corpus_row, instance

ROWS = [
    instance(1, prompt=(Message("system", "be kind"), Message("user", "hi\nthere"))),
    instance(2, task=LearningTask.PREFERENCE, rejected="no", parent="x", augmented="rule"),
    instance(3, task=LearningTask.THUMB, liked=False, completion="\U0001f600 \x00"),
    corpus_row(4),
]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert write_instances(ROWS, tmp_path / "rows.zst") == 4
    assert list(read_instances(tmp_path / "rows.zst")) == ROWS


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    turned = [
        dataclasses.replace(row, metadata=dict(reversed([*row.metadata.items()]))) for row in ROWS
    ]
    write_instances(ROWS, tmp_path / "a")
    write_instances(turned, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_is_left_where_writing_failed(tmp_path: Path) -> None:
    def failing() -> Iterator[TrainingDataInstance]:
        yield ROWS[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_instances(failing(), tmp_path / "rows.zst")
    assert list(tmp_path.iterdir()) == []


def test_metadata_are_finite_json(tmp_path: Path) -> None:
    with pytest.raises(ShouldFixInput, match="finite"):
        write_instances([instance(metadata={"score": float("nan")})], tmp_path / "rows.zst")


def test_another_json_is_no_instance(tmp_path: Path) -> None:
    with writing_lines(tmp_path / "rows.zst") as lines:
        lines.write(b'{"hello": 1}')
    with pytest.raises(ShouldRestoreArtefact, match="line 1"):
        list(read_instances(tmp_path / "rows.zst"))


@pytest.mark.parametrize("damage", ["cut", "lost", "changed", "missing", "empty", "plain"])
def test_damage_is_noticed(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_file, "_PIECE", 64)
    path = tmp_path / "rows.zst"
    with writing_lines(path) as lines:
        for number in range(50):
            lines.write(b'{"text": "row %d of fifty"}' % number)
    codec = pa.Codec("zstd")
    whole = [line + b"\n" for line in reading_lines(path)]
    end = orjson.dumps({"rows": 50, "sha256": lines.sha256}) + b"\n"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "lost":
        path.write_bytes(codec.compress(b"".join([*whole[:-1], end]), asbytes=True))
    elif damage == "changed":
        whole[7] = whole[7].replace(b"row 7", b"row 8")
        path.write_bytes(codec.compress(b"".join([*whole, end]), asbytes=True))
    elif damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"".join(whole))
    with pytest.raises(ShouldRestoreArtefact, match=r"rows\.zst"):
        list(reading_lines(path))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b" ")), max_size=40))
def test_any_lines_come_back(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.zst"
    with writing_lines(path) as writer:
        for line in lines:
            writer.write(line)
    assert list(reading_lines(path)) == lines


def test_a_line_holds_no_break(tmp_path: Path) -> None:
    with pytest.raises(ShouldFixInput, match="line break"), writing_lines(tmp_path / "x") as lines:
        lines.write(b"a\nb")


def test_an_endless_line_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_file, "_PIECE", 16)
    (tmp_path / "x").write_bytes(pa.Codec("zstd").compress(b"a" * 1000, asbytes=True))
    monkeypatch.setattr(line_file, "LONGEST_LINE", 100)
    with pytest.raises(ShouldRestoreArtefact, match="longer than 100"):
        list(reading_lines(tmp_path / "x"))
