"""The hash chain of ledger rows: every row covers its own content and the row before it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from everloop.contracts.canonical import Json, canonical_json
from everloop.contracts.errors import ShouldRepairLedger
from everloop.contracts.privacy import LedgerRow, ReleaseStatus

GENESIS = "0" * 64
"""``previous_sha256`` of the first row."""

_OF_THE_RELEASE = (
    "release_id",
    "pipeline",
    "logical_date",
    "stage",
    "configuration_sha256",
    "dataset_id",
    "mechanism",
    "mu_squared",
    "delta",
    "people",
    "people_commitment",
    "epsilon",
    "period_days",
    "key_id",
    "event",
    "rdp_version",
    "rdp",
)
"""Fields that a ``spent`` row repeats from its ``reserved`` row."""


_ADDED = frozenset({"epsilon", "period_days", "key_id", "event", "rdp_version", "rdp"})


def content_of(row: LedgerRow) -> dict[str, Json]:
    """What a row's hash covers, as JSON: every field but the hash itself.

    A field that was added to rows later is left out where it has its default.
    """
    content = {
        field.name: getattr(row, field.name)
        for field in dataclasses.fields(row)
        if field.name != "row_sha256"
        and not (field.name in _ADDED and getattr(row, field.name) == field.default)
    }
    content["mechanism"] = dict(row.mechanism)
    content["logical_date"] = row.logical_date.isoformat()
    content["recorded_at"] = row.recorded_at.isoformat()
    return content


def row_from(content: Mapping[str, Json]) -> LedgerRow:
    """The row that ``content_of`` and ``row_sha256`` tell of.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    rdp, parts = content.get("rdp"), (content["mechanism"], content.get("event") or {})
    if not all(isinstance(part, Mapping) for part in parts):
        raise TypeError("a mechanism is no object")
    return LedgerRow(
        **{
            **content,
            "logical_date": date.fromisoformat(content["logical_date"]),
            "recorded_at": datetime.fromisoformat(content["recorded_at"]),
            "status": ReleaseStatus(content["status"]),
            "rdp": None if rdp is None else tuple(rdp),
        }
    )


def row_sha256(row: LedgerRow) -> str:
    """SHA-256 of the canonical JSON of ``content_of`` the row."""
    return hashlib.sha256(canonical_json(content_of(row)).encode()).hexdigest()


def chained(row: LedgerRow, last: LedgerRow | None) -> LedgerRow:
    """The row as it follows ``last``: numbered, linked and hashed."""
    linked = dataclasses.replace(
        row,
        sequence=1 if last is None else last.sequence + 1,
        previous_sha256=GENESIS if last is None else last.row_sha256,
    )
    return dataclasses.replace(linked, row_sha256=row_sha256(linked))


def broken(row: LedgerRow, problem: str) -> ShouldRepairLedger:
    """The error that names a bad row."""
    return ShouldRepairLedger(
        f"Privacy ledger row {row.sequence} (release {row.release_id}) {problem}.",
        "Restore the ledger from a backup; no release is made until it verifies.",
    )


def check_chain(rows: Sequence[LedgerRow]) -> dict[str, LedgerRow]:
    """Check numbering, hashes and life cycles; the newest row of each release.

    Raises:
        ShouldRepairLedger: naming the first bad row.
    """
    newest: dict[str, LedgerRow] = {}
    last: LedgerRow | None = None
    for row in rows:
        expected = 1 if last is None else last.sequence + 1
        if row.sequence != expected:
            raise broken(row, f"stands where row {expected} belongs: rows are missing")
        if row.previous_sha256 != (GENESIS if last is None else last.row_sha256):
            raise broken(row, "does not follow the row before it")
        if row.row_sha256 != row_sha256(row):
            raise broken(row, "was changed: its content does not match its hash")
        _check_life_cycle(row, newest.get(row.release_id))
        newest[row.release_id] = last = row
    return newest


def _check_life_cycle(row: LedgerRow, before: LedgerRow | None) -> None:
    if row.status is ReleaseStatus.RESERVED:
        if before is not None:
            raise broken(row, "reserves a release for a second time")
        if not (math.isfinite(row.mu_squared) and row.mu_squared > 0.0):
            raise broken(row, f"has a privacy loss of {row.mu_squared}")
        return
    if before is None or before.status is not ReleaseStatus.RESERVED:
        raise broken(row, "is spent without a reservation just before it")
    for name in _OF_THE_RELEASE:
        if getattr(row, name) != getattr(before, name):
            raise broken(row, f"has another {name} than its reservation, row {before.sequence}")
