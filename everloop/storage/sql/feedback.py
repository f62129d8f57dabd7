"""``FeedbackStore`` in the workspace database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Engine, RowMapping, Table, and_, func, or_, select

from everloop.contracts.episodes import RewardSignal, canonical_uuid
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackReview,
    FeedbackStatus,
    Interaction,
    TrustFigures,
)
from everloop.contracts.ports import Clock
from everloop.storage.service_tables import feedback, feedback_reviews, interactions
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.event_log import batched_ids
from everloop.storage.sql.feedback_rows import feedback_of, interaction_of, review_of
from everloop.storage.sql.reviewing import apply_review
from everloop.storage.sql.trust import trust_figures

_PAGE = 500


class SqlFeedbackStore:
    """Interactions, feedback and reviews of one workspace; the ingest queue writes the first two.

    Args:
        engine: from ``open_database``.
        clock: dates the signals and audit entries of a review.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def interaction(self, log_id: str, tenant: str = "default") -> Interaction:
        """See ``FeedbackStore``."""
        return interaction_of(self._row(interactions, "log_id", log_id, tenant))

    def feedback(self, feedback_id: str, tenant: str = "default") -> FeedbackInstance:
        """See ``FeedbackStore``."""
        return feedback_of(self._row(feedback, "feedback_id", feedback_id, tenant))

    def session_history(
        self, session_id: str, limit: int, tenant: str = "default"
    ) -> tuple[FeedbackInstance, ...]:
        """See ``FeedbackStore``."""
        of_session = and_(feedback.c.tenant == tenant, feedback.c.session_id == session_id)
        return self._feedback(of_session, feedback.c.seq.desc(), limit)

    def interactions(
        self, log_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, Interaction]:
        """See ``FeedbackStore``."""
        rows = self._rows(interactions, interactions.c.log_id, log_ids, tenant)
        return {row["log_id"]: interaction_of(row) for row in rows}

    def known(
        self, feedback_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, FeedbackInstance]:
        """See ``FeedbackStore``."""
        rows = self._rows(feedback, feedback.c.feedback_id, feedback_ids, tenant)
        return {row["feedback_id"]: feedback_of(row) for row in rows}

    def session_histories(
        self, session_ids: Sequence[str], limit: int, tenant: str = "default"
    ) -> Mapping[str, tuple[FeedbackInstance, ...]]:
        """See ``FeedbackStore``."""
        found: dict[str, list[FeedbackInstance]] = {}
        place = func.row_number().over(
            partition_by=feedback.c.session_id, order_by=feedback.c.seq.desc()
        )
        with reading(self._engine) as connection:
            for start in range(0, len(session_ids), _PAGE):
                some = feedback.c.session_id.in_(session_ids[start : start + _PAGE])
                placed = (
                    select(feedback, place.label("place"))
                    .where(feedback.c.tenant == tenant, some)
                    .subquery()
                )
                query = select(placed).where(placed.c.place <= limit).order_by(placed.c.seq.desc())
                for row in connection.execute(query).mappings():
                    found.setdefault(row["session_id"], []).append(feedback_of(row))
        return {session: tuple(told) for session, told in found.items()}

    def quarantined(
        self, limit: int = 100, tenant: str = "default"
    ) -> tuple[FeedbackInstance, ...]:
        """See ``FeedbackStore``."""
        waits = and_(
            feedback.c.tenant == tenant, feedback.c.status == str(FeedbackStatus.QUARANTINED)
        )
        return self._feedback(waits, feedback.c.seq, limit)

    def review(self, review: FeedbackReview, signals: Sequence[RewardSignal], actor: str) -> None:
        """See ``FeedbackStore`` and ``apply_review``, which says what each status does."""
        with writing(self._engine) as connection:
            apply_review(connection, review, signals, actor, self._clock.now())

    def reviews(self, feedback_id: str, tenant: str = "default") -> tuple[FeedbackReview, ...]:
        """See ``FeedbackStore``; empty where nobody reviewed it."""
        of_it = and_(
            feedback_reviews.c.tenant == tenant,
            feedback_reviews.c.feedback_id == feedback_id.lower(),
        )
        query = select(feedback_reviews).where(of_it).order_by(feedback_reviews.c.revision.desc())
        with reading(self._engine) as connection:
            return tuple(review_of(row) for row in connection.execute(query).mappings())

    def analysis(
        self, since: datetime, until: datetime, tenant: str = "default"
    ) -> Iterator[FeedbackInstance]:
        """See ``FeedbackStore``; page by page, so that a slow reader holds no snapshot of the log."""
        place: ColumnElement[bool] = feedback.c.timestamp >= since
        while True:
            query = (
                select(feedback)
                .where(feedback.c.tenant == tenant, place, feedback.c.timestamp < until)
                .order_by(feedback.c.timestamp, feedback.c.seq)
                .limit(_PAGE)
            )
            with reading(self._engine) as connection:
                rows = connection.execute(query).mappings().all()
            yield from map(feedback_of, rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1]
            place = and_(
                feedback.c.timestamp >= last["timestamp"],
                or_(feedback.c.timestamp > last["timestamp"], feedback.c.seq > last["seq"]),
            )

    def trust(self, until: datetime, tenant: str | None = None) -> TrustFigures:
        """See ``FeedbackStore``."""
        with reading(self._engine) as connection:
            return trust_figures(connection, until, tenant)

    def _feedback(
        self, where: ColumnElement[bool], order: ColumnElement[int], limit: int
    ) -> tuple[FeedbackInstance, ...]:
        query = select(feedback).where(where).order_by(order).limit(limit)
        with reading(self._engine) as connection:
            return tuple(feedback_of(row) for row in connection.execute(query).mappings())

    def _rows(
        self, table: Table, key: Column[str], row_ids: Sequence[str], tenant: str
    ) -> Iterator[RowMapping]:
        with reading(self._engine) as connection:
            for some in batched_ids(row_ids):
                query = select(table).where(table.c.tenant == tenant, key.in_(some))
                yield from connection.execute(query).mappings().all()

    def _row(self, table: Table, key: str, row_id: str, tenant: str) -> RowMapping:
        unknown = ShouldNameKnownId(
            f"Tenant {tenant!r} has no {table.name.removesuffix('s')} {row_id!r}.",
            "Give the id of one that was logged.",
        )
        try:
            wanted = canonical_uuid(row_id)
        except ValueError:
            raise unknown from None
        query = select(table).where(table.c.tenant == tenant, table.c[key] == wanted)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise unknown
        return row
