"""Pins: which part of the log the dataset of a logical date is made from, for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.sql import ColumnElement

from everloop.contracts.ports import Extraction
from everloop.storage.schema import dataset_pins
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.engine import writing
from everloop.storage.sql.episode_reviews import EPISODE_REVIEWS
from everloop.storage.sql.upsert import upsert


@dataclass(frozen=True, slots=True)
class Pin:
    """The largest numbers that an extraction reads, and the version that it made, if it has.

    ``consent_revision`` bounds consents and disputes alike, ``review_revision`` what was said of flagged
    episodes (0 for a date that was pinned before there were reviews). ``cutoff``: when the date was
    pinned before it had ended; ``None``: the end of the date.
    """

    episode_watermark: int
    signal_watermark: int
    consent_revision: int
    cutoff: datetime | None = None
    window_days: int | None = None
    spec_sha256: str | None = None
    dataset_id: str | None = None
    review_revision: int = 0

    def made(self, extraction: Extraction) -> str | None:
        """Id of the version that this very extraction made, if it has."""
        same = (self.window_days, self.spec_sha256) == (
            extraction.window_days,
            extraction.spec.checksum,
        )
        return self.dataset_id if same else None


def pin(engine: Engine, extraction: Extraction, now: datetime) -> Pin:
    """The pin of the extraction's date: the stored one, or the log's end when there is none.

    With ``refresh`` the log's end is pinned anew. A date that has not ended at ``now`` is cut off there.
    An extraction that is not ``pinned`` gets the log's end, and nothing is kept.
    """
    with writing(engine) as connection:
        anew = extraction.refresh or not extraction.pinned
        stored = None if anew else _stored(connection, extraction)
        if stored is not None:
            return stored
        tenant = extraction.tenant
        fresh: dict[str, Any] = {
            "episode_watermark": counters.last_number(connection, tenant, counters.EPISODES),
            "signal_watermark": counters.last_number(connection, tenant, counters.SIGNALS),
            "consent_revision": counters.last_number(connection, tenant, counters.REVISIONS),
            "review_revision": counters.last_number(connection, tenant, EPISODE_REVIEWS),
            "cutoff": now if now < extraction.ends_at else None,
        }
        if not extraction.pinned:
            return Pin(**fresh)
        key = {
            "tenant": tenant,
            "loop": extraction.spec.name,
            "logical_date": extraction.logical_date,
        }
        forgotten = {"window_days": None, "spec_sha256": None, "dataset_id": None}
        upsert(connection, dataset_pins, key, fresh | forgotten)
        return Pin(**fresh)


def remember(engine: Engine, extraction: Extraction, used: Pin, dataset_id: str) -> None:
    """Note which version an extraction made, unless its date was pinned anew meanwhile."""
    if not extraction.pinned:
        return
    with writing(engine) as connection:
        connection.execute(
            update(dataset_pins)
            .where(
                *_date_of(extraction),
                dataset_pins.c.episode_watermark == used.episode_watermark,
                dataset_pins.c.signal_watermark == used.signal_watermark,
                dataset_pins.c.consent_revision == used.consent_revision,
                func.coalesce(dataset_pins.c.review_revision, 0) == used.review_revision,
                dataset_pins.c.cutoff.is_not_distinct_from(used.cutoff),
            )
            .values(
                window_days=extraction.window_days,
                spec_sha256=extraction.spec.checksum,
                dataset_id=dataset_id,
            )
        )


def _date_of(extraction: Extraction) -> tuple[ColumnElement[bool], ...]:
    return (
        dataset_pins.c.tenant == extraction.tenant,
        dataset_pins.c.loop == extraction.spec.name,
        dataset_pins.c.logical_date == extraction.logical_date,
    )


def _stored(connection: Connection, extraction: Extraction) -> Pin | None:
    row = connection.execute(select(dataset_pins).where(*_date_of(extraction))).mappings().first()
    if row is None:
        return None
    return Pin(
        episode_watermark=row["episode_watermark"],
        signal_watermark=row["signal_watermark"],
        consent_revision=row["consent_revision"],
        cutoff=row["cutoff"],
        window_days=row["window_days"],
        spec_sha256=row["spec_sha256"],
        dataset_id=row["dataset_id"],
        review_revision=row["review_revision"] or 0,
    )
