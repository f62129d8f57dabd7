"""Which key the people of a workspace's dataset versions are named under.

A version that was extracted before the pseudonym key was replaced names people by pseudonyms that
nobody has any longer; beside a newer one, a person would be two. The mark beside the versions tells,
also where another process or another folder on the same database replaced the key.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everloop.contracts import documents
from everloop.storage.local.erased_artefacts import ErasedArtefacts

MARK = "pseudonym-key.json"


def keep_datasets_of(home: Path, fingerprint: str) -> int:
    """Delete every version that another key's people are in, and what runs made of it; how many.

    Versions without a mark are taken for this key's. Whoever is killed within does it again.

    Args:
        home: the workspace folder.
        fingerprint: of the pseudonym key that the database's rows have now.

    Raises:
        ShouldFreeDisk: the mark did not fit.
    """
    mark = home / "datasets" / MARK
    if _marked(mark) == fingerprint:
        return 0
    mark.parent.mkdir(parents=True, exist_ok=True)
    with _alone(mark.parent):
        before, removed = _marked(mark), 0
        if before is not None and before != fingerprint:
            removed = ErasedArtefacts(home).remove_datasets()
        documents.write(fingerprint, mark)
    return removed


def _marked(mark: Path) -> str | None:
    return documents.read(str, mark) if mark.exists() else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else who opens the workspace deletes what this process extracts next."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
