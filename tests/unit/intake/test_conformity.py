"""What only the loop's specification can say of a record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from everloop.contracts.episodes import Episode, RewardSignal
from everloop.contracts.errors import ShouldFixEpisode, ShouldFixSignal
from everloop.contracts.loop_spec import LoopSpec
from everloop.intake.conformity import (
    conform_episode,
    conform_signal,
    did_you_mean,
    episode_nonconformities,
)

CONTEXT: dict[str, Any] = {
    "hour": 23.5,
    "basket": 0,
    "taste": [-1, 0.5, 1],
    "plan": "paid",
    "recent": [{"action": "wait", "reward": None}, {"action": "show-a", "reward": -1}],
}


@pytest.fixture
def episode() -> Episode:
    return Episode(
        episode_id="00000000-0000-0000-0000-000000000001",
        user_id="a" * 64,
        loop="shop",
        context_snapshot=CONTEXT,
        action_taken="show-a",
        timestamp=datetime(2026, 3, 1, tzinfo=UTC),
        model_version="rules",
        propensity=0.5,
        valid_actions=("wait", "show-a"),
    )


@pytest.fixture
def signal() -> RewardSignal:
    return RewardSignal(
        signal_id="00000000-0000-0000-0000-000000000002",
        episode_id="00000000-0000-0000-0000-000000000001",
        signal_type="click",
        value=1.0,
        latency=3,
    )


def test_a_record_that_fits_is_returned_unchanged(
    shop: LoopSpec, episode: Episode, signal: RewardSignal
) -> None:
    assert conform_episode(shop, episode) is episode
    assert conform_signal(shop, signal) is signal


def test_an_action_that_left_the_catalogue_may_stay_in_a_history(
    shop: LoopSpec, episode: Episode
) -> None:
    recent = [{"action": "retired", "reward": 0.5}]
    conform_episode(shop, replace(episode, context_snapshot={**CONTEXT, "recent": recent}))


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("hour", 24.1, "outside the cycle [0, 24]"),
        ("hour", -1, "outside the cycle"),
        ("hour", "noon", "not a finite number"),
        ("basket", 100.5, "outside the public bounds [0, 100]"),
        ("basket", True, "not a finite number"),
        ("basket", None, "not a finite number"),
        ("taste", [0, 0], "does not have 3 numbers"),
        ("taste", [0, 0, 2], "leaves the public bounds"),
        ("taste", [0, 0, "x"], "no finite number"),
        ("taste", [0, 0, True], "no finite number"),
        ("taste", 0.5, "not a list"),
        ("plan", "pad", "Did you mean 'paid'"),
        ("plan", 7, "not a string"),
        ("recent", "none", "not a list"),
        ("recent", [{"action": "wait", "reward": None}] * 3, "more than 2"),
        ("recent", ["wait"], "another shape"),
        ("recent", [{"action": "wait"}], "another shape"),
        ("recent", [{"action": 3, "reward": None}], "no id"),
        ("recent", [{"action": "wait", "reward": 2}], "outside [-1, 1]"),
        ("colour", "red", "not a context field"),
    ],
)
def test_a_context_that_does_not_fit_names_field_value_and_fix(
    shop: LoopSpec, episode: Episode, field: str, value: Any, problem: str
) -> None:
    misfit = replace(episode, context_snapshot={**CONTEXT, field: value})
    with pytest.raises(ShouldFixEpisode) as caught:
        conform_episode(shop, misfit)
    assert problem in str(caught.value)
    assert f"context_snapshot.{field}={value!r}" in str(caught.value)
    assert caught.value.remedy


HUGE = 10**400


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("basket", HUGE),
        ("hour", HUGE),
        ("taste", [0, 0, HUGE]),
        ("recent", [{"action": "wait", "reward": HUGE}]),
    ],
)
def test_integers_beyond_floats_are_refused_too(
    shop: LoopSpec, episode: Episode, field: str, value: Any
) -> None:
    with pytest.raises(ShouldFixEpisode, match=f"{field}.*64-bit"):
        conform_episode(shop, replace(episode, context_snapshot={**CONTEXT, field: value}))


def test_a_missing_field_is_named(shop: LoopSpec, episode: Episode) -> None:
    context = {name: value for name, value in CONTEXT.items() if name != "taste"}
    with pytest.raises(ShouldFixEpisode, match=r"context_snapshot\.taste=None is missing"):
        conform_episode(shop, replace(episode, context_snapshot=context))


def test_every_problem_is_found_not_only_the_first(shop: LoopSpec, episode: Episode) -> None:
    misfit = replace(
        episode,
        loop="other",
        action_taken="show-c",
        valid_actions=("show-c", "sho-a"),
        context_snapshot={**CONTEXT, "hour": 99, "basket": -1},
    )
    found = [(wrong.field, wrong.value) for wrong in episode_nonconformities(shop, misfit)]
    assert found == [
        ("loop", "other"),
        ("action_taken", "show-c"),
        ("valid_actions", "sho-a"),
        ("context_snapshot.hour", 99),
        ("context_snapshot.basket", -1),
    ]


def test_a_long_value_is_shortened_in_the_message(shop: LoopSpec, episode: Episode) -> None:
    misfit = replace(episode, context_snapshot={**CONTEXT, "plan": "x" * 500})
    with pytest.raises(ShouldFixEpisode) as caught:
        conform_episode(shop, misfit)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"signal_type": "clik"}, "Did you mean 'click'"),
        ({"value": 1.01}, r"declared range \[0, 1\]"),
        ({"signal_type": "stars", "value": -0.01}, r"declared range \[0, 1\]"),
    ],
)
def test_a_signal_that_does_not_fit(
    shop: LoopSpec, signal: RewardSignal, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ShouldFixSignal, match=problem):
        conform_signal(shop, replace(signal, **change))


def test_the_hint_lists_at_most_ten_names() -> None:
    hint = did_you_mean("zzz", [f"item-{i}" for i in range(80)])
    assert hint.startswith("Known: item-0, ")
    assert hint.endswith("item-9 and 70 more.")
