"""Places of decisions that aren't stored yet: who sees whom, and when they are given up."""

from __future__ import annotations

import threading

import pytest

from everloop.serving.decisions import pending
from everloop.serving.decisions.pending import KEPT_S, PendingDecisions
from rl.constraints.limits import UNDECIDED
from tests.unit.serving.decisions.conftest import Clock

ANN, BEN = ("default", "coach", "a" * 64), ("default", "coach", "b" * 64)


def test_whoever_came_before_is_seen_until_the_database_has_them() -> None:
    held = PendingDecisions(Clock().monotonic)
    (first,), before = held.take([(ANN, "one")], 10)
    assert before == [()]
    _, before = held.take([(ANN, "two"), (BEN, "three"), (ANN, "four")], 11)
    assert before == [
        (("one", 10, UNDECIDED),),
        (),
        (("one", 10, UNDECIDED), ("two", 11, UNDECIDED)),
    ]
    first.action = 3
    assert held.take([(ANN, "five")], 12)[1][0][0] == ("one", 10, 3)
    held.settle(ANN, "one", 10, 4)
    assert held.take([(ANN, "six")], 12)[1][0][0] == ("one", 10, 3), "that was another draw"
    held.settle(ANN, "one", 10, 3)
    assert held.take([(ANN, "seven")], 13)[1][0][0] == ("two", 11, UNDECIDED)


def test_two_draws_under_one_id_settle_apart() -> None:
    held = PendingDecisions(Clock().monotonic)
    (first, second), _ = held.take([(ANN, "one"), (ANN, "one")], 10)
    first.action, second.action = 1, 2
    held.settle(ANN, "one", 10, 2)
    assert held.take([(ANN, "two")], 10)[1] == [(("one", 10, 1),)]


def test_places_that_are_given_up_are_gone() -> None:
    held = PendingDecisions(Clock().monotonic)
    places, _ = held.take([(ANN, "one"), (ANN, "two"), (BEN, "three")], 10)
    held.leave(places[1:])
    assert held.take([(BEN, "four"), (ANN, "five")], 11)[1] == [(), (("one", 10, UNDECIDED),)]


def test_what_nobody_waits_for_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "_SWEPT_EVERY", 1)
    clock = Clock()
    held = PendingDecisions(clock.monotonic)
    held.take([(ANN, "one"), (BEN, "two")], 10)
    clock.pass_(KEPT_S - 1)
    held.take([(ANN, "three")], 11)
    assert len(held) == 3
    clock.pass_(2)
    assert held.take([(BEN, "four")], 12)[1] == [()]
    assert len(held) == 2


def test_of_many_at_once_all_but_one_see_another() -> None:
    held = PendingDecisions(Clock().monotonic)
    start, seen = threading.Barrier(8), list[int]()

    def ask(number: int) -> None:
        start.wait()
        seen.append(len(held.take([(ANN, str(number))], 10)[1][0]))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(8))
