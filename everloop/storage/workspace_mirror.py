"""A workspace's log in BigQuery, whose libraries are imported when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.warehouse import Warehouse
from everloop.settings.cloud import BIGQUERY, BigQueryTables
from everloop.storage.local.extraction_query import Bounds, LogReader

if TYPE_CHECKING:  # its package brings Google's libraries
    from everloop.storage.gcp.bigquery.mirror import Synced
    from everloop.storage.gcp.bigquery.opening import OpenedMirror


class WorkspaceMirror:
    """The mirror of one workspace's log.

    Every method raises ``ShouldFixArgument`` where a package is not installed, ``ShouldProvideKey`` where
    there are no credentials, and what ``gcp.bigquery.failures.named`` says.

    Args:
        engine: of the workspace's database.
        place: the dataset.
        key: name of the key that people's pseudonyms are made with.
        home: the workspace folder.
    """

    def __init__(self, engine: Engine, place: BigQueryTables, key: str, home: Path) -> None:
        self._engine = engine
        self._place = place
        self._key = key
        self._home = home
        self._found: OpenedMirror | None = None

    @property
    def warehouse(self) -> Warehouse:
        """Runs statements beside the mirrored log."""
        return self._opened.warehouse

    def reader(self, bounds: Bounds) -> AbstractContextManager[LogReader]:
        """See ``LogReaders``: brings the mirror to where the log is, and reads it."""
        return self._opened.readers(bounds)

    def tenants(self) -> tuple[str, ...]:
        """Every tenant that has a log."""
        return self._opened.mirror.tenants()

    def sync(self, tenant: str, told: Callable[[str, int, int], None], verify: bool) -> Synced:
        """Bring the mirror to where the log is; see ``Mirror.sync``."""
        return self._opened.mirror.sync(tenant, told, verify=verify)

    def follow_erasures(self, tenant: str) -> None:
        """Delete there who was erased here."""
        self._opened.mirror.sync(tenant, erasures_only=True)

    @property
    def _opened(self) -> OpenedMirror:
        if self._found is None:
            self._found = _opening().open_mirror(self._place, self._engine, self._key, self._home)
        return self._found


def look_at_dataset(place: BigQueryTables) -> str:
    """See ``opening.look_at_dataset``."""
    seen: str = _opening().look_at_dataset(place)
    return seen


def _opening() -> ModuleType:
    try:
        from everloop.storage.gcp.bigquery import opening  # noqa: PLC0415  (a second to import)
    except ModuleNotFoundError as problem:
        if not str(problem.name).startswith(("google", "grpc")):
            raise
        raise ShouldFixArgument(
            f"{BIGQUERY} needs a package that is not installed: {problem.name}.",
            "Install everloop[gcp].",
        ) from problem
    return opening
