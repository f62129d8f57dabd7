from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollouts import RolloutRecord
from everloop.rollout.assignment import assign, bucket, choose, fnv1a32, in_trial


@pytest.mark.parametrize(
    ("text", "value"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)]
)
def test_fnv1a_reference_values(text: str, value: int) -> None:
    """From the authors of FNV (isthe.com/chongo/tech/comp/fnv)."""
    assert fnv1a32(text) == value


@pytest.mark.parametrize(
    ("seed", "value", "place"),
    [
        ("seed", "a", 0.0505),
        ("seed", "b", 0.2696),
        ("foo", "ab", 0.2575),
        ("foo", "def", 0.2019),
        ("89123klj", "8952klfjas09ujkasdf", 0.124),
        ("90850943850283058242805", "123", 0.7516),
        ("()**(%$##$%#$#", '___)((*":&', 0.0128),
    ],
)
def test_growthbooks_public_vectors(seed: str, value: str, place: float) -> None:
    """Every version-2 case of "hash" in GrowthBook's cases.json, specification 0.7.1."""
    assert bucket(value, seed) == place


@pytest.mark.parametrize(
    ("place", "ranges", "index"),
    [
        (0.2, [(0, 0.5), (0.5, 1)], 0),
        (0.4, [(0, 0.5), (0.5, 1)], 0),
        (0.6, [(0, 0.5), (0.5, 1)], 1),
        (0.8, [(0, 0.5), (0.5, 1)], 1),
        (0.0, [(0, 0.5), (0.5, 1)], 0),
        (0.5, [(0, 0.5), (0.5, 1)], 1),
        (0.2, [(0, 0.25), (0.5, 0.75)], 0),
        (0.4, [(0, 0.25), (0.5, 0.75)], -1),
        (0.6, [(0, 0.25), (0.5, 0.75)], 1),
        (0.8, [(0, 0.25), (0.5, 0.75)], -1),
        (0.25, [(0, 0.25), (0.5, 0.75)], -1),
        (0.5, [(0, 0.25), (0.5, 0.75)], 1),
        (0.5, [(0, 0.5), (0.5, 0.5), (0.5, 1)], 2),
    ],
)
def test_growthbooks_choices(place: float, ranges: list[tuple[float, float]], index: int) -> None:
    """Every case of "chooseVariation" in GrowthBook's cases.json, specification 0.7.1."""
    assert choose(place, ranges) == index


def test_shares_are_kept_in_the_large() -> None:
    counts = [0, 0, 0]
    for i in range(20_000):
        counts[assign(f"person-{i}", "trial", (0.2, 0.3, 0.5))] += 1
    for count, share in zip(counts, (0.2, 0.3, 0.5), strict=True):
        assert abs(count / 20_000 - share) < 4 * math.sqrt(share * (1 - share) / 20_000)


def test_seeds_draw_independently() -> None:
    both = sum(
        assign(f"p{i}", "first", (0.5, 0.5)) == assign(f"p{i}", "second", (0.5, 0.5))
        for i in range(10_000)
    )
    assert abs(both / 10_000 - 0.5) < 0.02


@given(person=st.text(alphabet="0123456789abcdef", min_size=1), seed=st.text(min_size=1))
def test_a_growing_share_keeps_everybody_who_is_in(person: str, seed: str) -> None:
    shares = (0.0, 0.01, 0.05, 0.25, 0.5, 1.0)
    arms = [assign(person, seed, (1 - share, share)) for share in shares]
    assert arms == sorted(arms)
    assert arms[0] == 0
    assert arms[-1] == 1


@given(
    person=st.text(min_size=1),
    parts=st.lists(st.integers(0, 10), min_size=1, max_size=6).filter(any),
)
def test_everybody_gets_an_arm_with_a_share(person: str, parts: list[int]) -> None:
    arm = assign(person, "s", [part / sum(parts) for part in parts])
    assert parts[arm] > 0


@pytest.mark.parametrize("weights", [(), (0.5,), (0.7, 0.7), (-0.1, 1.1), (math.nan, 1.0)])
def test_weights_that_are_no_shares_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ShouldFixArgument, match="weights"):
        assign("p", "s", weights)


@pytest.mark.parametrize(("person", "seed"), [("", "s"), ("p", "")])
def test_nobody_and_no_trial_are_refused(person: str, seed: str) -> None:
    with pytest.raises(ShouldFixArgument, match="empty"):
        assign(person, seed, (0.5, 0.5))


@pytest.mark.parametrize(
    ("state", "percent", "share"),
    [
        ("started", 100.0, 1.0),
        ("started", 25.0, 0.25),
        ("started", 0.0, 0.0),
        ("waiting", 50.0, 0.0),
    ],
)
def test_who_meets_the_candidate(state: str, percent: float, share: float) -> None:
    record = RolloutRecord(
        "r-1",
        "companion",
        "c",
        None,
        state,  # type: ignore[arg-type]
        percent,
        (),
        datetime(2025, 11, 20, tzinfo=UTC),
    )
    met = sum(in_trial(f"p{i}", record) for i in range(4000)) / 4000
    assert abs(met - share) <= 4 * math.sqrt(share * (1 - share) / 4000)
