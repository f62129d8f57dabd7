"""Where the copy of what was spent and who was erased is kept, outside the database."""

from __future__ import annotations

import os
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument
from everloop.settings.cloud import Bucket, bucket_of

LEDGER_JOURNAL = "EVERLOOP_LEDGER_JOURNAL"
JOURNAL_FOLDER = "ledger-journal"


def ledger_journal(home: Path) -> Path | Bucket:
    """The folder or the bucket that the environment names; a folder of the workspace where it names none.

    Args:
        home: the workspace folder.

    Raises:
        ShouldFixArgument: it is neither an absolute path nor ``gs://bucket/prefix``.
    """
    place = os.environ.get(LEDGER_JOURNAL, "")
    if not place:
        return home / JOURNAL_FOLDER
    if place.startswith("gs:"):
        return bucket_of(LEDGER_JOURNAL, place)
    if not Path(place).is_absolute():
        raise ShouldFixArgument(
            f"{LEDGER_JOURNAL}={place!r} is no absolute path.",
            "Give a folder from its root, gs://bucket/prefix, or nothing.",
        )
    return Path(place)
