"""An extraction's questions to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from psycopg import sql

from everloop.storage.local.extraction_query import Bounds, Queries

_MEMORY = "64MB"
_BYTES_A_ROW = 4096
_BATCH_BYTES = 16 << 20

_CTE = """
WITH opted_out AS MATERIALIZED (
  SELECT user_id FROM (
    SELECT user_id, granted, row_number() OVER (
      PARTITION BY user_id ORDER BY recorded_at DESC, revision DESC) AS age
    FROM consents
    WHERE tenant = {tenant} AND purpose = 'train' AND revision <= {revision}) AS newest
  WHERE age = 1 AND NOT granted),
held AS MATERIALIZED (
  SELECT signal_id FROM (
    SELECT signal_id, status, row_number() OVER (
      PARTITION BY signal_id ORDER BY recorded_at DESC, revision DESC) AS age
    FROM disputes WHERE tenant = {tenant} AND revision <= {revision}) AS newest
  WHERE age = 1 AND status <> 'rejected')
"""
_WINDOW = """
WHERE e.tenant = {tenant} AND e.loop = {loop} AND e.timestamp >= {start} AND e.timestamp < {cutoff}
  AND e.seq <= {episodes}
"""
_LEFT_OUT = "EXISTS (SELECT FROM opted_out WHERE opted_out.user_id = e.user_id)"
# Seconds as exact numbers: a latency that a timestamp cannot be moved by must not end the query.
_SINCE = "extract(epoch FROM {cutoff} - e.timestamp)"
_LATE = f"(s.latency > {{closes}} OR s.latency > {_SINCE})"
_PASSED = f"({_SINCE} >= {{closes}})"

# Ids sort by their bytes, as on SQLite, whatever language the database sorts by.
_OPTED_OUT = f"""{_CTE}
SELECT count(DISTINCT e.user_id) AS people, count(*) AS episodes
FROM training_episodes AS e {_WINDOW} AND {_LEFT_OUT}"""  # noqa: S608
_DAYS = f"""{_CTE}
SELECT floor(extract(epoch FROM e.timestamp - {{start}}) / 86400)::bigint AS day,
  count(*) AS logged, count(*) FILTER (WHERE NOT {_PASSED}) AS open
FROM training_episodes AS e {_WINDOW} AND NOT {_LEFT_OUT}
GROUP BY day"""  # noqa: S608
_EPISODES = f"""{_CTE}
SELECT e.episode_id, e.user_id AS person, e.timestamp, e.action_taken AS action,
  coalesce(e.propensity, -1.0) AS propensity, e.valid_actions::text AS valid_actions,
  e.context_snapshot::text AS context, e.action_arguments::text AS action_arguments,
  e.model_version, e.arm, {_PASSED} AS closed
FROM training_episodes AS e {_WINDOW} AND NOT {_LEFT_OUT} AND {_PASSED}
ORDER BY e.timestamp, e.episode_id COLLATE "C\""""  # noqa: S608
_SIGNALS = f"""{_CTE}
SELECT s.signal_id, s.episode_id, s.signal_type, s.value, s.latency, s.confidence,
  held.signal_id IS NOT NULL AS disputed, {_LATE} AS late, {_PASSED} AS counts
FROM training_episodes AS e
JOIN reward_signals AS s ON s.tenant = e.tenant AND s.episode_id = e.episode_id
LEFT JOIN held ON held.signal_id = s.signal_id
{_WINDOW} AND s.seq <= {{signals}} AND NOT {_LEFT_OUT}
ORDER BY s.signal_id COLLATE "C\""""  # noqa: S608
_REVIEWS = f"""{_CTE}
SELECT e.episode_id, r.kind, d.state
FROM reviews AS r
JOIN training_episodes AS e ON e.tenant = r.tenant AND e.episode_id = r.episode_id
JOIN review_decisions AS d ON d.tenant = r.tenant AND d.review_id = r.review_id
{_WINDOW} AND NOT {_LEFT_OUT} AND {_PASSED}
  AND d.revision = (
    SELECT max(newest.revision) FROM review_decisions AS newest
    WHERE newest.tenant = r.tenant AND newest.review_id = r.review_id
      AND newest.revision <= {{reviewed}})
ORDER BY e.episode_id COLLATE "C", r.kind COLLATE "C\""""  # noqa: S608


def queries(bounds: Bounds) -> Queries:
    """The questions with the bounds written into them.

    The driver streams a query without parameters and holds the whole result of one that has some.
    """
    values = {
        "tenant": sql.Literal(bounds.extraction.tenant),
        "loop": sql.Literal(bounds.extraction.spec.name),
        "start": sql.Literal(bounds.start),
        "cutoff": sql.Literal(bounds.cutoff),
        "episodes": sql.Literal(bounds.pin.episode_watermark),
        "signals": sql.Literal(bounds.pin.signal_watermark),
        "revision": sql.Literal(bounds.pin.consent_revision),
        "reviewed": sql.Literal(bounds.pin.review_revision),
        "closes": sql.Literal(bounds.closes_after),
    }
    return Queries(
        *(
            sql.SQL(text).format(**values).as_string()
            for text in (_OPTED_OUT, _DAYS, _EPISODES, _SIGNALS, _REVIEWS)
        )
    )


class PostgresqlReader:
    """``LogReader`` on a connection of the Arrow driver."""

    def __init__(self, connection: Any, bounds: Bounds) -> None:
        self._connection = connection
        self.queries = queries(bounds)

    def batches(self, query: str, rows: int) -> Iterator[pa.RecordBatch]:
        # The driver counts bytes, not rows.
        size = min(rows * _BYTES_A_ROW, _BATCH_BYTES)
        options = {"adbc.postgresql.batch_size_hint_bytes": str(size)}
        with self._connection.cursor(adbc_stmt_kwargs=options) as cursor:
            cursor.execute(query)
            yield from cursor.fetch_record_batch()


@contextmanager
def postgresql_reader(url: str, bounds: Bounds) -> Iterator[PostgresqlReader]:
    """Open the database in a transaction that sees one state and writes nothing.

    Args:
        url: as the C library takes it, with the password.
    """
    import adbc_driver_postgresql.dbapi as adbc  # noqa: PLC0415  (a second that only extraction needs)

    with adbc.connect(url) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(f"SET LOCAL work_mem = '{_MEMORY}'")
            cursor.execute("SET LOCAL TIME ZONE 'UTC'")
        yield PostgresqlReader(connection, bounds)
