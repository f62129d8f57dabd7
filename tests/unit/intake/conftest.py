"""Shared by the tests of intake: a log in memory, pseudonyms, the shipped loops and the wheel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.episodes import Consent, Dispute, Episode, RewardSignal
from everloop.contracts.errors import ShouldFixSignal, ShouldResolveConflict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Appended
from everloop.intake.wheel import fetch_wheel
from everloop.loops import load


@dataclass
class MemoryEventLog:
    """An ``EventLog`` of two dictionaries: ``append_batch`` is whole or absent."""

    episodes: dict[str, Episode] = field(default_factory=dict)
    signals: dict[str, RewardSignal] = field(default_factory=dict)
    batches: int = 0

    def append_episodes(self, episodes: Sequence[Episode]) -> Appended:
        return self.append_batch(episodes, ())[0]

    def append_signals(self, signals: Sequence[RewardSignal]) -> Appended:
        return self.append_batch((), signals)[1]

    def append_batch(
        self, episodes: Iterable[Episode], signals: Iterable[RewardSignal]
    ) -> tuple[Appended, Appended]:
        self.batches += 1
        kept, evidence = dict(self.episodes), dict(self.signals)
        counts = [0, 0, 0, 0]
        for episode in episodes:
            replay = episode.episode_id in kept
            if kept.setdefault(episode.episode_id, episode) != episode:
                raise ShouldResolveConflict(f"Episode {episode.episode_id} was stored otherwise.")
            counts[replay] += 1
        for signal in signals:
            if signal.episode_id not in kept:
                raise ShouldFixSignal(f"Signal {signal.signal_id}: unknown episode.")
            replay = signal.signal_id in evidence
            if evidence.setdefault(signal.signal_id, signal) != signal:
                raise ShouldResolveConflict(f"Signal {signal.signal_id} was stored otherwise.")
            counts[2 + replay] += 1
        self.episodes, self.signals = kept, evidence
        return Appended(counts[0], counts[1]), Appended(counts[2], counts[3])

    def record_consent(self, consent: Consent, actor: str | None = None) -> None:
        raise NotImplementedError

    def record_dispute(self, dispute: Dispute) -> None:
        raise NotImplementedError

    def consents(self, user_id: str, tenant: str = "default") -> tuple[Consent, ...]:
        return ()

    def disputes(self, tenant: str = "default") -> tuple[Dispute, ...]:
        return ()

    def episodes_of(self, user_id: str, tenant: str = "default") -> Iterator[Episode]:
        own = [e for e in self.episodes.values() if (e.user_id, e.tenant) == (user_id, tenant)]
        return iter(sorted(own, key=lambda e: e.timestamp))

    def counts(self, loop: str, tenant: str = "default") -> tuple[int, int]:
        own = {i for i, e in self.episodes.items() if (e.loop, e.tenant) == (loop, tenant)}
        return len(own), sum(s.episode_id in own for s in self.signals.values())


@pytest.fixture
def log() -> MemoryEventLog:
    return MemoryEventLog()


@pytest.fixture(scope="session")
def pseudonym() -> Callable[[str], str]:
    return lambda person: hashlib.sha256(person.encode()).hexdigest()


@pytest.fixture(scope="session")
def companion() -> LoopSpec:
    return load("companion")


@pytest.fixture(scope="session")
def open_bandit() -> LoopSpec:
    return load("open_bandit")


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """Kept between test runs, so that the wheel is fetched once."""
    return Path(__file__).parents[3] / ".cache"


@pytest.fixture(scope="session")
def wheel(cache_dir: Path) -> Path:
    return fetch_wheel(cache_dir)


SHOP: dict[str, Any] = {
    "name": "shop",
    "version": 1,
    "context": [
        {"name": "hour", "kind": "cycle", "period": 24},
        {"name": "basket", "kind": "number", "low": 0, "high": 100},
        {"name": "taste", "kind": "vector", "width": 3, "low": -1, "high": 1},
        {"name": "plan", "kind": "category", "choices": ["free", "paid", "7"]},
        {"name": "recent", "kind": "history", "width": 2},
    ],
    "actions": [
        {"id": "wait", "kind": "no_action"},
        {"id": "show-a", "kind": "recommend_hive", "event_id": "a"},
        {"id": "show-b", "kind": "recommend_hive", "event_id": "b"},
    ],
    "signals": [
        {"name": "click", "weight": 1, "silence": "zero"},
        {"name": "stars", "weight": 1, "silence": "missing", "two_sided": True},
    ],
    "reward": {
        "attainable_low": -0.5,
        "attainable_high": 1,
        "half_life_seconds": 3600,
        "closes_after_seconds": 3600,
        "success_at": 0.5,
        "failure_at": -0.5,
    },
}


@pytest.fixture(scope="session")
def shop() -> LoopSpec:
    """A small loop with every kind of context field."""
    return LoopSpec.model_validate(SHOP)
