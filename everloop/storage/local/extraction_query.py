"""What an extraction reads from the log, as a stream of Arrow batches.

T is the end of the logical date (UTC), or the moment at which a date that had not ended was pinned. An
episode of the window counts when its feedback window has passed (``timestamp + closes_after <= T``).
Counting open ones whose signals happen to be complete would tilt the newest day towards engaged people.
A signal counts when it arrived (``timestamp + latency``) by T and within its episode's feedback window
and is not disputed (``open`` or ``upheld``). People whose newest ``train`` consent is a refusal are left
out. What people had said of flagged episodes by the pinned revision goes along: nobody's later word
changes a version.

SQLite and PostgreSQL answer with the same rows in the same order; ``extraction_sqlite`` and
``extraction_postgresql`` say it in their dialects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import pyarrow as pa

from everloop.contracts.ports import Extraction
from everloop.storage.sql.dataset_pins import Pin


@dataclass(frozen=True, slots=True)
class Bounds:
    """An extraction's window and pin, as the queries take them."""

    extraction: Extraction
    pin: Pin

    @property
    def start(self) -> datetime:
        """The first moment of the window."""
        return self.extraction.ends_at - timedelta(days=self.extraction.window_days)

    @property
    def cutoff(self) -> datetime:
        """What was not known by then is left out."""
        return self.pin.cutoff or self.extraction.ends_at

    @property
    def closes_after(self) -> int:
        """Seconds until an episode's feedback window has passed."""
        return self.extraction.spec.reward.closes_after_seconds


@dataclass(frozen=True, slots=True)
class Queries:
    """The questions of an extraction.

    Attributes:
        opted_out: one row of ``people`` and ``episodes`` that are left out for want of consent.
        days: for each day of the window (from 0) how many episodes were ``logged`` and how many of
            those are ``open``.
        episodes: rows of ``dataset_batches.episode_batches``, by time and id.
        signals: rows of ``dataset_batches.SignalBatches``, by id.
        reviews: rows of ``dataset_batches.review_batches``, by episode and kind: the newest state of
            each review of an episode that ``episodes`` answers with.
    """

    opted_out: str
    days: str
    episodes: str
    signals: str
    reviews: str


class LogReader(Protocol):
    """A read-only transaction on the log, which sees one state."""

    @property
    def queries(self) -> Queries: ...

    def batches(self, query: str, rows: int) -> Iterator[pa.RecordBatch]:
        """The query's result in batches of about ``rows`` rows."""


def small_result(reader: LogReader, query: str) -> list[dict[str, Any]]:
    """A small result whole."""
    return [row for batch in reader.batches(query, 1024) for row in batch.to_pylist()]
