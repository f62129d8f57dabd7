"""Requests of the companion product as bytes: episodes, rewards and questions, each with ids as the
SDK makes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from everloop.contracts.ids import event_id

MIX = ("reward", "episode", "reward", "reward")
"""A decision of the companion loop has up to three signals."""

_SIGNALS = ("engagement", "resonance", "explicit_feedback")
_CONTEXTS = 256
_PEOPLE = 20_000
Maker = Callable[[], bytes]


class Traffic:
    """Makes requests; the same seed makes the same ones but for their ids.

    Args:
        key: the API key that they carry.
        seed: of contexts and people.
        known: episodes that rewards may speak of.
    """

    def __init__(self, key: str, seed: int, known: list[str]) -> None:
        self._random = np.random.default_rng(seed)
        self._key = key
        self._known = known
        self._contexts = [json.dumps(self._context()) for _ in range(_CONTEXTS)]
        self._turn = 0

    def know(self, ids: list[str]) -> None:
        """Let rewards speak of these episodes from now on."""
        self._known = ids

    def request(self, path: str, body: bytes) -> bytes:
        """A whole HTTP/1.1 request."""
        return (
            f"POST {path} HTTP/1.1\r\nHost: everloop\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def makers(self) -> dict[str, Maker]:
        """Kind of request -> what makes the next one of it."""
        return {
            "bare": lambda: self.request("/bare", self._mixed().encode()),
            "bare, fast lane": lambda: self.request("/bare/fast", self._mixed().encode()),
            "episode": lambda: self.request("/api/ml/episode", self._episode(event_id()).encode()),
            "reward": lambda: self.request("/api/ml/reward", self._reward().encode()),
            "decide": lambda: self.request("/api/ml/decide", self._question().encode()),
        }

    def episode_batch(self, ids: list[str]) -> bytes:
        """A batch of episodes with given ids."""
        bodies = ",".join(self._episode(row) for row in ids)
        return self.request("/api/ml/episode/batch", f'{{"episodes":[{bodies}]}}'.encode())

    def reward_batch(self, ids: list[str]) -> bytes:
        """Three rewards for each of the episodes."""
        bodies = ",".join(self._reward(row, kind) for row in ids for kind in _SIGNALS)
        return self.request("/api/ml/reward/batch", f'{{"rewards":[{bodies}]}}'.encode())

    def new_ids(self, count: int) -> list[str]:
        return [event_id() for _ in range(count)]

    def _mixed(self) -> str:
        """A body as large as the mix's are on average."""
        self._turn += 1
        kind = MIX[self._turn % len(MIX)]
        return self._reward() if kind == "reward" else self._episode(event_id())

    def _person(self) -> str:
        return f"person-{int(self._random.integers(_PEOPLE))}"

    def _context(self) -> dict[str, object]:
        draw = self._random
        return {
            "emotion": [round(float(v), 6) for v in draw.uniform(-1, 1, 128)],
            "recent_interactions": [
                {"action": "no_action", "reward": None},
                {"action": "pair-one", "reward": 0.25},
            ],
            "heart_rate": 72.0,
            "pulse_variability": 55.0,
            "hour": int(draw.integers(24)),
            "weekday": int(draw.integers(7)),
            "week": 12,
            "connections": int(draw.integers(50)),
            "active_connections": 3,
            "age_group": "25_to_44",
        }

    def _some_context(self) -> str:
        return self._contexts[int(self._random.integers(_CONTEXTS))]

    def _episode(self, episode_id: str) -> str:
        return (
            f'{{"episode_id":"{episode_id}","user_id":"{self._person()}",'
            f'"context_snapshot":{self._some_context()},"action_taken":"no_action",'
            f'"timestamp":"{datetime.now(UTC).isoformat()}","model_version":"bench-1",'
            '"propensity":0.5,"valid_actions":["no_action","pair-one","hive-walk"]}'
        )

    def _reward(self, episode_id: str | None = None, kind: str | None = None) -> str:
        episode_id = episode_id or self._known[int(self._random.integers(len(self._known)))]
        kind = kind or _SIGNALS[int(self._random.integers(3))]
        return (
            f'{{"signal_id":"{event_id()}","episode_id":"{episode_id}",'
            f'"signal_type":"{kind}","value":0.75,"latency":30,"confidence":0.9}}'
        )

    def _question(self) -> str:
        return f'{{"user_id":"{self._person()}","context":{self._some_context()}}}'
