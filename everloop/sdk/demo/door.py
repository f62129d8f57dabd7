"""The tour's door to the log: the service's own rules and group commit, without HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from everloop.contracts.episodes import Episode, RewardSignal
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.service_ports import IngestQueue
from everloop.contracts.serving import Submission
from everloop.intake.conformity import conform_episode, conform_signal
from everloop.wiring import Workspace, open_ingest

TENANT = "default"
ACTOR = "everloop demo"
_TOGETHER = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Door:
    """Stores decisions and signals as the service does: checked, pseudonymous, health fields sealed.

    Records that are stored already are replays: nothing is stored twice.
    """

    workspace: Workspace
    spec: LoopSpec
    queue: IngestQueue

    def store(self, episodes: Iterable[Episode], signals: Iterable[RewardSignal]) -> None:
        """Store the decisions, then the signals; durable when it returns.

        Args:
            episodes: with the product's own person ids as ``user_id`` replaced by ``person``'s.

        Raises:
            ShouldFixEpisode, ShouldFixSignal: a record does not fit the loop.
            ShouldResolveConflict: an id is stored with other content.
        """
        checked = (self._sealed(conform_episode(self.spec, episode)) for episode in episodes)
        self._settle(Submission(TENANT, ACTOR, episodes=part) for part in _parts(checked))
        fitting = (conform_signal(self.spec, signal) for signal in signals)
        self._settle(Submission(TENANT, ACTOR, signals=part) for part in _parts(fitting))

    def person(self, user_id: str) -> str:
        """The pseudonym of a product's user id."""
        return self.workspace.pseudonyms.of(user_id, TENANT)

    def _sealed(self, episode: Episode) -> Episode:
        context = self.workspace.vault.seal(
            self.spec, TENANT, episode.episode_id, episode.context_snapshot
        )
        return replace(episode, context_snapshot=context)

    def _settle(self, submissions: Iterable[Submission]) -> None:
        for waiting in [self.queue.submit(submission) for submission in submissions]:
            waiting.result()


@contextmanager
def open_door(workspace: Workspace, spec: LoopSpec) -> Iterator[Door]:
    """Start the group commit and stop it in the end."""
    queue = open_ingest(workspace)
    try:
        yield Door(workspace, spec, queue)
    finally:
        queue.close()


def _parts(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    found = iter(items)
    while part := tuple(islice(found, _TOGETHER)):
        yield part
