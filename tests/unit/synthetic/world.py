"""A small product with a known truth: its loop, its layout and its encoded episodes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np

from everloop.contracts.datasets import (
    EncodedBlock,
    EncodedEpisodes,
    EncodingLayout,
    Float,
    Float32,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops.loader import parse
from everloop.privacy.ledger import Ledger
from everloop.storage.local.blobs import LocalBlobStore
from tests.conformance.memory_ledger_store import MemoryLedgerStore

SPEC: LoopSpec = parse(
    """
name: small
version: 1
context:
  - {name: mood, kind: vector, width: 3, low: -1, high: 1, interacts: true}
  - {name: pulse, kind: number, low: 40, high: 180}
  - {name: hour, kind: cycle, period: 24}
  - {name: group, kind: category, choices: [a, b, c]}
actions:
  - {id: no_action, kind: no_action}
  - {id: pair, kind: suggest_pairing, people: 1}
  - {id: walk, kind: recommend_hive, event_id: walk}
  - {id: music, kind: recommend_hive, event_id: music}
signals:
  - {name: engagement, weight: 0.4, silence: zero}
  - {name: thumb, two_sided: true, weight: 0.6, silence: missing}
reward: {attainable_low: -0.6, attainable_high: 1, half_life_seconds: 86400,
         closes_after_seconds: 86400, success_at: 0.2, failure_at: -0.2}
privacy: {people_expected: 600, min_people: 50, steps: 8}
training: {profiles: 400, journey_length: 5}
"""
)

LAYOUT = EncodingLayout(
    encoder="small-1",
    width=13,
    blocks=(
        EncodedBlock("mood", "vector", 0, 3),
        EncodedBlock("mood", "missing", 3, 1),
        EncodedBlock("pulse", "number", 4, 1),
        EncodedBlock("pulse", "missing", 5, 1),
        EncodedBlock("hour", "cycle", 6, 2),
        EncodedBlock("hour", "missing", 8, 1),
        EncodedBlock("group", "category", 9, 3),
        EncodedBlock("group", "missing", 12, 1),
    ),
)
INTERACTING = np.arange(LAYOUT.width) < 3
SUITS = np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [-2, -2, 3.0]])
OFFSET = np.array([0.0, -0.3, 0.2, 0.0])
PRESENT = np.array([0.2, 0.7, 0.7, 0.6])


def truth(context: Float32) -> Float:
    """(n, A) true position of every signal's mean within its range."""
    return np.asarray(1 / (1 + np.exp(-(context[:, :3] @ SUITS.T + OFFSET))))


def contexts(people: int, rng: np.random.Generator) -> Float32:
    """(people, d) contexts: skewed pulse, evenings, some missing pulses."""
    made = np.zeros((people, LAYOUT.width))
    made[:, :3] = np.tanh(0.6 * rng.normal(size=(people, 3)))
    absent = rng.random(people) < 0.2
    made[:, 4] = np.where(absent, 0.0, 2 * rng.beta(2, 5, people) - 1)
    made[:, 5] = absent
    angle = 2 * np.pi * (19 + 2 * rng.normal(size=people)) / 24
    made[:, 6], made[:, 7] = np.sin(angle), np.cos(angle)
    made[np.arange(people), 9 + rng.choice(3, people, p=[0.6, 0.3, 0.1])] = 1.0
    return made.astype(np.float32)


def make(people: int, each: int = 4, seed: int = 1, holdout_share: float = 0.0) -> EncodedEpisodes:
    """Encoded episodes of made-up people; actions are uniform, ``holdout`` the first share of them."""
    rng = np.random.default_rng([seed, people, each])
    names = np.array(
        sorted(sha256(f"{seed}/{i}".encode()).hexdigest() for i in range(people)), dtype=np.str_
    )
    person = np.repeat(np.arange(people), each)
    n = len(person)
    context = contexts(n, rng)
    action = rng.integers(0, len(SPEC.actions), n)
    share = truth(context)[np.arange(n), action]
    engagement = rng.beta(4 * share, 4 * (1 - share))
    thumb = np.where(rng.random(n) < share, 1.0, -1.0)
    thumb[rng.random(n) >= PRESENT[action]] = np.nan
    weight = np.where(np.isfinite(thumb), 1.0, 0.4)
    return EncodedEpisodes(
        episode_id=np.array([f"e{i}" for i in range(n)], dtype=np.str_),
        person=person,
        people=names,
        context=context,
        interacting=INTERACTING,
        action=action,
        mask=np.ones((n, len(SPEC.actions)), dtype=np.bool_),
        propensity=np.full(n, 1 / len(SPEC.actions)),
        reward=(0.4 * engagement + 0.6 * np.nan_to_num(thumb)) / weight,
        signals=np.stack([engagement, thumb], axis=1),
        holdout=person < holdout_share * people,
        comparison=np.zeros(n, dtype=np.bool_),
        timestamp=np.arange(n, dtype=np.float64),
        encoder=LAYOUT.encoder,
    )


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Place:
    """A ledger and a blob store of their own."""

    store: MemoryLedgerStore
    blobs: LocalBlobStore
    folder: Path

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, bytes(32), Clock())

    @classmethod
    def at(cls, folder: Path) -> Place:
        return cls(MemoryLedgerStore(), LocalBlobStore(folder / "blobs"), folder)
