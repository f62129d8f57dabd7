"""``ReviewStore`` in the workspace database.

Every change of a review takes the tenant's next revision, that it was flagged at all too: what stood at a
revision is the same for ever, so a dataset that pinned it comes out as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, RowMapping, Select, and_, func, insert, or_, select
from sqlalchemy.sql import ColumnElement

from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.oversight import ReviewItem, ReviewKind, ReviewState
from everloop.storage.rollout_tables import review_decisions, reviews
from everloop.storage.schema import training_episodes
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.event_log import batched_ids
from everloop.storage.sql.storable import refuse_unstorable

EPISODE_REVIEWS = "episode_reviews"
"""The counter that numbers a tenant's changes of reviews."""

LARGEST_PAGE = 1000
_ACTIONS = {
    ReviewState.RELEASED: "review.release",
    ReviewState.REJECTED: "review.reject",
    ReviewState.OPEN: "review.reopen",
}


class SqlReviewStore:
    """The review queue of one workspace.

    Args:
        engine: from ``open_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def flag(self, items: Sequence[ReviewItem]) -> int:
        """See ``ReviewStore``. An item whose episode was erased since is left out.

        Raises:
            ShouldFixArgument: an item is not open.
            ShouldFixInput: a text that no database could keep.
        """
        for item in items:
            if item.state is not ReviewState.OPEN:
                raise ShouldFixArgument(
                    f"Review {item.review_id} is flagged as {item.state.value!r}.",
                    "Flag it as open, then decide it.",
                )
            refuse_unstorable(reviews, _row(item), f"Review {item.review_id}")
        if not items:
            return 0
        with writing(self._engine) as connection:
            by_tenant: dict[str, dict[str, ReviewItem]] = {}
            for item in items:
                by_tenant.setdefault(item.tenant, {}).setdefault(item.review_id, item)
            return sum(
                _store(connection, tenant, list(mine.values()))
                for tenant, mine in by_tenant.items()
            )

    def items(
        self,
        loop: str | None = None,
        state: ReviewState | None = ReviewState.OPEN,
        after: str = "",
        limit: int = 100,
        tenant: str = "default",
    ) -> tuple[ReviewItem, ...]:
        """See ``ReviewStore``.

        Raises:
            ShouldFixArgument: ``limit`` is not within 1 to 1000.
            ShouldNameKnownId: the tenant has no review ``after``.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise ShouldFixArgument(
                f"limit={limit} is not within 1 to {LARGEST_PAGE}.",
                "Read page by page: after=<last review id>.",
            )
        query = _reviews(tenant)
        if loop is not None:
            query = query.where(reviews.c.loop == loop)
        if state is not None:
            query = query.where(_state() == state.value)
        with reading(self._engine) as connection:
            if after:
                last = _item(connection, after, tenant)
                query = query.where(
                    or_(
                        reviews.c.flagged_at > last.flagged_at,
                        and_(
                            reviews.c.flagged_at == last.flagged_at,
                            reviews.c.review_id > last.review_id,
                        ),
                    )
                )
            ordered = query.order_by(reviews.c.flagged_at, reviews.c.review_id).limit(limit)
            return tuple(_read(row) for row in connection.execute(ordered).mappings())

    def item(self, review_id: str, tenant: str = "default") -> ReviewItem:
        """See ``ReviewStore``."""
        with reading(self._engine) as connection:
            return _item(connection, review_id, tenant)

    def decide(
        self,
        review_id: str,
        state: ReviewState,
        reason: str,
        actor: str,
        at: datetime,
        tenant: str = "default",
    ) -> ReviewItem:
        """See ``ReviewStore``. Who says the same for the same reason again changes nothing.

        Raises:
            ShouldFixArgument: nobody decides, or without a reason.
            ShouldFixInput: a text that no database could keep.
            ShouldNameKnownId: the tenant has no such review.
        """
        if not actor.strip() or not reason.strip():
            raise ShouldFixArgument(
                f"Review {review_id}: actor={actor!r}, reason={reason!r}.",
                "Say who decides and why.",
            )
        told = {"state": state.value, "reason": reason, "actor": actor}
        refuse_unstorable(review_decisions, told, f"Review {review_id}")
        with writing(self._engine) as connection:
            before = _item(connection, review_id, tenant)
            same = (before.state, before.decision_reason, before.decided_by)
            if same == (state, reason, actor) or before.state is state is ReviewState.OPEN:
                return before
            connection.execute(
                insert(review_decisions).values(
                    tenant=tenant,
                    revision=counters.advance(connection, tenant, EPISODE_REVIEWS, 1),
                    review_id=before.review_id,
                    decided_at=at,
                    **told,
                )
            )
            detail = {"before": before.state.value, "loop": before.loop, "kind": before.kind.value}
            append_audit(
                connection, tenant, actor, _ACTIONS[state], before.review_id, 1, detail, at
            )
            return _item(connection, before.review_id, tenant)

    def counts(self, loop: str, tenant: str = "default") -> Mapping[ReviewState, int]:
        """See ``ReviewStore``; every state is there."""
        inner = _reviews(tenant).where(reviews.c.loop == loop).subquery()
        query = select(inner.c.state, func.count()).group_by(inner.c.state)
        with reading(self._engine) as connection:
            found = {ReviewState(state): count for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in ReviewState}


def _store(connection: Connection, tenant: str, items: Sequence[ReviewItem]) -> int:
    stored: set[str] = set()
    for some in batched_ids([item.review_id for item in items]):
        query = select(reviews.c.review_id).where(
            reviews.c.tenant == tenant, reviews.c.review_id.in_(some)
        )
        stored.update(connection.scalars(query))
    there: set[str] = set()
    for some in batched_ids([item.episode_id for item in items]):
        query = select(training_episodes.c.episode_id).where(
            training_episodes.c.tenant == tenant, training_episodes.c.episode_id.in_(some)
        )
        there.update(connection.scalars(query))
    new = [item for item in items if item.review_id not in stored and item.episode_id in there]
    if not new:
        return 0
    connection.execute(insert(reviews), [_row(item) for item in new])
    first = counters.advance(connection, tenant, EPISODE_REVIEWS, len(new))
    connection.execute(
        insert(review_decisions),
        [
            {
                "tenant": tenant,
                "revision": first + place,
                "review_id": item.review_id,
                "state": ReviewState.OPEN.value,
                "reason": "",
                "actor": "",
                "decided_at": item.flagged_at,
            }
            for place, item in enumerate(new)
        ],
    )
    return len(new)


def _row(item: ReviewItem) -> dict[str, object]:
    return {
        "tenant": item.tenant,
        "review_id": item.review_id,
        "kind": item.kind.value,
        "loop": item.loop,
        "episode_id": item.episode_id,
        "reason": item.reason,
        "score": item.score,
        "flagged_at": item.flagged_at,
    }


def _state() -> ColumnElement[str]:
    return func.coalesce(review_decisions.c.state, ReviewState.OPEN.value)


def _reviews(tenant: str) -> Select[tuple[object, ...]]:
    """Reviews of a tenant, each with its newest decision."""
    later = review_decisions.alias("later")
    newest = (
        select(func.max(later.c.revision))
        .where(later.c.tenant == reviews.c.tenant, later.c.review_id == reviews.c.review_id)
        .correlate(reviews)
        .scalar_subquery()
    )
    return (
        select(
            reviews,
            _state().label("state"),
            func.coalesce(review_decisions.c.actor, "").label("decided_by"),
            review_decisions.c.decided_at,
            func.coalesce(review_decisions.c.reason, "").label("decision_reason"),
        )
        .select_from(
            reviews.outerjoin(
                review_decisions,
                and_(
                    review_decisions.c.tenant == reviews.c.tenant,
                    review_decisions.c.review_id == reviews.c.review_id,
                    review_decisions.c.revision == newest,
                ),
            )
        )
        .where(reviews.c.tenant == tenant)
    )


def _item(connection: Connection, review_id: str, tenant: str) -> ReviewItem:
    unknown = ShouldNameKnownId(
        f"Tenant {tenant!r} has no review {review_id!r:.80}.", "List the review queue."
    )
    try:
        wanted = canonical_uuid(review_id)
    except ValueError:
        raise unknown from None
    query = _reviews(tenant).where(reviews.c.review_id == wanted)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise unknown
    return _read(row)


def _read(row: RowMapping) -> ReviewItem:
    return ReviewItem(
        review_id=row["review_id"],
        kind=ReviewKind(row["kind"]),
        loop=row["loop"],
        episode_id=row["episode_id"],
        reason=row["reason"],
        score=row["score"],
        flagged_at=row["flagged_at"],
        state=ReviewState(row["state"]),
        decided_by=row["decided_by"],
        decided_at=row["decided_at"] if row["decided_by"] else None,
        decision_reason=row["decision_reason"],
        tenant=row["tenant"],
    )
