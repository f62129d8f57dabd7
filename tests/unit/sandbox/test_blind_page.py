"""What raters get tells nothing of who is on which side, its name least of all."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from everloop.contracts.sandboxes import (
    ConfigurationDrift,
    RunStatus,
    SandboxReport,
    TestRunLog,
)
from everloop.sandbox import ratings
from everloop.sandbox.loading import shipped
from everloop.sandbox.ratings import Choice, RatedPair, RatingKey, pairs_of
from tests.unit.sandbox.test_deciding import CLOSED

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN = shipped(["behavioural_range"])
SIZE = 6


class Left(random.Random):
    """Puts the candidate on the left, in the order that is given."""

    def random(self) -> float:
        return 0.0

    def sample(self, population: Any, k: int, *, counts: Any = None) -> list[Any]:
        return list(population)[:k]


class Right(Left):
    def random(self) -> float:
        return 0.9


def drawn(mine: str, theirs: str) -> tuple[tuple[RatedPair, ...], RatingKey]:
    """The pairs of a candidate and an active voice that say these words."""

    def runs(said: str) -> tuple[TestRunLog, ...]:
        return tuple(
            TestRunLog("r", "m", each.id, each.suite, NOW, RunStatus.PASSED, (said,), {})
            for each in KNOWN[:SIZE]
        )

    nothing = ConfigurationDrift({})
    tried = SandboxReport(
        "c" * 64, "a" * 64, NOW, 1.0, runs(mine), runs(theirs), (), CLOSED, nothing
    )
    return pairs_of(tried, KNOWN, 5, SIZE)


def test_the_pages_name_is_the_same_whoever_is_on_the_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratings, "random", SimpleNamespace(Random=Left))
    pairs, key = drawn("A.", "B.")
    monkeypatch.setattr(ratings, "random", SimpleNamespace(Random=Right))
    same, other = drawn("B.", "A.")
    assert pairs == same
    assert set(key.candidate_on.values()) == {Choice.LEFT}
    assert set(other.candidate_on.values()) == {Choice.RIGHT}
    assert key.page == other.page
    assert drawn("B.", "C.")[1].page != key.page
