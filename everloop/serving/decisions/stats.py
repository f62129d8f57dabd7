"""What the decision engine counted, for whoever exports it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from everloop.contracts.episodes import Arm
from everloop.contracts.serving import Decision


@dataclass(frozen=True, slots=True)
class DecisionLabel:
    """Kinds of decisions that are counted apart; ``fallback`` is its code, without the details."""

    loop: str
    arm: Arm
    model_version: str
    fallback: str


def label_of(decision: Decision) -> DecisionLabel:
    """As what a decision is counted."""
    fallback, _, _ = decision.fallback.partition(":")
    return DecisionLabel(decision.loop, decision.arm, decision.model_version, fallback)


@dataclass(frozen=True, slots=True)
class DecisionCounts:
    """Counts since the start of the process.

    ``load_failures`` and ``breaker_openings`` by (loop, checkpoint id) and (loop, model version).
    """

    decisions: Mapping[DecisionLabel, int]
    load_failures: Mapping[tuple[str, str], int]
    breaker_openings: Mapping[tuple[str, str], int]


class DecisionStats:
    """Thread-safe counters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decisions: Counter[DecisionLabel] = Counter()
        self._load_failures: Counter[tuple[str, str]] = Counter()
        self._breaker_openings: Counter[tuple[str, str]] = Counter()

    def decided(self, label: DecisionLabel) -> None:
        with self._lock:
            self._decisions[label] += 1

    def load_failed(self, loop: str, checkpoint_id: str) -> None:
        with self._lock:
            self._load_failures[loop, checkpoint_id] += 1

    def breaker_opened(self, loop: str, model_version: str) -> None:
        with self._lock:
            self._breaker_openings[loop, model_version] += 1

    def counts(self) -> DecisionCounts:
        """A consistent copy."""
        with self._lock:
            return DecisionCounts(
                dict(self._decisions), dict(self._load_failures), dict(self._breaker_openings)
            )
