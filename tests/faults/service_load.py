"""Clients that log and ask all day, and never give up: what they were told is what must be true."""

from __future__ import annotations

import http.client
import random
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from everloop.contracts.ids import event_id
from tests.served import Served, ask

CONTEXT = {
    "emotion": [0.25] * 128,
    "recent_interactions": [],
    "heart_rate": 70,
    "pulse_variability": 50,
    "hour": 9,
    "weekday": 2,
    "week": 12,
    "connections": 3,
    "active_connections": 1,
    "age_group": "25_to_44",
}
_GIVE_UP_S = 120.0


@dataclass
class Told:
    """What the service acknowledged."""

    episodes: set[str] = field(default_factory=set)
    signals: set[str] = field(default_factory=set)
    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    confirmed: set[str] = field(default_factory=set)
    retries: int = 0
    wrong: list[str] = field(default_factory=list)


class Load:
    """Some clients, each a thread with a connection of its own."""

    def __init__(self, served: Served, clients: int = 4) -> None:
        self.told = Told()
        self._served = served
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End after the requests under way, which are still tried until they are answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int, seconds: float = 60) -> None:
        """Wait until so many more events were acknowledged."""
        aim = self._acknowledged() + more
        give_up = time.monotonic() + seconds
        while self._acknowledged() < aim and time.monotonic() < give_up:
            time.sleep(0.01)
        if self._acknowledged() < aim:
            raise AssertionError(f"fewer than {more} events in {seconds} s: {self.told.wrong}")

    def _acknowledged(self) -> int:
        told = self.told
        return len(told.episodes) + len(told.signals) + len(told.decisions)

    def _run(self, number: int) -> None:
        client = _Client(self._served, self.told)
        chance = random.Random(number)
        while not self._stop.is_set():
            if chance.random() < 0.5:
                self._decided(client, f"person-{chance.randrange(50)}")
            else:
                self._logged(client, f"person-{chance.randrange(50)}")
        client.close()

    def _decided(self, client: _Client, person: str) -> None:
        decision_id = event_id()
        question = {"user_id": person, "context": CONTEXT, "decision_id": decision_id}
        answer = client.insist("/api/ml/decide", question, 200)
        again = client.insist("/api/ml/decide", question, 200)
        with self._lock:
            self.told.decisions[decision_id] = answer
            if again != answer:
                self.told.wrong.append(f"decision {decision_id} was answered in two ways")
        client.insist("/api/ml/episode", {"decision_id": decision_id}, 201)
        with self._lock:
            self.told.confirmed.add(decision_id)
            self.told.episodes.add(decision_id)
        self._rewarded(client, decision_id)

    def _logged(self, client: _Client, person: str) -> None:
        episode_id = event_id()
        body = {
            "episode_id": episode_id,
            "user_id": person,
            "context_snapshot": CONTEXT,
            "action_taken": "no_action",
            "timestamp": datetime.now(UTC).isoformat(),
            "model_version": "own-1",
            "propensity": 0.5,
        }
        client.insist("/api/ml/episode", body, 201)
        with self._lock:
            self.told.episodes.add(episode_id)
        self._rewarded(client, episode_id)

    def _rewarded(self, client: _Client, episode_id: str) -> None:
        signal_id = event_id()
        body = {
            "signal_id": signal_id,
            "episode_id": episode_id,
            "signal_type": "engagement",
            "value": 0.5,
            "latency": 5,
        }
        client.insist("/api/ml/reward", body, 201)
        with self._lock:
            self.told.signals.add(signal_id)


class _Client:
    def __init__(self, served: Served, told: Told) -> None:
        self._served = served
        self._told = told
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def insist(self, path: str, body: Any, expected: int) -> Any:
        """Send the same request until it is answered as expected."""
        give_up = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < give_up:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection(
                        "127.0.0.1", self._served.port, timeout=30
                    )
                status, answer, _ = ask(self._connection, self._served.key, "POST", path, body)
            except (OSError, http.client.HTTPException, ValueError):
                self.close()
                self._told.retries += 1
                time.sleep(0.05)
                continue
            if status == expected:
                return answer
            if status not in (429, 500, 503):
                self._told.wrong.append(f"{path}: {status} {answer}")
                return answer
            self._told.retries += 1
            time.sleep(0.05)
        self._told.wrong.append(f"{path}: not answered in {_GIVE_UP_S} s")
        return None
