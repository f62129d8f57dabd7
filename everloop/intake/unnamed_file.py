"""Scratch space of an import: a file without a name, so that a killed import leaves nothing behind."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

from everloop.contracts.documents import is_full_disk
from everloop.contracts.errors import ShouldFreeDisk


def no_room(problem: OSError, what: str) -> ShouldFreeDisk | OSError:
    """``ShouldFreeDisk`` where the disk is full, otherwise the error itself."""
    if is_full_disk(problem):
        return ShouldFreeDisk(f"No room to write {what}.", "Free disk space and import again.")
    return problem


class UnnamedFile:
    """Lines of bytes, written once and read back in order; a context manager.

    Args:
        what: what the lines are, for the error when the disk is full.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._stream: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed in __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closing flushes; on a full disk that fails again, and the first error is the one to show.
        with contextlib.suppress(OSError):
            self._stream.close()

    def write(self, line: bytes) -> None:
        """Add a line (without its end). Raises ``ShouldFreeDisk`` when there is no room."""
        try:
            self._stream.write(line + b"\n")
        except OSError as problem:
            raise no_room(problem, self._what) from problem

    def lines(self) -> Iterator[bytes]:
        """Every line from the first, with its end. Raises ``ShouldFreeDisk`` as ``write`` does."""
        try:
            self._stream.seek(0)
        except OSError as problem:
            raise no_room(problem, self._what) from problem
        yield from self._stream
