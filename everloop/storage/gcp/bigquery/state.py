"""The state of the mirror: how far each tenant's rows have come, changed with them or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from everloop.contracts.errors import ShouldFixInput
from everloop.storage.gcp.bigquery import statements
from everloop.storage.gcp.bigquery.failures import NotCommitted
from everloop.storage.gcp.bigquery.jobs import Jobs, Value, job_id_of
from everloop.storage.gcp.bigquery.tables import MIRRORED, STATE, WATERMARKS

NOTHING: Mapping[str, int] = MappingProxyType(dict.fromkeys(WATERMARKS, 0))
_LOST = re.compile(
    rf"{re.escape(statements.MOVED)}|concurrent|conflict|abort|serializ|failed to commit",
    re.IGNORECASE,
)
"""What a transaction says that was given up in favour of another."""


@dataclass(frozen=True, slots=True)
class MirrorState:
    """How far a tenant's rows have come.

    Attributes:
        generation: rises with every change of the tenant's rows.
        pseudonym_key: see ``LogMark``; empty before the first.
        erasures: how many of the tenant's erasures the rows have followed.
        upto: watermark -> the ingest number up to which every row is there.
        tail: ``log_rows.tail_of`` at those numbers.
    """

    generation: int = 0
    pseudonym_key: str = ""
    erasures: int = 0
    upto: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    tail: str = ""


class MirrorStates:
    """The states of every tenant.

    Args:
        jobs: of the dataset.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._since = ""

    def read(self, tenant: str) -> MirrorState:
        """A tenant's state; the first time, tables and state are made."""
        if not self._since:
            self._since = self._prepared()
        found = self._read(tenant)
        if found is not None:
            return found
        # One job makes the row, whoever asks for it: two rows would be two mirrors.
        chosen = job_id_of("begin", self._jobs.name, self._since, tenant)
        self._jobs.run(
            statements.begin_state(self._jobs.path), {"tenant": tenant}, _labels(tenant), chosen
        )
        return self._read(tenant) or MirrorState()

    def change(
        self,
        tenant: str,
        before: MirrorState,
        after: MirrorState,
        changes: Sequence[str],
        values: Mapping[str, Value],
    ) -> None:
        """Make changes of rows, and the state that says so, at once.

        Args:
            before: the state that the changes were computed at.
            after: what is to be; its generation is the next.
            changes: statements that change rows.
            values: their parameters besides the state's.

        Raises:
            NotCommitted: another change came first; nothing was done.
        """
        parameters: dict[str, Value] = {
            "tenant": tenant,
            "generation": before.generation,
            "pseudonym_key": after.pseudonym_key,
            "erasures": after.erasures,
            "tail": after.tail,
            **after.upto,
            **values,
        }
        new = (after.pseudonym_key, after.erasures, after.tail, *sorted(after.upto.items()))
        computed = repr((before.generation, new, len(changes)))
        chosen = job_id_of("change", self._jobs.name, self._since, tenant, computed)
        try:
            self._jobs.run(
                statements.changed(self._jobs.path, changes), parameters, _labels(tenant), chosen
            )
        except ShouldFixInput as problem:
            if not gave_way(problem):
                raise
            raise NotCommitted(str(problem)) from problem

    def _read(self, tenant: str) -> MirrorState | None:
        rows = self._jobs.run(
            statements.read_state(self._jobs.path), {"tenant": tenant}, _labels(tenant)
        )
        for row in rows:
            return MirrorState(
                row["generation"],
                row["pseudonym_key"],
                row["erasures"],
                {name: row[name] for name in WATERMARKS},
                row["tail"],
            )
        return None

    def _prepared(self) -> str:
        made = self._jobs.created(STATE.name)
        if made is None:
            for table in (*MIRRORED, STATE):
                self._jobs.create(table)
            made = self._jobs.created(STATE.name)
        return str(made)


def gave_way(problem: ShouldFixInput) -> bool:
    """Whether a request was given up in favour of another's, so that it may be made again."""
    return _LOST.search(str(problem)) is not None


def _labels(tenant: str) -> dict[str, str]:
    return {"tenant": tenant, "stage": "mirror"}
