"""An extraction's questions to SQLite."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from everloop.storage.column_types import microseconds
from everloop.storage.local.extraction_query import Bounds, Queries
from everloop.storage.sql.engine import BUSY_SECONDS

_DAY = 86_400_000_000
_PLACE = re.compile(r"\?(\d+)")
_CACHE_KIB = 64 * 1024
_ROWS = 8192

_CTE = """
WITH opted_out AS MATERIALIZED (
  SELECT user_id FROM (
    SELECT user_id, granted, row_number() OVER (
      PARTITION BY user_id ORDER BY recorded_at DESC, revision DESC) AS age
    FROM consents WHERE tenant = ?1 AND purpose = 'train' AND revision <= ?7)
  WHERE age = 1 AND NOT granted),
held AS MATERIALIZED (
  SELECT signal_id FROM (
    SELECT signal_id, status, row_number() OVER (
      PARTITION BY signal_id ORDER BY recorded_at DESC, revision DESC) AS age
    FROM disputes WHERE tenant = ?1 AND revision <= ?7)
  WHERE age = 1 AND status <> 'rejected')
"""
# INDEXED BY: without statistics SQLite takes the ingest numbers' index, and each episode would read
# the whole table.
_WINDOW = """
FROM training_episodes AS e INDEXED BY ix_training_episodes_tenant_loop_timestamp_episode_id
{join}
WHERE e.tenant = ?1 AND e.loop = ?2 AND e.timestamp >= ?3 AND e.timestamp < ?4 AND e.seq <= ?5
"""
_SIGNALS = "reward_signals AS s INDEXED BY ix_reward_signals_tenant_episode_id"
_LATE = "(s.latency > ?8 OR e.timestamp + s.latency * 1000000 > ?4)"
_PASSED = "(e.timestamp + ?8 * 1000000 <= ?4)"

QUERIES = Queries(
    opted_out=f"""{_CTE}
SELECT count(DISTINCT e.user_id) AS people, count(*) AS episodes
{_WINDOW.format(join="")} AND e.user_id IN opted_out""",
    days=f"""{_CTE}
SELECT (e.timestamp - ?3) / {_DAY} AS day, count(*) AS logged, sum(NOT {_PASSED}) AS open
{_WINDOW.format(join="")} AND e.user_id NOT IN opted_out
GROUP BY day""",
    episodes=f"""{_CTE}
SELECT e.episode_id, e.user_id AS person, e.timestamp, e.action_taken AS action,
  e.propensity, e.valid_actions, e.context_snapshot AS context,
  e.action_arguments, e.model_version, e.arm, {_PASSED} AS closed
{_WINDOW.format(join="")} AND e.user_id NOT IN opted_out AND {_PASSED}
ORDER BY e.timestamp, e.episode_id""",
    signals=f"""{_CTE}
SELECT s.signal_id, s.episode_id, s.signal_type, s.value, s.latency,
  s.confidence, s.signal_id IN held AS disputed, {_LATE} AS late,
  {_PASSED} AS counts
{_WINDOW.format(join=f"CROSS JOIN {_SIGNALS} ON s.tenant = e.tenant AND s.episode_id = e.episode_id")}
  AND s.seq <= ?6 AND e.user_id NOT IN opted_out
ORDER BY s.signal_id""",
    reviews=f"""{_CTE}
SELECT e.episode_id, r.kind, d.state
FROM reviews AS r
CROSS JOIN training_episodes AS e ON e.tenant = r.tenant AND e.episode_id = r.episode_id
CROSS JOIN review_decisions AS d ON d.tenant = r.tenant AND d.review_id = r.review_id
WHERE r.tenant = ?1 AND e.loop = ?2 AND e.timestamp >= ?3 AND e.timestamp < ?4 AND e.seq <= ?5
  AND e.user_id NOT IN opted_out AND {_PASSED}
  AND d.revision = (
    SELECT max(newest.revision) FROM review_decisions AS newest
    WHERE newest.tenant = r.tenant AND newest.review_id = r.review_id AND newest.revision <= ?9)
ORDER BY e.episode_id, r.kind""",  # noqa: S608
)


_INTEGERS = (
    "timestamp", "latency", "closed", "disputed", "late", "counts",
    "people", "episodes", "day", "logged", "open",
)  # fmt: skip
_TYPES = dict.fromkeys(_INTEGERS, pa.int64()) | dict.fromkeys(
    ("propensity", "value", "confidence"), pa.float64()
)
"""Arrow's types of the columns that hold numbers; all others hold text."""


class SqliteReader:
    """``LogReader`` on a connection in a transaction."""

    queries = QUERIES

    def __init__(self, connection: sqlite3.Connection, bounds: Bounds) -> None:
        self._connection = connection
        self._parameters = (
            bounds.extraction.tenant,
            bounds.extraction.spec.name,
            microseconds(bounds.start),
            microseconds(bounds.cutoff),
            bounds.pin.episode_watermark,
            bounds.pin.signal_watermark,
            bounds.pin.consent_revision,
            bounds.closes_after,
            bounds.pin.review_revision,
        )

    def batches(self, query: str, rows: int) -> Iterator[pa.RecordBatch]:
        # SQLite wants as many values as the query has numbered places.
        places = max(int(place) for place in _PLACE.findall(query))
        with closing(self._connection.execute(query, self._parameters[:places])) as cursor:
            names = [column[0] for column in cursor.description]
            types = [_TYPES.get(name, pa.string()) for name in names]
            while found := cursor.fetchmany(min(rows, _ROWS)):
                columns = zip(*found, strict=True)
                arrays = [pa.array(c, t) for c, t in zip(columns, types, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, names)


@contextmanager
def sqlite_reader(database: Path, bounds: Bounds) -> Iterator[SqliteReader]:
    """Open the workspace database read-only, in a transaction that sees one state.

    By the SQLite library that every other connection of this process goes through, and by no other
    (such as Arrow's driver): POSIX drops all locks that a process has on a file once it closes any
    handle on it. The library knows its own handles and keeps them open; of another's it knows nothing,
    and another process would take the file for unused, or write beside this one.
    """
    uri = f"file:{quote(str(database))}?mode=ro"
    with closing(sqlite3.connect(uri, BUSY_SECONDS, isolation_level=None, uri=True)) as connection:
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute("BEGIN")
        yield SqliteReader(connection, bounds)
