"""Records as JSON files: how stages hand typed values to one another.

A document is written atomically and read back through its own type, so a stage never sees a
half-written or a malformed value. NaN and infinity are kept as the strings ``NaN``, ``Infinity``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import TypeAdapter, ValidationError

from everloop.contracts.errors import EverloopError, ShouldFreeDisk, ShouldRestoreArtefact

T = TypeVar("T")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def to_json(value: Any, kind: type[Any] | None = None) -> bytes:
    """Serialise a contract value; ``kind`` where the value's own class does not say enough."""
    plain = TypeAdapter(kind or type(value)).dump_python(value, mode="json")
    return json.dumps(_plain(plain), indent=2, allow_nan=False).encode()


def from_json(kind: type[T], data: bytes) -> T:
    """Parse and validate; ``ShouldRestoreArtefact`` names what does not fit."""
    try:
        return TypeAdapter(kind).validate_json(data)
    except (ValidationError, EverloopError) as problem:
        said = problem.message if isinstance(problem, EverloopError) else problem.errors()[0]["msg"]
        raise ShouldRestoreArtefact(
            f"This is no valid {getattr(kind, '__name__', kind)}: {said}.",
            "Rerun the stage that wrote it.",
        ) from problem


def is_full_disk(problem: OSError) -> bool:
    """Whether a write did not fit: the disk, a quota or a limit on a file's size."""
    return problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(data: bytes, path: Path) -> Path:
    """Write bytes so that a reader sees the old file or the whole new one, durably.

    Raises:
        ShouldFreeDisk: the disk is full; nothing was changed.
    """
    with atomically(path) as stream:
        stream.write(data)
    return path


@contextmanager
def atomically(path: Path) -> Iterator[BinaryIO]:
    """What is written to the stream is durable and at ``path`` when the block ends, whole or not at all.

    Raises:
        ShouldFreeDisk: the disk is full; nothing was changed.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException as problem:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(problem, OSError) and is_full_disk(problem):
            raise ShouldFreeDisk(
                f"No room to write {path}.", "Free disk space and rerun."
            ) from problem
        raise


def write(value: Any, path: Path | str, kind: type[Any] | None = None) -> Path:
    """Write a contract value as JSON, atomically; returns the path."""
    return write_atomically(to_json(value, kind), Path(path))


def read(kind: type[T], path: Path | str) -> T:
    """Read a document; ``ShouldRestoreArtefact`` when it is missing or malformed."""
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise ShouldRestoreArtefact(
            f"{path} cannot be read ({problem.strerror}).", "Rerun the stage that writes it."
        ) from problem
    try:
        return from_json(kind, data)
    except EverloopError as problem:
        raise ShouldRestoreArtefact(f"{path}: {problem.message}", problem.remedy) from problem


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file, streamed; of a folder, of its files' relative names and checksums."""
    path = Path(path)
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            total.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
        return total.hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
