"""When the safety breaker opens, and how it is set against others who change the same loop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.loop_spec import LoopSpec, ThresholdSpec
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.contracts.rollouts import Head, SafetyBreaker
from everloop.loops import load
from everloop.rollout.breaker import set_breaker, too_critical

NOW = datetime(2025, 11, 20, 12, tzinfo=UTC)


@dataclass
class Store:
    """A head that others change under the caller."""

    at: Head = field(default_factory=lambda: Head("companion"))
    conflicts: int = 0
    written: int = 0

    def head(self, loop: str, tenant: str = "default") -> Head:
        return self.at

    def set_breaker(
        self, loop: str, breaker: SafetyBreaker, expected_revision: int, actor: str, tenant: str
    ) -> Head:
        if self.conflicts:
            self.conflicts -= 1
            self.at = replace(self.at, revision=self.at.revision + 1)
        if expected_revision != self.at.revision:
            raise ShouldResolveConflict("changed meanwhile")
        self.written += 1
        self.at = replace(self.at, revision=self.at.revision + 1, breaker=breaker)
        return self.at


def switch(store: Store, is_open: bool = True, **changes: Any) -> Head:
    values: dict[str, Any] = {"reason": "it rang", "actor": "cli:eve", "now": NOW} | changes
    return set_breaker(cast("DeploymentStore", store), "companion", is_open, **values)


def test_it_says_since_when_and_why() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=2)))
    assert switch(Store(), now=local).breaker == SafetyBreaker(True, "it rang", NOW)


def test_one_that_is_as_wanted_is_left_alone() -> None:
    store = Store()
    assert switch(store, False) == store.at
    switch(store)
    switch(store, reason="once more")
    assert (store.written, store.at.breaker.reason) == (1, "it rang")
    assert switch(store, False, reason="mended").breaker == SafetyBreaker(False, "mended", None)


def test_it_is_set_over_whatever_changed_meanwhile() -> None:
    store = Store(conflicts=4)
    assert switch(store).breaker.open
    with pytest.raises(ShouldResolveConflict, match="changed 5 times"):
        switch(Store(conflicts=99))


@pytest.mark.parametrize(
    "changes",
    [{"reason": " "}, {"actor": ""}, {"now": datetime(2025, 11, 20)}],  # noqa: DTZ001
)
def test_nobody_no_reason_and_no_zone_are_refused(changes: dict[str, Any]) -> None:
    store = Store()
    with pytest.raises(ShouldFixArgument):
        switch(store, **changes)
    assert store.written == 0


def spec(limit: float) -> LoopSpec:
    thresholds = ThresholdSpec(max_safety_critical_share=limit)
    return load("companion").model_copy(update={"thresholds": thresholds})


@pytest.mark.parametrize(
    ("taken", "decisions", "limit", "opens"),
    [
        (0, 0, 0.5, False),
        (1, 1, 0.5, False),
        (12, 12, 0.5, False),
        (14, 14, 0.5, True),
        (500, 1000, 0.5, False),
        (540, 1000, 0.5, False),
        (600, 1000, 0.5, True),
        (3, 1000, 0.01, False),
        (40, 1000, 0.01, True),
        (1000, 1000, 1.0, False),
    ],
)
def test_a_share_above_its_limit_opens_it_and_chance_does_not(
    taken: int, decisions: int, limit: float, opens: bool
) -> None:
    why = too_critical(spec(limit), taken, decisions)
    assert bool(why) is opens
    if opens:
        assert f"{taken:,} of its last {decisions:,}" in why
