"""Flagged episodes as a person looks at them, and what a person decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from everloop.contracts.episodes import Episode, RewardSignal
from everloop.contracts.oversight import ReviewItem, ReviewState
from everloop.wiring import Workspace

_SHOWN_OF_PERSON = 12
DECISIONS = {
    "release": ReviewState.RELEASED,
    "reject": ReviewState.REJECTED,
    "reopen": ReviewState.OPEN,
}
"""What a person may decide -> the state of the review from then on."""


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A review with what it is about.

    Attributes:
        episode: ``None`` where it was erased since.
        signals: evidence of the episode, in order of arrival.
    """

    item: ReviewItem
    episode: Episode | None
    signals: tuple[RewardSignal, ...]

    @property
    def person(self) -> str:
        """The first digits of the pseudonym: enough to tell people apart, and no name."""
        return self.episode.user_id[:_SHOWN_OF_PERSON] if self.episode else ""


def looked_at(
    workspace: Workspace, items: Sequence[ReviewItem], tenant: str
) -> tuple[LookedAt, ...]:
    """The reviews with their episodes and signals, in the given order."""
    ids = list(dict.fromkeys(item.episode_id for item in items))
    episodes = workspace.log.episodes(ids, tenant)
    signals = workspace.log.signals_of(ids, tenant)
    return tuple(
        LookedAt(item, episodes.get(item.episode_id), signals.get(item.episode_id, ()))
        for item in items
    )


def decide(
    workspace: Workspace,
    review_ids: Sequence[str],
    state: ReviewState,
    reason: str,
    actor: str,
    now: datetime,
    tenant: str,
) -> tuple[LookedAt, ...]:
    """Decide some reviews alike; each counts from the next run's dataset on.

    An unknown id is told before any is decided. Saying the same again changes nothing, so a request that
    broke off may be repeated.

    Raises:
        ShouldNameKnownId: the tenant has no such review.
        ShouldFixArgument: nobody decides, or without a reason.
    """
    known = dict.fromkeys(workspace.reviews.item(each, tenant).review_id for each in review_ids)
    decided = [workspace.reviews.decide(each, state, reason, actor, now, tenant) for each in known]
    return looked_at(workspace, decided, tenant)
