"""What an extraction reads from the log, as SQL and as a stream of Arrow batches.

T is the end of the logical date (UTC), or the moment at which a date that had not ended was pinned. An
episode of the window counts when its feedback window has passed (``timestamp + closes_after <= T``).
Counting open ones whose signals happen to be complete would tilt the newest day towards engaged people.
A signal counts when it arrived (``timestamp + latency``) by T and within its episode's feedback window
and is not disputed (``open`` or ``upheld``). People whose newest ``train`` consent is a refusal are left
out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from everloop.contracts.ports import Extraction
from everloop.storage.column_types import microseconds
from everloop.storage.sql.dataset_pins import Pin

_DAY = 86_400_000_000
_PLACE = re.compile(r"\?(\d+)")
_CACHE_KIB = 64 * 1024

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

OPTED_OUT = f"""{_CTE}
SELECT count(DISTINCT e.user_id) AS people, count(*) AS episodes
{_WINDOW.format(join="")} AND e.user_id IN opted_out"""

DAYS = f"""{_CTE}
SELECT (e.timestamp - ?3) / {_DAY} AS day, count(*) AS logged, sum(NOT {_PASSED}) AS open
{_WINDOW.format(join="")} AND e.user_id NOT IN opted_out
GROUP BY day"""

# The driver takes a column's type from its first rows: a missing propensity is read as -1, so that
# every row shows the same type. Columns of numbers hold real numbers by their declared type.
EPISODES = f"""{_CTE}
SELECT e.episode_id, e.user_id AS person, e.timestamp, e.action_taken AS action,
  ifnull(e.propensity, -1.0) AS propensity, e.valid_actions, e.context_snapshot AS context,
  e.action_arguments, e.model_version, e.arm, {_PASSED} AS closed
{_WINDOW.format(join="")} AND e.user_id NOT IN opted_out AND {_PASSED}
ORDER BY e.timestamp, e.episode_id"""

SIGNALS = f"""{_CTE}
SELECT s.signal_id, s.episode_id, s.signal_type, s.value, s.latency,
  s.confidence, s.signal_id IN held AS disputed, {_LATE} AS late,
  {_PASSED} AS counts
{_WINDOW.format(join=f"CROSS JOIN {_SIGNALS} ON s.tenant = e.tenant AND s.episode_id = e.episode_id")}
  AND s.seq <= ?6 AND e.user_id NOT IN opted_out
ORDER BY s.signal_id"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """An extraction's window and pin, as the queries take them."""

    extraction: Extraction
    pin: Pin

    @property
    def cutoff(self) -> datetime:
        """What was not known by then is left out."""
        return self.pin.cutoff or self.extraction.ends_at

    @property
    def parameters(self) -> tuple[Any, ...]:
        spec = self.extraction.spec
        start = self.extraction.ends_at - timedelta(days=self.extraction.window_days)
        return (
            self.extraction.tenant,
            spec.name,
            microseconds(start),
            microseconds(self.cutoff),
            self.pin.episode_watermark,
            self.pin.signal_watermark,
            self.pin.consent_revision,
            spec.reward.closes_after_seconds,
        )


class LogReader:
    """A read-only connection to the log that streams query results."""

    def __init__(self, connection: Any, bounds: Bounds) -> None:
        self._connection = connection
        self._parameters = bounds.parameters

    def batches(self, query: str, rows: int) -> Iterator[pa.RecordBatch]:
        """The query's result in batches of at most ``rows`` rows."""
        options = {"adbc.sqlite.query.batch_rows": str(rows)}
        with self._connection.cursor(adbc_stmt_kwargs=options) as cursor:
            # The driver wants as many values as the query has numbered places.
            places = max(int(place) for place in _PLACE.findall(query))
            cursor.execute(query, self._parameters[:places])
            yield from cursor.fetch_record_batch()

    def rows(self, query: str) -> list[dict[str, Any]]:
        """A small result whole."""
        return [row for batch in self.batches(query, 1024) for row in batch.to_pylist()]


@contextmanager
def log_reader(database: Path, bounds: Bounds) -> Iterator[LogReader]:
    """Open the workspace database read-only."""
    import adbc_driver_sqlite.dbapi as adbc  # noqa: PLC0415  (a second that only extraction needs)

    with adbc.connect(f"file:{quote(str(database))}?mode=ro") as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        yield LogReader(connection, bounds)
