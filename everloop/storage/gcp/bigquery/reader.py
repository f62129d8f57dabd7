"""An extraction's questions to the mirror in BigQuery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa

from everloop.contracts.errors import ShouldFixInput, ShouldRestoreArtefact, ShouldRetryLater
from everloop.storage.gcp.bigquery.failures import TableGone
from everloop.storage.gcp.bigquery.jobs import Jobs, Value
from everloop.storage.gcp.bigquery.mirror import Mirror
from everloop.storage.gcp.bigquery.statements import Path
from everloop.storage.gcp.bigquery.tables import CONSENTS, DISPUTES, EPISODES, REVIEWS, SIGNALS
from everloop.storage.local.dataset_making import LogReaders
from everloop.storage.local.extraction_query import Bounds, Queries

_CTE = """
WITH opted_out AS (
  SELECT user_id FROM (
    SELECT user_id, granted, ROW_NUMBER() OVER (
      PARTITION BY user_id ORDER BY recorded_at DESC, revision DESC) AS age
    FROM {consents}
    WHERE tenant = @tenant AND purpose = 'train' AND revision <= @revision)
  WHERE age = 1 AND NOT granted),
held AS (
  SELECT signal_id FROM (
    SELECT signal_id, status, ROW_NUMBER() OVER (
      PARTITION BY signal_id ORDER BY recorded_at DESC, revision DESC) AS age
    FROM {disputes} WHERE tenant = @tenant AND revision <= @revision)
  WHERE age = 1 AND status != 'rejected'),
judged AS (
  SELECT episode_id, kind, state FROM (
    SELECT episode_id, kind, state, ROW_NUMBER() OVER (
      PARTITION BY review_id ORDER BY revision DESC) AS age
    FROM {reviews} WHERE tenant = @tenant AND revision <= @reviewed)
  WHERE age = 1)
"""
_WINDOW = """
WHERE e.tenant = @tenant AND e.loop = @loop AND e.timestamp >= @start AND e.timestamp < @cutoff
  AND e.seq <= @episodes
"""
_LEFT_OUT = "e.user_id IN (SELECT user_id FROM opted_out)"
# Whole microseconds: a latency that a timestamp cannot be moved by must not end the query.
_SINCE = "TIMESTAMP_DIFF(@cutoff, e.timestamp, MICROSECOND)"
_LATE = f"(s.latency > @closes OR s.latency > DIV({_SINCE}, 1000000))"
_PASSED = f"({_SINCE} >= @closes * 1000000)"

_OPTED_OUT = f"""{_CTE}
SELECT COUNT(DISTINCT e.user_id) AS people, COUNT(*) AS episodes
FROM {{episodes}} AS e {_WINDOW} AND {_LEFT_OUT}"""  # noqa: S608
_DAYS = f"""{_CTE}
SELECT DIV(TIMESTAMP_DIFF(e.timestamp, @start, MICROSECOND), 86400000000) AS day,
  COUNT(*) AS logged, COUNTIF(NOT {_PASSED}) AS open
FROM {{episodes}} AS e {_WINDOW} AND NOT {_LEFT_OUT}
GROUP BY day"""  # noqa: S608
_EPISODES = f"""{_CTE}
SELECT e.episode_id, e.user_id AS person, e.timestamp, e.action_taken AS action, e.propensity,
  e.valid_actions, e.context_snapshot AS context, e.action_arguments, e.model_version, e.arm,
  TRUE AS closed
FROM {{episodes}} AS e {_WINDOW} AND NOT {_LEFT_OUT} AND {_PASSED}
ORDER BY e.timestamp, e.episode_id"""  # noqa: S608
# The episode's loop and time lie beside each signal, so that only the signals of its days are read.
_SIGNALS = f"""{_CTE}
SELECT s.signal_id, s.episode_id, s.signal_type, s.value, s.latency, s.confidence,
  held.signal_id IS NOT NULL AS disputed, {_LATE} AS late, {_PASSED} AS counts
FROM {{episodes}} AS e
JOIN {{signals}} AS s ON s.tenant = e.tenant AND s.episode_id = e.episode_id
LEFT JOIN held ON held.signal_id = s.signal_id
{_WINDOW} AND s.tenant = @tenant AND s.loop = @loop AND s.seq <= @signals
  AND s.episode_at >= @start AND s.episode_at < @cutoff AND NOT {_LEFT_OUT}
ORDER BY s.signal_id"""  # noqa: S608
_REVIEWS = f"""{_CTE}
SELECT e.episode_id, judged.kind, judged.state
FROM judged JOIN {{episodes}} AS e ON e.episode_id = judged.episode_id
{_WINDOW} AND NOT {_LEFT_OUT} AND {_PASSED}
ORDER BY e.episode_id, judged.kind"""  # noqa: S608


def queries(path: Path) -> Queries:
    """The questions, of the tables that a function names; their bounds are parameters.

    Strings sort by their UTF-8 bytes in BigQuery, as on SQLite.
    """
    tables = {
        "episodes": path(EPISODES.name),
        "signals": path(SIGNALS.name),
        "consents": path(CONSENTS.name),
        "disputes": path(DISPUTES.name),
        "reviews": path(REVIEWS.name),
    }
    texts = (_OPTED_OUT, _DAYS, _EPISODES, _SIGNALS, _REVIEWS)
    return Queries(*(text.format(**tables) for text in texts))


def parameters(bounds: Bounds) -> Mapping[str, Value]:
    """An extraction's window and pin, as the questions take them."""
    return {
        "tenant": bounds.extraction.tenant,
        "loop": bounds.extraction.spec.name,
        "start": bounds.start,
        "cutoff": bounds.cutoff,
        "episodes": bounds.pin.episode_watermark,
        "signals": bounds.pin.signal_watermark,
        "revision": bounds.pin.consent_revision,
        "reviewed": bounds.pin.review_revision,
        "closes": bounds.closes_after,
    }


class BigQueryReader:
    """``LogReader`` on the mirror.

    There is no transaction around the questions. Rows up to a pin change by erasures alone, and whoever
    publishes what was read asks whether there was one meanwhile.
    """

    def __init__(self, jobs: Jobs, bounds: Bounds) -> None:
        self._jobs = jobs
        self._parameters = parameters(bounds)
        self._labels = {
            "loop": bounds.extraction.spec.name,
            "tenant": bounds.extraction.tenant,
            "stage": "extract",
        }
        self.queries = queries(jobs.path)

    def batches(self, query: str, rows: int) -> Iterator[pa.RecordBatch]:  # noqa: ARG002
        # The service chooses how many rows it sends at a time; the writer regroups them.
        asked = {name: value for name, value in self._parameters.items() if f"@{name}" in query}
        try:
            yield from self._jobs.batches(query, asked, self._labels)
        except (ShouldFixInput, TableGone) as problem:
            raise ShouldRestoreArtefact(
                f"The mirror in {self._jobs.name} is not readable: {problem}.",
                "Delete its tables and run everloop bigquery sync: it is made anew from the database.",
            ) from problem


def bigquery_readers(mirror: Mirror, jobs: Jobs) -> LogReaders:
    """Readers that first bring the mirror to where the log is.

    Raises:
        ShouldRetryLater: the mirror has not come to what the date was pinned at.
    """

    @contextmanager
    def open_reader(bounds: Bounds) -> Iterator[BigQueryReader]:
        tenant, pin = bounds.extraction.tenant, bounds.pin
        upto = mirror.sync(tenant).upto
        wanted = {
            "episodes": pin.episode_watermark,
            "signals": pin.signal_watermark,
            "revisions": pin.consent_revision,
            "reviews": pin.review_revision,
        }
        missing = {name: end for name, end in wanted.items() if upto[name] < end}
        if missing:
            raise ShouldRetryLater(
                f"The mirror in {jobs.name} has come to {dict(upto)} and the date was pinned at {missing}.",
                "Check that the database is the one that pinned it; a restored one pins anew with "
                "--refresh.",
            )
        yield BigQueryReader(jobs, bounds)

    return open_reader
