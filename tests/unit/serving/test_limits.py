"""Token buckets: never too much, never late, never endless, and small."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument, ShouldSlowDown
from everloop.serving import limits
from everloop.serving.configuration import ServiceConfig
from everloop.serving.limits import RateLimits, TokenBuckets


@dataclass
class Seconds:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def buckets(
    clock: Seconds, per_second: float = 2.0, burst: float = 5.0, most: int = 9
) -> TokenBuckets:
    return TokenBuckets("limit", per_second, burst, most, clock)


def admitted(of: TokenBuckets, name: str = "a", tokens: float = 1.0) -> bool:
    try:
        of.take(name, tokens)
    except ShouldSlowDown:
        return False
    return True


def test_a_burst_then_the_rate() -> None:
    clock = Seconds()
    made = buckets(clock)
    assert [admitted(made) for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now += 1.0  # two tokens
    assert [admitted(made) for _ in range(3)] == [True, True, False]
    clock.now += 3600.0  # no more than a burst is saved up
    assert sum(admitted(made) for _ in range(9)) == 5


def test_names_do_not_share() -> None:
    made = buckets(Seconds())
    assert all(admitted(made, "a") for _ in range(5))
    assert not admitted(made, "a")
    assert admitted(made, "b")


def test_says_exactly_how_long_to_wait() -> None:
    clock = Seconds()
    made = buckets(clock)
    made.take("a", 4.0)
    with pytest.raises(ShouldSlowDown) as refused:
        made.take("a", 4.0)  # 1 is left, 3 are missing, 2 come per second
    assert refused.value.retry_after == pytest.approx(1.5, abs=1e-5)
    clock.now += refused.value.retry_after - 1e-3
    assert not admitted(made, tokens=4.0)
    clock.now += 1e-3
    assert admitted(made, tokens=4.0)


def test_a_refusal_costs_nothing() -> None:
    clock = Seconds()
    made = buckets(clock)
    made.take("a", 5.0)
    for _ in range(100):
        assert not admitted(made)
    clock.now += 0.5 + 1e-9
    assert admitted(made)


def test_what_never_fits_is_told_so() -> None:
    made = buckets(Seconds())
    with pytest.raises(ShouldFixArgument, match=r"6 records.* 5 at once") as refused:
        made.take("a", 6.0)
    assert "at most 5" in refused.value.remedy
    assert admitted(made, tokens=5.0)


def test_a_clock_that_stands_or_steps_back_gives_nothing() -> None:
    clock = Seconds()
    made = buckets(clock)
    made.take("a", 5.0)
    clock.now -= 500.0
    assert not admitted(made)
    clock.now += 500.0
    assert not admitted(made)


Steps = st.lists(
    st.tuples(st.floats(0.0, 3.0), st.sampled_from("ab"), st.floats(0.01, 12.0)), max_size=80
)


@given(Steps, st.floats(0.05, 50.0), st.floats(1.0, 10.0), st.integers(1, 3))
def test_never_admits_more_than_burst_and_rate(
    steps: list[tuple[float, str, float]], per_second: float, burst: float, most: int
) -> None:
    """In every interval, whatever is dropped to save memory; and who waits as told gets in."""
    clock = Seconds()
    made = buckets(clock, per_second, burst, most)
    took: dict[str, list[tuple[float, float]]] = {"a": [], "b": []}
    for pause, name, tokens in steps:
        clock.now += pause
        try:
            made.take(name, tokens)
        except ShouldSlowDown as refused:
            clock.now += refused.retry_after
            made.take(name, tokens)
            took[name].append((clock.now, tokens))
        except ShouldFixArgument:
            assert tokens > burst
        else:
            took[name].append((clock.now, tokens))
        assert len(made) <= most
    for events in took.values():
        for start in range(len(events)):
            for end in range(start, len(events)):
                span = events[end][0] - events[start][0]
                total = math.fsum(tokens for _, tokens in events[start : end + 1])
                assert total <= burst + per_second * span + 1e-6


def test_full_buckets_are_dropped_and_others_kept() -> None:
    clock = Seconds()
    made = buckets(clock, per_second=1.0, burst=2.0, most=1000)
    for number in range(500):
        made.take(f"s{number}")
    assert len(made) == 500
    clock.now += 0.5
    assert len(made) == 500  # half a token is still missing in each
    clock.now += 0.6
    for number in range(500):
        made.take(f"t{number}")  # each new one lets two old ones go
    assert len(made) <= 502


def test_when_all_are_busy_a_new_name_waits_for_the_oldest() -> None:
    clock = Seconds()
    made = buckets(clock, per_second=1.0, burst=4.0, most=2)
    made.take("a", 3.0)
    clock.now += 1.0
    made.take("b", 4.0)
    with pytest.raises(ShouldSlowDown) as refused:
        made.take("c")
    assert refused.value.retry_after == pytest.approx(2.0, abs=1e-5)  # of a, 2 tokens are missing
    assert admitted(made, "a")  # known names are served all the while
    assert len(made) == 2


def test_tenants_and_sessions_have_the_configured_limits() -> None:
    clock = Seconds()
    config = ServiceConfig(
        requests_per_second=10.0, request_burst=3.0, session_per_second=0.5, session_burst=2.0
    )
    made = RateLimits(config, clock)
    made.admit("acme", 3)
    made.admit("bolt", 0)
    with pytest.raises(ShouldSlowDown, match="tenant of 10 per second and 3 at once") as refused:
        made.admit("acme")
    assert refused.value.retry_after == pytest.approx(0.1, abs=1e-5)
    with pytest.raises(ShouldFixArgument, match="4 records"):
        made.admit("acme", 4)
    for _ in range(2):
        made.admit_sessions("acme", {"s": 1})
    with pytest.raises(ShouldSlowDown, match="session") as refused:
        made.admit_sessions("acme", {"s": 1})
    assert refused.value.retry_after == pytest.approx(2.0, abs=1e-5)
    made.admit_sessions("bolt", {"s": 1})
    made.admit_sessions("acme", {"s2": 1})


def test_a_request_without_records_counts() -> None:
    made = RateLimits(ServiceConfig(request_burst=2.0), Seconds())
    made.admit("acme", 0)
    made.admit("acme", 0)
    with pytest.raises(ShouldSlowDown):
        made.admit("acme", 0)


def test_a_tenant_s_many_sessions_do_not_shut_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_SESSIONS", 50)
    made = RateLimits(ServiceConfig(), Seconds())
    for number in range(50):
        made.admit_sessions("acme", {f"s{number}": 1})
    with pytest.raises(ShouldSlowDown):
        made.admit_sessions("acme", {"s50": 1})
    made.admit_sessions("bolt", {"s": 1})
    made.admit_sessions("acme", {"s1": 1})


def test_several_buckets_are_taken_from_together_or_not_at_all() -> None:
    clock = Seconds()
    made = buckets(clock)
    made.take("b", 4.0)
    with pytest.raises(ShouldSlowDown) as refused:
        made.take_all({"a": 5.0, "b": 3.0, "c": 1.0})  # of b, 2 are missing
    assert refused.value.retry_after == pytest.approx(1.0, abs=1e-5)
    made.take_all({"a": 5.0, "c": 5.0})
    clock.now += refused.value.retry_after
    made.take_all({"b": 3.0})
    with pytest.raises(ShouldFixArgument, match="6 records"):
        made.take_all({"a": 1.0, "b": 6.0})


def test_no_more_buckets_than_are_kept_can_be_named_at_once() -> None:
    made = buckets(Seconds(), most=3)
    made.take_all(dict.fromkeys("abc", 5.0))
    assert len(made) == 3
    with pytest.raises(ShouldFixArgument, match="names 4"):
        made.take_all(dict.fromkeys("defg", 1.0))
    fresh = buckets(Seconds(), most=3)
    fresh.take_all(dict.fromkeys("abc", 4.0))
    assert not any(admitted(fresh, name, 2.0) for name in "abc")


def test_a_session_s_records_count_each() -> None:
    made = RateLimits(ServiceConfig(session_burst=20.0), Seconds())
    made.admit_sessions("acme", {"s": 15, "t": 20})
    with pytest.raises(ShouldSlowDown):
        made.admit_sessions("acme", {"s": 6})
    made.admit_sessions("acme", {"s": 5})
    with pytest.raises(ShouldFixArgument, match=r"21 records.*session"):
        made.admit_sessions("acme", {"u": 21})
