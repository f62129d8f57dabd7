"""Where the copy of what was spent and who was erased is kept, outside the database."""

from __future__ import annotations

import os
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument
from everloop.settings.cloud import Bucket, bucket_of, storage

LEDGER_JOURNAL = "EVERLOOP_LEDGER_JOURNAL"
JOURNAL_FOLDER = "ledger-journal"


def ledger_journal(home: Path) -> Path | Bucket:
    """The folder or the bucket that the environment names.

    Where it names none: the workspace's folder once a journal is there; otherwise the bucket of the
    datasets, since a workspace whose rows and files are elsewhere may be gone tomorrow; otherwise the
    folder.

    Args:
        home: the workspace folder.

    Raises:
        ShouldFixArgument: it is neither an absolute path nor ``gs://bucket/prefix``.
    """
    place = os.environ.get(LEDGER_JOURNAL, "")
    if not place:
        folder = home / JOURNAL_FOLDER
        return folder if folder.exists() else storage() or folder
    if place.startswith("gs:"):
        return bucket_of(LEDGER_JOURNAL, place)
    if not Path(place).is_absolute():
        raise ShouldFixArgument(
            f"{LEDGER_JOURNAL}={place!r} is no absolute path.",
            "Give a folder from its root, gs://bucket/prefix, or nothing.",
        )
    return Path(place)
