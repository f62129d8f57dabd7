"""Stages: tables that hold rows for one statement, gone when it has run and expiring if it never does."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from everloop.contracts.errors import EverloopError
from everloop.storage.gcp.bigquery.jobs import Jobs
from everloop.storage.gcp.bigquery.tables import Table, stage_prefix


class Staging:
    """Tables that files were loaded into.

    Args:
        jobs: of the dataset.
        tenant: whose rows they are.
        labels: of the loads.
    """

    def __init__(self, jobs: Jobs, tenant: str, labels: Mapping[str, str]) -> None:
        self._jobs = jobs
        self._labels = labels
        self._prefix = stage_prefix(tenant)
        self._made: list[str] = []

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stage in self._made:
            with suppress(
                EverloopError
            ):  # it expires by itself, and the next erasure sweeps it away
                self._jobs.drop(stage)

    def load(self, path: Path | None, table: Table) -> str:
        """Load a file (or nothing) into a new stage of a table's shape; the stage's name."""
        stage = f"{self._prefix}{table.name}_{uuid.uuid4().hex}"
        self._made.append(stage)
        self._jobs.load(path, stage, table, self._labels)
        return stage

    def sweep(self) -> None:
        """Delete every stage of the tenant that is not this one's: whoever was erased may be in it.

        A process that is using one starts its step anew.
        """
        for stage in self._jobs.stages(self._prefix):
            if stage not in self._made:
                self._jobs.drop(stage)
