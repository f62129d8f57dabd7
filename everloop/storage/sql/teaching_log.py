"""``TeachingLog`` in the workspace database: what may move a persona, read in pages by stored numbers.

Numbers are given in the order of commits, so that nothing appears below one that was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, Text, and_, cast, or_, select

from everloop.contracts.feedback import FeedbackInstance, FeedbackStatus
from everloop.contracts.personas import TeachingMark
from everloop.storage.schema import ingest_counters
from everloop.storage.service_tables import feedback, feedback_reviews
from everloop.storage.sql.consent_states import refusing
from everloop.storage.sql.engine import reading
from everloop.storage.sql.feedback_rows import feedback_of
from everloop.storage.sql.ingest_kinds import FEEDBACK
from everloop.storage.sql.persona_revisions import owner_of
from everloop.storage.sql.reviewing import REVIEWS
from everloop.storage.sql.voice_packages import TRAIN
from everloop.storage.voice_tables import persona_revisions

_PAGE = 500
_NAMED = ('%"trait":"%', '%"trait": "%')
"""Of interpretations that name a trait, as SQLite and PostgreSQL keep JSON; most feedback names none."""


class SqlTeachingLog:
    """What moves the personas of one workspace.

    Args:
        engine: from ``open_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def marks(self) -> Mapping[str, TeachingMark]:
        """See ``TeachingLog``."""
        counters = ingest_counters.c
        query = select(counters.tenant, counters.counter, counters.last).where(
            counters.counter.in_((FEEDBACK.counter, REVIEWS))
        )
        found: dict[str, dict[str, int]] = {}
        with reading(self._engine) as connection:
            for tenant, counter, last in connection.execute(query):
                found.setdefault(tenant, {})[counter] = int(last)
        return {
            tenant: TeachingMark(last.get(FEEDBACK.counter, 0), last.get(REVIEWS, 0))
            for tenant, last in found.items()
        }

    def teaching(
        self, persona: str, after: TeachingMark, until: TeachingMark, tenant: str = "default"
    ) -> Iterator[FeedbackInstance]:
        """See ``TeachingLog``."""
        stored = _stored(persona, tenant, FeedbackStatus.ACCEPTED)
        released = _stored(persona, tenant, FeedbackStatus.RELEASED)
        for query in (stored, released):
            yield from self._pages(query, feedback.c.seq, after.feedback, until.feedback, tenant)
        decided = (
            select(feedback, feedback_reviews.c.revision)
            .join(
                feedback_reviews,
                and_(
                    feedback_reviews.c.tenant == feedback.c.tenant,
                    feedback_reviews.c.feedback_id == feedback.c.feedback_id,
                ),
            )
            .where(
                feedback_reviews.c.tenant == tenant,
                feedback_reviews.c.status == str(FeedbackStatus.RELEASED),
                *_moves(persona, tenant, FeedbackStatus.RELEASED),
            )
        )
        number = feedback_reviews.c.revision
        yield from self._pages(decided, number, after.reviews, until.reviews, tenant)

    def moved(
        self, persona: str, user_id: str, since: datetime, tenant: str = "default"
    ) -> tuple[tuple[bytes, bytes], ...]:
        """See ``TeachingLog``."""
        said = select(feedback.c.feedback_id).where(
            feedback.c.tenant == tenant, feedback.c.user_id == user_id
        )
        after, before = persona_revisions.alias("after"), persona_revisions.alias("before")
        query = (
            select(before.c.content, after.c.content)
            .join(
                before,
                and_(
                    before.c.tenant == after.c.tenant,
                    before.c.persona == after.c.persona,
                    before.c.user_id == after.c.user_id,
                    before.c.number == after.c.number - 1,
                ),
            )
            .where(
                after.c.tenant == tenant,
                after.c.persona == persona,
                after.c.user_id == owner_of(None),
                after.c.cause.in_(said),
                after.c.recorded_at > since,
                after.c.sha256 != before.c.sha256,
            )
            .order_by(after.c.number)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple((old.encode(), new.encode()) for old, new in rows)

    def _pages(
        self, query: Select[Any], number: Any, after: int, until: int, tenant: str
    ) -> Iterator[FeedbackInstance]:
        last = after
        while last < until:
            page = query.where(number > last, number <= until).order_by(number).limit(_PAGE)
            with reading(self._engine) as connection:
                rows = connection.execute(page).mappings().all()
                found = _consenting(connection, rows, tenant)
            yield from found
            if len(rows) < _PAGE:
                return
            last = rows[-1][number.name]


def _stored(persona: str, tenant: str, status: FeedbackStatus) -> Select[Any]:
    return select(feedback).where(*_moves(persona, tenant, status))


def _moves(persona: str, tenant: str, status: FeedbackStatus) -> tuple[Any, ...]:
    caused = select(persona_revisions.c.number).where(
        persona_revisions.c.tenant == tenant,
        persona_revisions.c.persona == persona,
        persona_revisions.c.user_id == owner_of(None),
        persona_revisions.c.cause == feedback.c.feedback_id,
    )
    said = cast(feedback.c.interpretations, Text)
    return (
        or_(*(said.like(each) for each in _NAMED)),
        feedback.c.tenant == tenant,
        feedback.c.status == str(status),
        feedback.c.persona == persona,
        ~caused.exists(),
    )


def _consenting(
    connection: Connection, rows: Sequence[RowMapping], tenant: str
) -> list[FeedbackInstance]:
    refused = refusing(connection, tenant, {row["user_id"] for row in rows}, TRAIN)
    return [feedback_of(row) for row in rows if row["user_id"] not in refused]
