"""The mirror of the log: what the workspace's database has, BigQuery has, and what it forgot, too.

A step is computed from the database and from the mirror's state, staged, and made in one transaction
that holds only if the state is still the same (``statements.changed``). So a step may be repeated, killed
anywhere or raced by another process: the state says what is left to do, and the next step does it. Rows
are brought over by ingest number, which no row changes; what is deleted or rewritten below the watermark
is found by comparing blocks of numbers whenever the tenant's count of erasures has moved.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

from everloop.contracts.errors import ShouldFixInput, ShouldRetryLater
from everloop.storage.gcp.bigquery import log_rows, statements
from everloop.storage.gcp.bigquery.failures import NotCommitted, TableGone
from everloop.storage.gcp.bigquery.jobs import Jobs, Value
from everloop.storage.gcp.bigquery.log_rows import LogMark
from everloop.storage.gcp.bigquery.row_files import RowFiles, sweep
from everloop.storage.gcp.bigquery.staging import Staging
from everloop.storage.gcp.bigquery.state import NOTHING, MirrorState, MirrorStates, gave_way
from everloop.storage.gcp.bigquery.tables import MIRRORED, WATERMARKS, tables_of
from everloop.storage.sql.engine import reading

CHUNKS: Mapping[str, int] = {
    "episodes": 200_000,
    "signals": 1_000_000,
    "revisions": 500_000,
    "reviews": 500_000,
}
"""Ingest numbers that one step brings over."""
_TRIES = 12
_LONGEST_PAUSE = 8.0

Told = Callable[[str, int, int], None]
"""(watermark, number reached, number wanted), after every step."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What a synchronisation did.

    Attributes:
        loaded: rows that this process brought over, by table.
        repaired: blocks of rows that were made anew, by table.
        rebuilt: whether everything was brought over again, because people have other pseudonyms now or
            the database is another than it was.
        upto: the watermarks that the mirror has come to.
    """

    tenant: str
    loaded: Mapping[str, int]
    repaired: Mapping[str, int]
    rebuilt: bool
    upto: Mapping[str, int]


class Mirror:
    """The mirror of one workspace's log.

    Args:
        engine: of the workspace's database.
        jobs: of the dataset.
        key: name of the key that people's pseudonyms are made with.
        home: the workspace folder, where rows wait to be loaded.
        chunks: ingest numbers that a step brings over, by watermark.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Jobs,
        key: str,
        home: Path,
        chunks: Mapping[str, int] = CHUNKS,
    ) -> None:
        self._engine = engine
        self._jobs = jobs
        self._key = key
        self._home = home
        self._chunks = chunks
        self._states = MirrorStates(jobs)

    def tenants(self) -> tuple[str, ...]:
        """Every tenant that has a log."""
        with reading(self._engine) as connection:
            return log_rows.tenants_of(connection)

    def state(self, tenant: str = "default") -> MirrorState:
        """How far a tenant's rows have come."""
        return self._states.read(tenant)

    def sync(
        self,
        tenant: str = "default",
        told: Told = lambda *_: None,
        erasures_only: bool = False,
        verify: bool = False,
    ) -> Synced:
        """Bring the mirror to where the log is now.

        Args:
            told: hears of progress.
            erasures_only: only delete who was erased.
            verify: compare every block, also where nobody was erased.

        Raises:
            ShouldRetryLater: others change the same tenant again and again; besides, what
                ``failures.named`` says.
        """
        done = _Done()
        failed = 0
        sweep(self._home)
        while True:
            try:
                state = self._states.read(tenant)
                if not self._step(tenant, state, done, erasures_only, verify, told):
                    return done.as_synced(tenant, state.upto)
                verify, failed = verify and not done.compared, 0
            except (NotCommitted, TableGone, ShouldFixInput) as problem:
                if isinstance(problem, ShouldFixInput) and not gave_way(problem):
                    raise
                failed += 1
                if failed == _TRIES:
                    raise ShouldRetryLater(
                        f"The mirror of {tenant} in {self._jobs.name} changed {failed} times while it "
                        f"was brought up to date ({problem}).",
                        "Let the other processes finish, and repeat.",
                        30.0,
                    ) from problem
                time.sleep(random.uniform(0.1, min(_LONGEST_PAUSE, 0.25 * 2**failed)))

    def _step(
        self,
        tenant: str,
        state: MirrorState,
        done: _Done,
        erasures_only: bool,
        verify: bool,
        told: Told,
    ) -> bool:
        """The next thing that is left to do; False when there is none."""
        with reading(self._engine) as connection:
            mark = log_rows.log_mark(connection, tenant, self._key)
            tail = log_rows.tail_of(connection, tenant, state.upto)
            empty = log_rows.tail_of(connection, tenant, NOTHING)
        if is_another(state, mark, tail):
            after = MirrorState(0, mark.pseudonym_key, mark.erasures, NOTHING, empty)
            forget = statements.forget(self._jobs.path)
            self._states.change(tenant, state, after, forget, {})
            self._staging(tenant).sweep()
            done.rebuilt |= state.generation > 0
            return True
        if state.erasures != mark.erasures or verify:
            self._repair(tenant, state, done)
            return True
        behind = [name for name in WATERMARKS if state.upto[name] < mark.ends[name]]
        if erasures_only or not behind:
            return False
        name, end = behind[0], mark.ends[behind[0]]
        reached = min(end, state.upto[name] + self._chunks[name])
        self._load(tenant, state, name, reached, done)
        told(name, reached, end)
        return True

    def _load(self, tenant: str, state: MirrorState, name: str, reached: int, done: _Done) -> None:
        """Bring over the rows after a watermark, up to a number."""
        upto = {**state.upto, name: reached}
        changes, values, rows = list[str](), dict[str, Value](), Counter[str]()
        with RowFiles(self._home, tenant) as files, self._staging(tenant) as staging:
            with reading(self._engine) as connection:
                if log_rows.erasures_of(connection, tenant) != state.erasures:
                    raise NotCommitted("somebody was erased")
                tail = log_rows.tail_of(connection, tenant, upto)
                written = {
                    table: log_rows.write_numbers(
                        connection, table, tenant, state.upto[name], reached, files.file(table)
                    )
                    for table in tables_of(name)
                }
            for table, one in written.items():
                if not one.rows:
                    continue
                stage = staging.load(one.path, table)
                if table.partition:
                    values |= {f"first_{table.name}": one.first, f"last_{table.name}": one.last}
                changes.append(
                    statements.merge(self._jobs.path, table, stage, bool(table.partition))
                )
                rows[table.name] += one.rows
            after = replace(state, upto=upto, tail=tail)
            self._states.change(tenant, state, after, changes, values)
        done.loaded.update(rows)

    def _repair(self, tenant: str, state: MirrorState, done: _Done) -> None:
        """Make the blocks of rows that differ what they are in the database."""
        changes, values, found = list[str](), dict[str, Value](), Counter[str]()
        with RowFiles(self._home, tenant) as files, self._staging(tenant) as staging:
            written = {}
            with reading(self._engine) as connection:
                erasures = log_rows.erasures_of(connection, tenant)
                tail = log_rows.tail_of(connection, tenant, state.upto)
                for table in MIRRORED:
                    upto = state.upto[table.watermark]
                    here = log_rows.blocks_of(connection, table, tenant, upto)
                    there = self._blocks(tenant, table.name, upto)
                    differing = sorted(
                        block for block in here | there if here.get(block) != there.get(block)
                    )
                    if differing:
                        path = files.file(table)
                        written[table] = log_rows.write_blocks(
                            connection, table, tenant, differing, upto, path
                        )
                        values[f"blocks_{table.name}"] = differing
                        found[table.name] = len(differing)
            for table, one in written.items():
                stage = staging.load(one.path, table)
                changes.append(statements.repair(self._jobs.path, table, stage))
            if changes or erasures != state.erasures:
                after = replace(state, erasures=erasures, tail=tail)
                self._states.change(tenant, state, after, changes, values)
            staging.sweep()
        done.repaired.update(found)
        done.compared = True

    def _blocks(self, tenant: str, name: str, upto: int) -> dict[int, log_rows.Block]:
        table = next(one for one in MIRRORED if one.name == name)
        rows = self._jobs.run(
            statements.blocks(self._jobs.path, table),
            {"tenant": tenant, "upto": upto},
            {"tenant": tenant, "stage": "mirror"},
        )
        return {
            int(row["block"]): (int(row["found"]), int(row["codes"]), int(row["size"]))
            for row in rows
        }

    def _staging(self, tenant: str) -> Staging:
        return Staging(self._jobs, tenant, {"tenant": tenant, "stage": "mirror"})


class _Done:
    """What a synchronisation has done so far."""

    def __init__(self) -> None:
        self.loaded: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.rebuilt = False
        self.compared = False

    def as_synced(self, tenant: str, upto: Mapping[str, int]) -> Synced:
        return Synced(tenant, dict(self.loaded), dict(self.repaired), self.rebuilt, upto)


def is_another(state: MirrorState, mark: LogMark, tail: str) -> bool:
    """Whether the mirrored rows cannot be those of the database: its people have other pseudonyms, or an
    older state of it was restored and has gone its own way since."""
    if state.pseudonym_key != mark.pseudonym_key or state.erasures > mark.erasures:
        return True
    if any(state.upto[name] > mark.ends[name] for name in WATERMARKS):
        return True
    return state.erasures == mark.erasures and state.tail != tail
