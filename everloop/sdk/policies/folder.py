"""A folder that one training writes at a time, and that keeps what another training has left there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from everloop.contracts.documents import read, write
from everloop.contracts.errors import (
    ShouldResolveConflict,
    ShouldRestoreArtefact,
    ShouldWaitForWorker,
)

LOCK_FILE = ".lock"
"""Held by the system's own lock for as long as its process lives; says whose it is."""
QUESTION_FILE = "question.json"


@dataclass(frozen=True, slots=True)
class Question:
    """What a folder's results answer.

    Attributes:
        sha256: of all that the command asked.
        told: the same in a few words, for whoever meets the folder.
    """

    sha256: str
    told: str
    schema_version: int = 1


@contextlib.contextmanager
def held(folder: Path, question: Question, results: tuple[str, ...], fresh: bool) -> Iterator[None]:
    """Hold a folder against other processes, once it is known that nothing of another question is lost.

    The lock goes with its process, however that ends, so a killed training is continued at once.

    Args:
        folder: made if it is missing.
        question: asked now.
        results: names of files and folders within ``folder`` that a training leaves.
        fresh: remove what another question has left.

    Raises:
        ShouldWaitForWorker: another process writes here; names it.
        ShouldResolveConflict: the results here answer another question.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ShouldWaitForWorker(
                f"{folder} is held by {lock.read().strip() or 'another process'}.",
                "Wait for it or stop it, or give another --out.",
            ) from None
        lock.truncate(0)
        lock.write(
            f"process {os.getpid()} on {socket.gethostname()} since "
            f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} ({question.told})\n"
        )
        lock.flush()
        _make_room(folder, question, results, fresh)
        write(question, folder / QUESTION_FILE)
        yield


def _make_room(folder: Path, question: Question, results: tuple[str, ...], fresh: bool) -> None:
    left = [folder / name for name in results if (folder / name).exists()]
    earlier = _question_of(folder)
    if not left or (earlier is not None and earlier.sha256 == question.sha256):
        return
    if not fresh:
        raise ShouldResolveConflict(
            f"{folder} holds {left[0].name} of something else "
            f"({'unknown' if earlier is None else earlier.told}), not of {question.told}.",
            "Give another --out, or --fresh to replace what is there.",
        )
    for place in left:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()


def _question_of(folder: Path) -> Question | None:
    try:
        return read(Question, folder / QUESTION_FILE)
    except ShouldRestoreArtefact:
        return None
