"""Files of exported profiles: Parquet (zstd) or JSON lines, written in parts and joined.

Columns: ``profile_id`` (UUID), ``persona_vector`` (512 numbers), ``traits`` and ``interaction_history``
(JSON; text in Parquet), ``source``, ``release_id`` and ``edge``. The same rows give the same bytes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from everloop.contracts.documents import is_full_disk, read, sha256_of, write, write_atomically
from everloop.contracts.errors import (
    EverloopError,
    ShouldFreeDisk,
    ShouldRestoreArtefact,
)
from everloop.contracts.synthetic_jobs import FileFormat
from synthetic.generation.chunks import ExportedProfile
from synthetic.profiles.augmentation import require_generated

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = {FileFormat.PARQUET: "profiles.parquet", FileFormat.JSON: "profiles.jsonl"}
"""File name of each format."""

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of a whole part."""

    sha256: str
    rows: int


class PartFiles:
    """The parts of one file in a folder; each has a document with its checksum beside it.

    Args:
        folder: made when it does not exist.
        form: of the file.
        release_id: the private release that its people are drawn from.
    """

    def __init__(self, folder: Path, form: FileFormat, release_id: str) -> None:
        self._folder, self._form, self._release_id = folder, form, release_id
        folder.mkdir(parents=True, exist_ok=True)

    def rows(self, number: int) -> int | None:
        """Rows of a part that is there and undamaged; ``None`` otherwise."""
        try:
            known = read(Part, self._note(number))
        except EverloopError:
            return None
        path = self._part(number)
        return known.rows if path.is_file() and sha256_of(path) == known.sha256 else None

    def write(self, number: int, rows: Sequence[ExportedProfile]) -> None:
        """Write a part, then its document: a part without one is not whole.

        Raises:
            ShouldStayInside: the release did not make a row.
            ShouldFreeDisk: it did not fit.
        """
        deque(require_generated((row.profile for row in rows), self._release_id), maxlen=0)
        data = _parquet(rows) if self._form is FileFormat.PARQUET else _json_lines(rows)
        write_atomically(data, self._part(number))
        write(Part(hashlib.sha256(data).hexdigest(), len(rows)), self._note(number))

    def join(self, count: int) -> Path:
        """The whole file of parts 0..count-1; memory holds one of them at a time.

        Raises:
            ShouldRestoreArtefact: a part is missing or damaged.
            ShouldFreeDisk: it did not fit.
        """
        for number in range(count):
            if self.rows(number) is None:
                raise ShouldRestoreArtefact(
                    f"Part {number} of {self._folder} is missing or damaged.",
                    "Continue the job: it is made again.",
                )
        whole = self._folder / NAMES[self._form]
        parts = [self._part(number) for number in range(count)]
        try:
            if self._form is FileFormat.PARQUET:
                _join_parquet(parts, whole)
            else:
                _join_lines(parts, whole)
        except OSError as problem:
            if not is_full_disk(problem):
                raise
            raise ShouldFreeDisk(
                f"No room to write {whole}.", "Free disk space and continue the job."
            ) from problem
        return whole

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}.{self._form.value}"

    def _note(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}.checksum.json"


def _schema() -> pa.Schema:
    import pyarrow as pa  # noqa: PLC0415  (half a second that a service need not wait for)

    return pa.schema(
        [
            pa.field("profile_id", pa.string(), nullable=False),
            pa.field("persona_vector", pa.list_(pa.float32()), nullable=False),
            pa.field("traits", pa.string(), nullable=False),
            pa.field("interaction_history", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("release_id", pa.string(), nullable=False),
            pa.field("edge", pa.bool_(), nullable=False),
        ]
    )


def _parquet(rows: Sequence[ExportedProfile]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    people = [row.profile for row in rows]
    table = pa.table(
        {
            "profile_id": [p.profile_id for p in people],
            "persona_vector": [p.persona_vector for p in people],
            "traits": [_text(dict(p.traits)) for p in people],
            "interaction_history": [_text(p.interaction_history) for p in people],
            "source": [p.source.value for p in people],
            "release_id": [p.release_id for p in people],
            "edge": [row.edge for row in rows],
        },
        schema=_schema(),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=["source", "release_id"])
    return bytes(sink.getvalue())


def _text(value: object) -> str:
    return orjson.dumps(value).decode()


def _json_lines(rows: Sequence[ExportedProfile]) -> bytes:
    return b"".join(
        orjson.dumps(
            {
                "profile_id": row.profile.profile_id,
                "persona_vector": row.profile.persona_vector,
                "traits": dict(row.profile.traits),
                "interaction_history": row.profile.interaction_history,
                "source": row.profile.source.value,
                "release_id": row.profile.release_id,
                "edge": row.edge,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for row in rows
    )


def _join_parquet(parts: Sequence[Path], whole: Path) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetWriter(
        whole, _schema(), compression="zstd", use_dictionary=["source", "release_id"]
    ) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, memory_map=False))


def _join_lines(parts: Sequence[Path], whole: Path) -> None:
    with whole.open("wb") as stream:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, stream, _PIECE)
