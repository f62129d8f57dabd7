"""Submissions as rows: what can be done before the transaction is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from everloop.contracts.serving import Submission
from everloop.storage.sql.ingest_kinds import KINDS, Kind
from everloop.storage.sql.storable import refuse_unstorable, storable_sha256

_UNDATED = datetime.fromtimestamp(0).astimezone()
Key = tuple[str, str]
"""(tenant, id)"""


@dataclass(slots=True)
class PreparedRecord:
    """A record as its row, but for the two columns that its commit gives it."""

    kind: Kind
    record: Any
    key: Key
    sha256: bytes
    row: dict[str, Any]


@dataclass(slots=True)
class Prepared:
    """A submission whose rows are made: what can be done before the transaction is."""

    submission: Submission
    records: list[PreparedRecord]


def prepare(submission: Submission) -> Prepared:
    """Make the rows and checksums of a submission; takes most of an event's time, and no lock.

    Raises:
        ShouldFixInput: a record holds what a database would not keep as it is.
    """
    records = []
    for kind in KINDS:
        for record in kind.records(submission):
            what = f"{kind.key} {getattr(record, kind.key)}"
            sha256 = storable_sha256(kind.sha256, record, what, kind.error)
            row = kind.to_row(record, 0, _UNDATED, sha256)
            refuse_unstorable(kind.table, row, what, kind.error)
            key = (submission.tenant, row[kind.key])
            records.append(PreparedRecord(kind, record, key, sha256, row))
    return Prepared(submission, records)
