"""Files of lines under zstd that prove themselves whole: the last line counts and hashes the others.

Written and read a piece at a time. Zstd itself notices neither a lost frame at the end nor a byte that
became another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import orjson
import pyarrow as pa

from everloop.contracts.documents import atomically
from everloop.contracts.errors import ShouldFixInput, ShouldRestoreArtefact

_PIECE = 1 << 18
"""Bytes that are compressed or decompressed at once."""
LONGEST_LINE = 64 * 2**20
"""Bytes; a longer one is damage, and would be held in memory."""


class LineWriter:
    """Takes lines. ``rows``: how many; ``sha256``: of the lines as they are before compression, so that
    it does not follow the compressor's version."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._codec = pa.Codec("zstd")
        self._held: list[bytes] = []
        self._size = 0
        self._digest = hashlib.sha256()
        self.rows = 0

    def write(self, line: bytes) -> None:
        """Append a line; it holds no line break.

        Raises:
            ShouldFixInput: it holds one, or is longer than ``LONGEST_LINE``.
        """
        if b"\n" in line or len(line) > LONGEST_LINE:
            raise ShouldFixInput(
                f"A line of {len(line)} bytes holds a line break or is longer than {LONGEST_LINE}.",
                "Write one JSON value a line.",
            )
        self._digest.update(line + b"\n")
        self.rows += 1
        self._hold(line)

    @property
    def sha256(self) -> str:
        """Of every line so far, their breaks included."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Write the last line, and what is held."""
        self._hold(orjson.dumps({"rows": self.rows, "sha256": self.sha256}))
        self._flush()

    def _hold(self, line: bytes) -> None:
        self._held.append(line + b"\n")
        self._size += len(line) + 1
        if self._size >= _PIECE:
            self._flush()

    def _flush(self) -> None:
        self._stream.write(self._codec.compress(b"".join(self._held), asbytes=True))
        self._held.clear()
        self._size = 0


@contextmanager
def writing_lines(path: Path) -> Iterator[LineWriter]:
    """A writer whose file is at ``path``, whole and durable, when the block ends without an error.

    Raises:
        ShouldFreeDisk: the disk is full; nothing was changed.
    """
    with atomically(path) as stream:
        writer = LineWriter(stream)
        yield writer
        writer.close()


def reading_lines(path: Path) -> Iterator[bytes]:
    """The lines, without their breaks; one piece of the file is held at a time.

    Raises:
        ShouldRestoreArtefact: the file is missing, cut off or changed; a change is known at the end alone.
    """
    rows, digest, last = 0, hashlib.sha256(), None
    try:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as stream:
            for line in _split(stream):
                if last is not None:
                    digest.update(last + b"\n")
                    rows += 1
                    yield last
                last = line
    except OSError as problem:
        raise _damaged(path, str(problem)) from problem
    if last != orjson.dumps({"rows": rows, "sha256": digest.hexdigest()}):
        raise _damaged(path, f"its {rows} lines are not those that its last line speaks of")


def _split(stream: pa.NativeFile) -> Iterator[bytes]:
    rest = b""
    while piece := stream.read(_PIECE):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > LONGEST_LINE:
            raise OSError(f"a line is longer than {LONGEST_LINE} bytes")
    if rest:
        raise OSError("its last line has no end")


def _damaged(path: Path, why: str) -> ShouldRestoreArtefact:
    return ShouldRestoreArtefact(
        f"{path} cannot be read: {why}.", "Rerun the stage that writes it."
    )
