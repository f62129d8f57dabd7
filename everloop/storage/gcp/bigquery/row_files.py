"""Files of rows on their way to BigQuery: in the workspace, and gone with whoever wrote them.

They hold pseudonyms and contexts, so they lie where the workspace's own files do, and a process that was
killed leaves none for long: each folder is locked for as long as its process lives, and whoever brings the
mirror up to date next deletes those that nobody locks.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from everloop.storage.gcp.bigquery.tables import Table, stage_prefix

FOLDER = "cache/bigquery"
_LOCK = ".lock"
_BEGINNING_SECONDS = 60.0
"""Within so many a folder has its lock."""


class RowFiles:
    """A folder of files, as long as its context.

    Args:
        home: the workspace folder.
        tenant: whose rows they are.
    """

    def __init__(self, home: Path, tenant: str) -> None:
        self._place = home / FOLDER
        self._prefix = stage_prefix(tenant)
        self._folder: Path | None = None
        self._lock = -1

    def __enter__(self) -> RowFiles:
        self._place.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self._place))
        self._lock = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None

    def file(self, table: Table) -> Path:
        """Where to write a table's rows; within the context alone, since nothing else deletes them."""
        if self._folder is None:
            raise RuntimeError("RowFiles are used outside their context.")
        return self._folder / f"{table.name}.parquet"


def sweep(home: Path) -> None:
    """Delete what processes left that are not alive any longer, whoever's rows it is."""
    for folder in sorted((home / FOLDER).glob("*")):
        if _is_left(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Whether nobody holds its lock; where there is none yet, whether it is older than a beginning."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        with suppress(FileNotFoundError):
            return time.time() - folder.stat().st_mtime > _BEGINNING_SECONDS
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
