"""A user's own log from Parquet, CSV or JSON Lines: checked row by row, imported whole."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput, ShouldFixMapping
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import EventLog
from everloop.intake.cells import BadCell
from everloop.intake.conformity import did_you_mean
from everloop.intake.mapping import ImportMapping
from everloop.intake.records import (
    PROGRESS_EVERY,
    ImportSummary,
    Progress,
    Pseudonym,
    Seal,
    append_whole,
    as_it_is,
)
from everloop.intake.rejects import Rejects
from everloop.intake.rows import FileKind, Malformed, Row, columns_of, kind_of, read_rows
from everloop.intake.spool import SerialisedDecision, Spool
from everloop.intake.translation import Translation

_TOP_REASONS = 3


class _Check:
    """Reads a whole file: good rows into the spool, the others into the rejects."""

    def __init__(
        self, translation: Translation, seal: Seal, spool: Spool, rejects: Rejects
    ) -> None:
        self.rows = 0
        self._translation = translation
        self._seal = seal
        self._spool = spool
        self._rejects = rejects
        self._seen: dict[int, tuple[int, bytes]] = {}
        self._names: set[str] = set()

    def take(self, row: Row | Malformed) -> None:
        self.rows += 1
        if isinstance(row, Malformed):
            self._rejects.add(row.line, None, row.value, row.problem, row.fix)
            return
        self._names.update(row.cells)
        try:
            self._keep(row)
        except BadCell as bad:
            self._rejects.add(row.line, bad.column, bad.value, bad.problem, bad.fix)

    def _keep(self, row: Row) -> None:
        episode = self._translation.episode(row.cells)
        signals = self._translation.signals(row.cells, episode)
        decision = SerialisedDecision.of(self._seal(episode), signals)
        digest = decision.digest
        identity = uuid.UUID(episode.episode_id).int
        first, stored = self._seen.setdefault(identity, (row.line, digest))
        if stored != digest:
            raise BadCell(
                "episode_id",
                episode.episode_id,
                "repeats an earlier row's id with other content",
                f"Give each decision its own id; the first is on line {first}.",
            )
        self._spool.add(decision)

    def require_columns(self) -> None:
        """JSON Lines name their columns row by row: one that no row has is a wrong mapping."""
        absent = [name for name in self._translation.columns if name not in self._names]
        if self._names and absent:
            raise ShouldFixMapping(
                f"No row has a field {absent[0]!r}.", did_you_mean(absent[0], sorted(self._names))
            )


def _share(max_reject_share: float) -> float:
    if not 0.0 <= max_reject_share <= 1.0:
        raise ShouldFixArgument(
            f"max_reject_share={max_reject_share} is outside [0, 1].",
            "Give the share of rows that may be refused.",
        )
    return max_reject_share


def _refuse_too_many(rows: int, rejects: Rejects, share: float, rejects_path: Path) -> None:
    if len(rejects) <= share * rows:
        return
    reasons = "; ".join(f"{count} x {what}" for what, count in rejects.problems[:_TOP_REASONS])
    raise ShouldFixInput(
        f"{len(rejects)} of {rows} rows were refused ({len(rejects) / rows:.1%}), more than "
        f"{share:.1%}: nothing was imported. Most often: {reasons}.",
        f"See {rejects_path}; correct the file or the mapping, or allow a larger share.",
    )


def _note(rows: int, rejected: int, path: Path, mapping: ImportMapping) -> str:
    note = f"{rows} rows of {path.name}; {rejected} refused."
    if mapping.propensity is None:
        note += (
            " No propensity is mapped: these decisions are kept but never used to judge a policy."
        )
    return note


def import_file(
    log: EventLog,
    spec: LoopSpec,
    path: Path,
    mapping: ImportMapping,
    pseudonym: Pseudonym,
    rejects_path: Path,
    tenant: str = "default",
    progress: Progress | None = None,
    *,
    kind: FileKind | None = None,
    max_reject_share: float = 0.01,
    now: datetime | None = None,
    seal: Seal = as_it_is,
) -> ImportSummary:
    """Import a log file, whole or not at all; again, it is a replay.

    Every row is parsed and checked first; then the good ones go in as one transaction. Memory grows
    by about 200 bytes a row (the ids seen); the rest is streamed.

    Args:
        rejects_path: where the refused rows are written, one JSON object a line
            (line, column, value, problem, fix); removed when there are none.
        kind: format of the file; None reads it off the name.
        max_reject_share: largest share of refused rows at which the rest is still imported.
        now: what counts as the present, UTC; None is the machine's clock.
        seal: seals health fields, before anything is written to disk.

    Raises:
        ShouldFixInput: the file cannot be read to its end, or too many rows were refused.
        ShouldFixMapping: the mapping reads a column that the file does not have.
        ShouldResolveConflict: the log holds one of the ids with other content.
        ShouldFreeDisk: no room. In all of these nothing was imported.
    """
    share = _share(max_reject_share)
    if path.resolve() == rejects_path.resolve():
        raise ShouldFixArgument(f"{path} is both input and rejects.", "Name another rejects file.")
    kind = kind or kind_of(path)
    translation = Translation(spec, mapping, pseudonym, tenant, now or datetime.now(UTC))
    present = columns_of(path, kind)
    if present is not None:
        translation.require(present)
    with Spool() as spool, Rejects() as rejects:
        check = _Check(translation, seal, spool, rejects)
        for row in read_rows(path, kind, set(translation.columns)):
            check.take(row)
            if progress is not None and check.rows % PROGRESS_EVERY == 0:
                progress(check.rows)
        if progress is not None and check.rows % PROGRESS_EVERY:
            progress(check.rows)
        if present is None:
            check.require_columns()
        published = rejects.publish(rejects_path)
        _refuse_too_many(check.rows, rejects, share, rejects_path)
        note = _note(check.rows, len(rejects), path, mapping)
        summary = append_whole(log, spec, tenant, spool.episodes(), spool.signals(), note)
        return dataclasses.replace(
            summary,
            rejected=len(rejects),
            rejects_path=published,
            problems=rejects.problems,
        )
