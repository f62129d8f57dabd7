"""``VoiceLog`` in the workspace database: what may teach a voice, read in pages.

Consents are those of the moment in which a page is read, as those of an extraction are. Nobody teaches
with another's words either: whoever spoke in the interaction must not have refused. A feedback is disputed
while its episode's signal that came of it is (``open`` or ``upheld``), or while a review holds or rejects
that episode.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, RowMapping, Select, and_, func, or_, select

from everloop.contracts.feedback import FeedbackStatus, implied_signal_id
from everloop.contracts.oversight import ReviewState
from everloop.contracts.voice_ports import SpokenFeedback, VoiceWatermark
from everloop.contracts.voices import UserDataPackage
from everloop.storage.rollout_tables import review_decisions, reviews
from everloop.storage.schema import disputes, reward_signals
from everloop.storage.service_tables import feedback, interactions
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.consent_states import refusing
from everloop.storage.sql.engine import reading
from everloop.storage.sql.feedback_rows import feedback_of, interaction_of
from everloop.storage.sql.ingest_kinds import FEEDBACK, INTERACTIONS
from everloop.storage.sql.voice_packages import PACKAGES, TRAIN, package_of
from everloop.storage.voice_tables import user_data_packages

_PAGE = 500
_TEACH = (FeedbackStatus.ACCEPTED, FeedbackStatus.RELEASED)


@dataclass(frozen=True, slots=True)
class _Spoken:
    """A feedback with its ingest number; ``refused``: somebody in it refused training."""

    seq: int
    told: SpokenFeedback
    refused: bool


class SqlVoiceLog:
    """What the people of one workspace said.

    Args:
        engine: from ``open_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def watermark(self, tenant: str = "default") -> VoiceWatermark:
        """See ``VoiceLog``."""
        with reading(self._engine) as connection:
            return VoiceWatermark(
                feedback=counters.last_number(connection, tenant, FEEDBACK.counter),
                interactions=counters.last_number(connection, tenant, INTERACTIONS.counter),
                packages=counters.last_number(connection, tenant, PACKAGES),
            )

    def spoken_feedback(
        self, persona: str, until: VoiceWatermark, tenant: str = "default"
    ) -> Iterator[SpokenFeedback]:
        """See ``VoiceLog``."""
        streams = [self._with_status(persona, until, tenant, status) for status in _TEACH]
        last = 0
        for spoken in heapq.merge(*streams, key=lambda each: each.seq):
            # What was released between two pages comes in both streams.
            if spoken.seq > last and not spoken.refused:
                last = spoken.seq
                yield spoken.told

    def packages(
        self, persona: str, until: VoiceWatermark, tenant: str = "default"
    ) -> Iterator[UserDataPackage]:
        """See ``VoiceLog``."""
        table = user_data_packages.c
        query = (
            select(user_data_packages)
            .where(
                table.tenant == tenant,
                table.seq <= until.packages,
                table.persona.in_((persona, "")),
            )
            .order_by(table.seq)
            .limit(_PAGE)
        )
        last = 0
        while True:
            with reading(self._engine) as connection:
                rows = connection.execute(query.where(table.seq > last)).mappings().all()
                people = {row["user_id"] for row in rows}
                refused = refusing(connection, tenant, people, TRAIN)
            yield from (package_of(row) for row in rows if row["user_id"] not in refused)
            if len(rows) < _PAGE:
                return
            last = rows[-1]["seq"]

    def _with_status(
        self, persona: str, until: VoiceWatermark, tenant: str, status: FeedbackStatus
    ) -> Iterator[_Spoken]:
        """In stored order; two statuses at once would have SQLite sort all rows for every page."""
        query = _feedback_rows(persona, until, tenant, status)
        last = 0
        while True:
            with reading(self._engine) as connection:
                rows = connection.execute(query.where(feedback.c.seq > last)).mappings().all()
                found = _read(connection, tenant, until, rows)
            yield from found
            if len(rows) < _PAGE:
                return
            last = rows[-1]["seq"]


def _feedback_rows(
    persona: str, until: VoiceWatermark, tenant: str, status: FeedbackStatus
) -> Select[tuple[object, ...]]:
    return (
        select(feedback)
        .where(
            feedback.c.tenant == tenant,
            feedback.c.status == str(status),
            feedback.c.seq <= until.feedback,
            feedback.c.persona == persona,
            feedback.c.log_id.is_not(None),
        )
        .order_by(feedback.c.seq)
        .limit(_PAGE)
    )


def _read(
    connection: Connection, tenant: str, until: VoiceWatermark, rows: Sequence[RowMapping]
) -> list[_Spoken]:
    logs = select(interactions).where(
        interactions.c.tenant == tenant,
        interactions.c.seq <= until.interactions,
        interactions.c.log_id.in_({row["log_id"] for row in rows}),
    )
    spoke = {row["log_id"]: row for row in connection.execute(logs).mappings()}
    pairs = [(row, spoke[row["log_id"]]) for row in rows if row["log_id"] in spoke]
    refused = refusing(
        connection, tenant, {said["user_id"] for pair in pairs for said in pair}, TRAIN
    )
    episode_ids = sorted({log["episode_id"] for _, log in pairs if log["episode_id"] is not None})
    held = _held_episodes(connection, tenant, episode_ids)
    disputed = _disputed_signals(connection, tenant, episode_ids)
    return [
        _Spoken(
            row["seq"],
            SpokenFeedback(
                feedback_of(row), interaction_of(log), _is_disputed(row, log, held, disputed)
            ),
            not refused.isdisjoint((row["user_id"], log["user_id"])),
        )
        for row, log in pairs
    ]


def _is_disputed(
    row: RowMapping,
    log: RowMapping,
    held: frozenset[str],
    disputed: dict[str, list[tuple[str, str]]],
) -> bool:
    episode_id = log["episode_id"]
    return episode_id in held or any(
        implied_signal_id(row["feedback_id"], kind) == signal_id
        for kind, signal_id in disputed.get(episode_id, ())
    )


def _held_episodes(
    connection: Connection, tenant: str, episode_ids: Sequence[str]
) -> frozenset[str]:
    """Episodes with a review that is open or rejected; one without a decision is open."""
    later = review_decisions.alias("later")
    newest = (
        select(func.max(later.c.revision))
        .where(later.c.tenant == reviews.c.tenant, later.c.review_id == reviews.c.review_id)
        .correlate(reviews)
        .scalar_subquery()
    )
    decided = and_(
        review_decisions.c.tenant == reviews.c.tenant,
        review_decisions.c.review_id == reviews.c.review_id,
        review_decisions.c.revision == newest,
    )
    query = (
        select(reviews.c.episode_id)
        .select_from(reviews.outerjoin(review_decisions, decided))
        .where(
            reviews.c.tenant == tenant,
            reviews.c.episode_id.in_(episode_ids),
            or_(
                review_decisions.c.state.is_(None),
                review_decisions.c.state != str(ReviewState.RELEASED),
            ),
        )
    )
    return frozenset(connection.scalars(query)) if episode_ids else frozenset()


def _disputed_signals(
    connection: Connection, tenant: str, episode_ids: Sequence[str]
) -> dict[str, list[tuple[str, str]]]:
    """(type, id) of each episode's signals whose newest dispute is not rejected."""
    if not episode_ids:
        return {}
    of_signal = and_(
        disputes.c.tenant == reward_signals.c.tenant,
        disputes.c.signal_id == reward_signals.c.signal_id,
    )
    query = (
        select(
            reward_signals.c.episode_id,
            reward_signals.c.signal_type,
            reward_signals.c.signal_id,
            disputes.c.status,
        )
        .select_from(reward_signals.join(disputes, of_signal))
        .where(reward_signals.c.tenant == tenant, reward_signals.c.episode_id.in_(episode_ids))
        .order_by(
            reward_signals.c.signal_id, disputes.c.recorded_at.desc(), disputes.c.revision.desc()
        )
    )
    newest: dict[str, tuple[str, str, str]] = {}
    for episode_id, kind, signal_id, status in connection.execute(query):
        newest.setdefault(signal_id, (episode_id, kind, status))
    found: dict[str, list[tuple[str, str]]] = {}
    for signal_id, (episode_id, kind, status) in newest.items():
        if status != "rejected":
            found.setdefault(episode_id, []).append((kind, signal_id))
    return found
