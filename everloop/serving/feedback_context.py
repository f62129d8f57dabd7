"""What feedback speaks of: its interaction, the decision behind it, and the loop that decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from everloop.contracts.episodes import RewardSignal
from everloop.contracts.errors import EverloopError, ShouldAskForScope, ShouldFixFeedback
from everloop.contracts.feedback import FeedbackInstance, Interaction
from everloop.contracts.loop_spec import LoopSpec
from everloop.feedback.interpretation import DWELL_SECONDS
from everloop.feedback.learning_signals import signals_of
from everloop.serving.service import Service
from everloop.wiring import Workspace


class Loops(Protocol):
    """A workspace and the loops whose decisions are known; a service is one."""

    @property
    def workspace(self) -> Workspace: ...

    @property
    def loops(self) -> Mapping[str, LoopSpec]: ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """An interaction, and where a decision of a served loop is behind it, which and when.

    ``interaction`` is ``None`` for a trust survey alone.
    """

    interaction: Interaction | None = None
    spec: LoopSpec | None = None
    decided_at: datetime | None = None

    def signals(self, feedback: FeedbackInstance) -> tuple[RewardSignal, ...]:
        """The reward signals that a feedback on it implies."""
        if self.spec is None or self.decided_at is None:
            return ()
        return signals_of(feedback, self.interaction, self.spec, self.decided_at)

    @property
    def dwell_seconds(self) -> float:
        """Dwell time that counts as 1."""
        return DWELL_SECONDS if self.spec is None else self.spec.feedback.dwell_seconds


def spoken_of(
    service: Loops, log_ids: Iterable[str | None], tenant: str
) -> Mapping[str | None, Spoken]:
    """What each of some feedbacks speaks of, by its ``log_id``. Reads the database: not for the loop.

    Raises:
        ShouldFixFeedback: nobody logged an interaction.
        ShouldAskForScope: another tenant did.
    """
    wanted = sorted({log_id for log_id in log_ids if log_id})
    found = service.workspace.feedback.interactions(wanted, tenant) if wanted else {}
    for log_id in wanted:
        if log_id not in found:
            raise _orphan(service, log_id)
    episodes = sorted({each.episode_id for each in found.values() if each.episode_id is not None})
    decided = service.workspace.log.decided_at(episodes, tenant) if episodes else {}
    spoken: dict[str | None, Spoken] = {None: Spoken()}
    for log_id, interaction in found.items():
        loop, decided_at = decided.get(interaction.episode_id or "", ("", None))
        spoken[log_id] = Spoken(interaction, service.loops.get(loop), decided_at)
    return spoken


class NamesEpisode(Protocol):
    """An interaction, or what will become one."""

    @property
    def log_id(self) -> str: ...

    @property
    def episode_id(self) -> str | None: ...


def require_episodes(service: Service, interactions: Iterable[NamesEpisode], tenant: str) -> None:
    """Refuse interactions that name an episode which the tenant has not logged.

    Raises:
        ShouldFixFeedback: nobody has.
        ShouldAskForScope: another tenant has.
    """
    named = {i.episode_id: i.log_id for i in interactions if i.episode_id is not None}
    if not named:
        return
    known = service.workspace.log.decided_at(sorted(named), tenant)
    for episode_id, log_id in named.items():
        if episode_id in known:
            continue
        if service.workspace.tenancy.owner("episode", episode_id) is not None:
            raise ShouldAskForScope(
                f"Episode {episode_id} is another tenant's.", "Use that tenant's credential."
            )
        raise ShouldFixFeedback(
            f"Interaction {log_id}: episode_id={episode_id!r} is unknown.",
            "Log the episode, or confirm the decision, first.",
        )


def _orphan(service: Loops, log_id: str) -> EverloopError:
    if service.workspace.tenancy.owner("interaction", log_id) is not None:
        return ShouldAskForScope(
            f"Interaction {log_id} is another tenant's.", "Use that tenant's credential."
        )
    return ShouldFixFeedback(f"log_id={log_id!r} is unknown.", "Log the interaction first.")
