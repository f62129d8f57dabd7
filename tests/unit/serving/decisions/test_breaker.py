"""The circuit breaker: when it opens, how it closes."""

from __future__ import annotations

import threading

import pytest

from everloop.serving.decisions.breaker import BreakerState, CircuitBreaker
from tests.unit.serving.decisions.conftest import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, cool_down_s=10.0, monotonic=clock.monotonic)


def test_consecutive_failures_alone_open_it(breaker: CircuitBreaker) -> None:
    for _ in range(5):
        assert breaker.admits()
        assert not breaker.failed()
        assert not breaker.failed()
        breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert [breaker.failed() for _ in range(4)] == [False, False, True, False]
    assert breaker.state is BreakerState.OPEN
    assert not breaker.admits()


def test_after_the_cool_down_one_at_a_time_may_try(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.failed()
    clock.pass_(9.9)
    assert not breaker.admits()
    clock.pass_(0.2)
    assert breaker.state is BreakerState.HALF_OPEN
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    assert not breaker.failed(), "it was open already"
    assert breaker.state is BreakerState.OPEN
    assert not breaker.admits()
    clock.pass_(10.0)
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.admits()
    assert breaker.admits()
    assert not breaker.failed(), "what was counted before is forgotten"


def test_a_late_failure_of_an_open_breaker_begins_the_cool_down_anew(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for _ in range(3):
        breaker.failed()
    clock.pass_(9.0)
    breaker.failed()
    clock.pass_(9.0)
    assert not breaker.admits()


def test_many_threads_open_it_once_and_one_of_them_tries(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    opened: list[bool] = []
    admitted: list[bool] = []

    def together(work: list[bool], ask: bool) -> None:
        threads = [
            threading.Thread(
                target=lambda: work.append(breaker.admits() if ask else breaker.failed())
            )
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together(opened, ask=False)
    clock.pass_(10.0)
    together(admitted, ask=True)
    assert sum(opened) == 1
    assert sum(admitted) == 1
