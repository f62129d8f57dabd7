"""The reward signals that a feedback implies: stored on its release, held while it may not teach.

They are held by disputes, which every dataset respects. A review's disputes are told from a person's
by how their reason begins, and lifting one lets what the person had said stand again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import Column, Connection, Table, insert, select

from everloop.contracts.episodes import Dispute, RewardSignal
from everloop.contracts.errors import ShouldFixSignal
from everloop.contracts.feedback import FeedbackReview, FeedbackStatus
from everloop.storage.payloads import payload_sha256
from everloop.storage.schema import disputes, reward_signals, training_episodes
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.event_rows import dispute_of, signal_row


def store_signals(
    connection: Connection, tenant: str, signals: Sequence[RewardSignal], now: datetime
) -> tuple[int, str]:
    """Store the signals that are new: (how many, the range of their ingest numbers).

    Raises:
        ShouldFixSignal: a signal is another tenant's, or its episode is unknown.
    """
    if not signals:
        return 0, ""
    for signal in signals:
        if signal.tenant != tenant:
            raise ShouldFixSignal(
                f"Signal {signal.signal_id} is tenant {signal.tenant!r}'s, its feedback {tenant!r}'s.",
                "Derive the signals from the feedback.",
            )
    episode_ids = [signal.episode_id for signal in signals]
    known = _ids(connection, training_episodes, training_episodes.c.episode_id, tenant, episode_ids)
    stored = _stored(connection, tenant, signals)
    fresh = {s.signal_id: s for s in signals if s.signal_id not in stored}
    for signal in fresh.values():
        if signal.episode_id not in known:
            raise ShouldFixSignal(
                f"Signal {signal.signal_id}: episode_id={signal.episode_id!r} is unknown to tenant "
                f"{tenant!r}.",
                "Log the episode first.",
            )
    if not fresh:
        return 0, ""
    first = counters.advance(connection, tenant, counters.SIGNALS, len(fresh))
    rows = [
        signal_row(signal, seq, now, payload_sha256(signal)) | {"ingested_at": now}
        for seq, signal in enumerate(fresh.values(), first)
    ]
    connection.execute(insert(reward_signals), rows)
    return len(rows), f"{first}..{first + len(rows) - 1}"


def _stored(connection: Connection, tenant: str, signals: Sequence[RewardSignal]) -> set[str]:
    ids = [signal.signal_id for signal in signals]
    return _ids(connection, reward_signals, reward_signals.c.signal_id, tenant, ids)


def _ids(
    connection: Connection, table: Table, key: Column[str], tenant: str, ids: Sequence[str]
) -> set[str]:
    """Which of the ids are stored."""
    query = select(key).where(table.c.tenant == tenant, key.in_(ids))
    return set(connection.scalars(query))


def hold(connection: Connection, review: FeedbackReview, signals: Sequence[RewardSignal]) -> int:
    """Dispute the stored signals, unless this review's dispute is the newest; how many."""
    status: Literal["open", "upheld"] = (
        "upheld" if review.status is FeedbackStatus.REJECTED else "open"
    )
    held = 0
    for signal_id in sorted(_stored(connection, review.tenant, signals)):
        said = _disputes(connection, review.tenant, signal_id)
        if said and _ours(review, said[0]) and said[0].status == status:
            continue
        _dispute(connection, review, said, signal_id, status, f"{_mark(review)}{review.status}")
        held += 1
    return held


def lift(connection: Connection, review: FeedbackReview, signals: Sequence[RewardSignal]) -> int:
    """Let what stood before a review's dispute stand again; how many disputes that takes."""
    lifted = 0
    for signal_id in sorted(_stored(connection, review.tenant, signals)):
        said = _disputes(connection, review.tenant, signal_id)
        if not said or not _ours(review, said[0]) or said[0].status == "rejected":
            continue
        others = next((each for each in said if not _ours(review, each)), None)
        status, reason = (
            (others.status, others.reason)
            if others is not None
            else ("rejected", f"{_mark(review)}{review.status}")
        )
        _dispute(connection, review, said, signal_id, status, reason)
        lifted += 1
    return lifted


def _mark(review: FeedbackReview) -> str:
    """How the reasons of disputes that reviews of this feedback open begin."""
    return f"feedback {review.feedback_id} was "


def _ours(review: FeedbackReview, dispute: Dispute) -> bool:
    return dispute.reason.startswith(_mark(review))


def _disputes(connection: Connection, tenant: str, signal_id: str) -> list[Dispute]:
    """Newest first."""
    query = (
        select(disputes)
        .where(disputes.c.tenant == tenant, disputes.c.signal_id == signal_id)
        .order_by(disputes.c.recorded_at.desc(), disputes.c.revision.desc())
    )
    return [dispute_of(row) for row in connection.execute(query).mappings()]


def _dispute(
    connection: Connection,
    review: FeedbackReview,
    said: Sequence[Dispute],
    signal_id: str,
    status: str,
    reason: str,
) -> None:
    # The newest by time counts: a clock that went back must not undo a review.
    recorded_at = max([review.recorded_at, *(each.recorded_at for each in said[:1])])
    connection.execute(
        insert(disputes).values(
            tenant=review.tenant,
            revision=counters.advance(connection, review.tenant, counters.REVISIONS, 1),
            signal_id=signal_id,
            status=status,
            reason=reason,
            recorded_at=recorded_at,
        )
    )
