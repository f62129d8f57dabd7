"""What the mirror reads of the workspace's database: rows by ingest number, and what tells that they
are still the ones that were mirrored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    Text,
    and_,
    case,
    cast,
    extract,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.sql import ColumnElement, FromClause

from everloop.storage.gcp.bigquery.tables import (
    CONSENTS,
    DISPUTES,
    EPISODES,
    MIRRORED,
    REVIEWS,
    SIGNALS,
    WATERMARKS,
    Kind,
    Table,
)
from everloop.storage.rollout_tables import review_decisions, reviews
from everloop.storage.schema import (
    consents,
    disputes,
    ingest_counters,
    reward_signals,
    training_episodes,
)
from everloop.storage.service_tables import audit_log, key_fingerprints
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.episode_reviews import EPISODE_REVIEWS
from everloop.storage.sql.erasure_marks import ERASURES

BLOCK = 1024
"""Ingest numbers that are compared as one."""
CODES = 1_000_003
"""What a column is in a row's sum is less, so that a block's sum stays below 2^63."""
FACTOR = 31
"""Of a row's sum so far, before the next column is added."""
_FETCHED = 8192
_GROUP = 65_536
_ASKED = 100
_COUNTERS = {
    "episodes": counters.EPISODES,
    "signals": counters.SIGNALS,
    "revisions": counters.REVISIONS,
    "reviews": EPISODE_REVIEWS,
}

Watermarks = Mapping[str, int]
"""Name of ``tables.WATERMARKS`` -> the largest ingest number that counts."""
Block = tuple[int, int, int]
"""Of a block's rows: how many, the sum of what their compared columns say, each times its place in the
block, and the length of what may change."""
_RESTORED = ("backup.restore", "privacy.recover")
"""What the audit says of a database that goes on from an older state."""


@dataclass(frozen=True, slots=True)
class LogMark:
    """How far the log is, in one state of the database.

    Attributes:
        pseudonym_key: fingerprint of the key that the rows name people under; after a restore with a
            checksum of that restore, from which on numbers mean other rows.
    """

    pseudonym_key: str
    erasures: int
    ends: Watermarks


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows in a Parquet file; ``first`` and ``last``: bounds of the partition column, if it has one."""

    path: Path | None
    rows: int
    first: Any = None
    last: Any = None


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a mirrored table's columns come from."""

    of: FromClause
    tenant: ColumnElement[str]
    number: ColumnElement[int]
    key: ColumnElement[str]
    columns: Mapping[str, ColumnElement[Any]]


def _text(column: ColumnElement[Any]) -> ColumnElement[str]:
    return cast(column, Text)


def _named(table: Any, kept: Table, **others: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    return {c.name: others[c.name] if c.name in others else table.c[c.name] for c in kept.columns}


_DECIDED = review_decisions.join(
    reviews,
    and_(
        reviews.c.tenant == review_decisions.c.tenant,
        reviews.c.review_id == review_decisions.c.review_id,
    ),
)
_JUDGED = reward_signals.join(
    training_episodes,
    and_(
        training_episodes.c.tenant == reward_signals.c.tenant,
        training_episodes.c.episode_id == reward_signals.c.episode_id,
    ),
)
_SOURCES: Mapping[str, _Source] = {
    EPISODES.name: _Source(
        training_episodes,
        training_episodes.c.tenant,
        training_episodes.c.seq,
        training_episodes.c.episode_id,
        _named(
            training_episodes,
            EPISODES,
            **{
                name: _text(training_episodes.c[name])
                for name in ("valid_actions", "action_arguments", "context_snapshot")
            },
        ),
    ),
    SIGNALS.name: _Source(
        _JUDGED,
        reward_signals.c.tenant,
        reward_signals.c.seq,
        reward_signals.c.signal_id,
        _named(
            reward_signals,
            SIGNALS,
            loop=training_episodes.c.loop,
            episode_at=training_episodes.c.timestamp,
        ),
    ),
    CONSENTS.name: _Source(
        consents,
        consents.c.tenant,
        consents.c.revision,
        consents.c.user_id,
        _named(consents, CONSENTS),
    ),
    DISPUTES.name: _Source(
        disputes,
        disputes.c.tenant,
        disputes.c.revision,
        disputes.c.signal_id,
        _named(disputes, DISPUTES),
    ),
    REVIEWS.name: _Source(
        _DECIDED,
        review_decisions.c.tenant,
        review_decisions.c.revision,
        review_decisions.c.review_id,
        _named(review_decisions, REVIEWS, kind=reviews.c.kind, episode_id=reviews.c.episode_id),
    ),
}


def log_mark(connection: Connection, tenant: str, key: str) -> LogMark:
    """How far the tenant's log is.

    Args:
        key: name of the key that people's pseudonyms are made with.
    """
    known = select(key_fingerprints.c.fingerprint).where(key_fingerprints.c.name == key)
    restored = (
        select(audit_log.c.tenant, audit_log.c.sequence, audit_log.c.at, audit_log.c.resource)
        .where(audit_log.c.action.in_(_RESTORED))
        .order_by(audit_log.c.at.desc(), audit_log.c.tenant, audit_log.c.sequence.desc())
        .limit(1)
    )
    name, last = connection.scalar(known) or "", connection.execute(restored).first()
    if last is not None:
        name += f"@{hashlib.sha256(repr(tuple(last)).encode()).hexdigest()[:16]}"
    return LogMark(
        name,
        counters.last_number(connection, tenant, ERASURES),
        {name: counters.last_number(connection, tenant, _COUNTERS[name]) for name in WATERMARKS},
    )


def erasures_of(connection: Connection, tenant: str) -> int:
    """How many erasures the tenant has had."""
    return counters.last_number(connection, tenant, ERASURES)


def tail_of(connection: Connection, tenant: str, upto: Watermarks) -> str:
    """A checksum of each table's last row within the watermarks.

    Where it changed and nobody was erased, the database is another than it was: an older one, restored,
    gives the same numbers again to other rows.
    """
    total = hashlib.sha256()
    for table in MIRRORED:
        source = _SOURCES[table.name]
        shown = (column for name, column in source.columns.items() if name != table.changing)
        last = (
            select(*shown)
            .select_from(source.of)
            .where(source.tenant == tenant, source.number <= upto[table.watermark])
            .order_by(source.number.desc())
            .limit(1)
        )
        total.update(repr(tuple(connection.execute(last).first() or ())).encode())
    return total.hexdigest()


def tenants_of(connection: Connection) -> tuple[str, ...]:
    """Every tenant that has a log."""
    query = select(ingest_counters.c.tenant).distinct().order_by(ingest_counters.c.tenant)
    return tuple(connection.scalars(query))


def write_numbers(
    connection: Connection, table: Table, tenant: str, after: int, upto: int, path: Path
) -> Loaded:
    """Write the rows whose number is in ``(after, upto]`` to a file."""
    number = _SOURCES[table.name].number
    rows = _rows(table, tenant).where(number > after, number <= upto)
    return _write(connection, table, [rows], path)


def write_blocks(
    connection: Connection, table: Table, tenant: str, blocks: list[int], upto: int, path: Path
) -> Loaded:
    """Write the rows of some blocks, up to a number, to a file."""
    number = _SOURCES[table.name].number
    rows = _rows(table, tenant).where(number <= upto)
    queries = [
        rows.where(or_(*(number.between(b, b + BLOCK - 1) for b in blocks[start : start + _ASKED])))
        for start in range(0, len(blocks), _ASKED)
    ]
    return _write(connection, table, queries, path)


def blocks_of(connection: Connection, table: Table, tenant: str, upto: int) -> dict[int, Block]:
    """First number of each block that has rows -> what its rows amount to."""
    source = _SOURCES[table.name]
    place = source.number % BLOCK
    length = func.sum(func.length(source.columns[table.changing])) if table.changing else literal(0)
    row: ColumnElement[int] = cast(literal(0), BigInteger)
    for column in table.summed:
        row = row * FACTOR + _code(connection, source.columns[column.name], column.kind) % CODES
    query = (
        select(source.number - place, func.count(), func.sum(row * (place + 1)), length)
        .select_from(source.of)
        .where(source.tenant == tenant, source.number <= upto)
        .group_by(source.number - place)
    )
    return {
        int(first): (int(rows), int(codes), int(size))
        for first, rows, codes, size in connection.execute(query)
    }


def _code(connection: Connection, column: ColumnElement[Any], kind: Kind) -> ColumnElement[int]:
    """As a number: 0 or 1, microseconds since the epoch, or the first four characters in base 256."""
    sqlite = connection.dialect.name == "sqlite"
    if kind is Kind.BOOL:
        return case((column.is_(True), 1), else_=0)
    if kind is Kind.TIMESTAMP:
        if sqlite:
            return type_coerce(column, BigInteger)
        return cast(extract("epoch", column) * 1_000_000, BigInteger)
    first = func.unicode if sqlite else func.ascii
    total: ColumnElement[int] = cast(literal(0), BigInteger)
    for place in (1, 2, 3, 4):
        total = total * 256 + func.coalesce(first(func.substr(column, place, 1)), 0)
    return total


def _rows(table: Table, tenant: str) -> Select[Any]:
    source = _SOURCES[table.name]
    shown = [source.columns[column.name].label(column.name) for column in table.columns]
    return (
        select(*shown).select_from(source.of).where(source.tenant == tenant).order_by(source.number)
    )


def _write(connection: Connection, table: Table, queries: list[Select[Any]], path: Path) -> Loaded:
    rows, first, last = 0, None, None
    with pq.ParquetWriter(path, table.arrow, compression="zstd") as writer:
        for query in queries:
            for batch in _batches(connection, table, query):
                rows += batch.num_rows
                if table.partition:
                    ends = pc.min_max(batch.column(table.partition)).as_py()
                    first = ends["min"] if first is None else min(first, ends["min"])
                    last = ends["max"] if last is None else max(last, ends["max"])
                writer.write_batch(batch, row_group_size=_GROUP)
    if not rows:
        path.unlink()
    return Loaded(path if rows else None, rows, first, last)


def _batches(connection: Connection, table: Table, query: Select[Any]) -> Iterator[pa.RecordBatch]:
    streamed = connection.execution_options(yield_per=_FETCHED)
    with streamed.execute(query) as found:
        for rows in found.partitions():
            columns = zip(*rows, strict=True)
            arrays = [
                pa.array(values, field.type)
                for values, field in zip(columns, table.arrow, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=table.arrow)
