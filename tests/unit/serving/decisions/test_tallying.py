"""Counts of a process on their way to the workspace."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from everloop.contracts.rollouts import RolloutRecord, TrialTally
from everloop.rollout.health import merged
from everloop.serving.decisions.tallying import STINT_S, Tallies, edges_of
from tests.unit.serving.decisions.conftest import Clock, loop

NOW = datetime(2026, 3, 10, tzinfo=UTC)
SPEC = loop()
TRIAL = RolloutRecord("r-1", "coach", "c", "a", "shadow", 0.0, ("x",), NOW)


@dataclass
class Store:
    rows: dict[str, TrialTally] = field(default_factory=dict)
    written: int = 0
    broken: bool = False

    def add(self, tally: TrialTally, at: datetime) -> None:
        if self.broken:
            raise OSError("the disk is full")
        self.written += 1
        self.rows[tally.worker] = tally

    def tallies(
        self, rollout_id: str, phase: str, tenant: str = "default"
    ) -> tuple[TrialTally, ...]:
        return tuple(self.rows.values())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_counts_grow_and_only_what_changed_is_written(clock: Clock) -> None:
    tallies, store = Tallies(clock.monotonic, "w"), Store()
    tallies.count(SPEC, TRIAL, "shadow", asked=2, agreed=1, actions=["wait", "walk"], seconds=0.003)
    assert tallies.flush(store, NOW) == 1
    assert tallies.flush(store, NOW) == 0
    tallies.count(SPEC, TRIAL, "shadow", asked=1, failed=1)
    tallies.count(SPEC, TRIAL, "shadow", asked=3, dropped=3, active_actions=["wait"])
    assert tallies.flush(store, NOW) == 1
    (stored,) = store.rows.values()
    assert stored == TrialTally(
        "r-1",
        "shadow",
        "w:1",
        asked=6,
        failed=1,
        dropped=3,
        agreed=1,
        actions={"wait": 1, "walk": 1},
        active_actions={"wait": 1},
        latency={"5.0": 1},
    )
    assert tallies.taken() == (stored,)


def test_what_could_not_be_stored_is_stored_the_next_time(clock: Clock) -> None:
    tallies, store = Tallies(clock.monotonic), Store(broken=True)
    tallies.count(SPEC, TRIAL, "shadow", asked=1)
    with pytest.raises(OSError, match="full"):
        tallies.flush(store, NOW)
    store.broken = False
    assert tallies.flush(store, NOW) == 1
    assert merged(store.tallies("r-1", "shadow"), "shadow").asked == 1


def test_after_some_hours_another_tally_begins_and_the_old_one_still_counts(clock: Clock) -> None:
    tallies, store = Tallies(clock.monotonic), Store()
    for _ in range(3):
        tallies.count(SPEC, TRIAL, "trial", asked=10, failed=1)
        tallies.flush(store, NOW)
        clock.pass_(STINT_S / 2)
    tallies.count(SPEC, TRIAL, "trial", asked=1)
    tallies.flush(store, NOW)
    assert [tally.asked for tally in store.rows.values()] == [30, 1]
    assert merged(store.tallies("r-1", "trial"), "trial").asked == 31


def test_a_tally_that_was_not_stored_is_not_closed(clock: Clock) -> None:
    tallies, store = Tallies(clock.monotonic), Store(broken=True)
    tallies.count(SPEC, TRIAL, "shadow", asked=5)
    clock.pass_(2 * STINT_S)
    with pytest.raises(OSError, match="full"):
        tallies.flush(store, NOW)
    store.broken = False
    tallies.flush(store, NOW)
    assert merged(store.tallies("r-1", "shadow"), "shadow").asked == 5


def test_two_workers_tallies_add_up(clock: Clock) -> None:
    store = Store()
    for asked in (7, 5):
        tallies = Tallies(clock.monotonic)
        tallies.count(SPEC, TRIAL, "shadow", asked=asked, actions=["wait"] * asked)
        tallies.flush(store, NOW)
    total = merged(store.tallies("r-1", "shadow"), "shadow")
    assert (len(store.rows), total.asked, total.actions) == (2, 12, {"wait": 12})


@pytest.mark.parametrize(
    ("seconds", "edge"),
    [
        (0.0, "0.1"),
        (0.0001, "0.1"),
        (0.00011, "0.2"),
        (0.05, "50.0"),
        (0.0501, "100.0"),
        (9, "inf"),
    ],
)
def test_an_answer_is_in_the_bucket_whose_upper_edge_it_reaches(seconds: float, edge: str) -> None:
    tallies = Tallies()
    tallies.count(SPEC, TRIAL, "shadow", asked=1, seconds=seconds)
    assert tallies.taken()[0].latency == {edge: 1}


def test_a_loops_own_limits_are_edges() -> None:
    spec = loop(rollout={"shadow": {"max_p99_ms": 33.3}, "hard_limits": {"max_p99_ms": 777}})
    assert {33.3, 777.0} <= set(edges_of(spec))
    assert list(edges_of(spec)) == sorted(edges_of(spec))


def test_totals_only_grow_over_trials_and_stints(clock: Clock) -> None:
    tallies, store = Tallies(clock.monotonic), Store()
    for _ in range(3):
        tallies.count(SPEC, TRIAL, "shadow", asked=2, dropped=1)
        tallies.flush(store, NOW)
        clock.pass_(2 * STINT_S)
    assert tallies.totals()["coach", "shadow"]["asked"] == 6
    assert tallies.totals()["coach", "shadow"]["dropped"] == 3


def test_what_is_counted_while_an_old_tally_is_stored_is_not_lost(clock: Clock) -> None:
    tallies = Tallies(clock.monotonic)

    class Slow(Store):
        def add(self, tally: TrialTally, at: datetime) -> None:
            super().add(tally, at)
            if self.written == 1:
                tallies.count(SPEC, TRIAL, "shadow", asked=3)

    store = Slow()
    tallies.count(SPEC, TRIAL, "shadow", asked=5)
    clock.pass_(2 * STINT_S)
    tallies.flush(store, NOW)
    tallies.flush(store, NOW)
    assert merged(store.tallies("r-1", "shadow"), "shadow").asked == 8
