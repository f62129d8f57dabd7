"""Episodes and signals refuse what cannot be learned from, naming field, value and fix."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.episodes import Episode, RewardSignal, canonical_json
from everloop.contracts.errors import ShouldFixEpisode, ShouldFixSignal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def episode(**changes: Any) -> Episode:
    values: dict[str, Any] = {
        "episode_id": "00000000-0000-4000-8000-000000000001",
        "user_id": "a" * 64,
        "loop": "companion",
        "context_snapshot": {"hour": 3},
        "action_taken": "no_action",
        "timestamp": NOW,
        "model_version": "v1",
        "propensity": 0.5,
        "valid_actions": ("no_action", "pair-one"),
    }
    return Episode(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"episode_id": "seven"}, "episode_id='seven' is not a UUID"),
        ({"user_id": "alice"}, "user_id='alice' is not a pseudonym"),
        ({"user_id": "A" * 64}, "is not a pseudonym"),
        ({"timestamp": datetime(2026, 3, 1)}, "has no time zone"),  # noqa: DTZ001
        (
            {"timestamp": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))},
            "is no time of the calendar",
        ),
        ({"propensity": 0.0}, "propensity=0.0 is outside (0, 1]"),
        ({"propensity": 1.01}, "propensity=1.01 is outside (0, 1]"),
        ({"propensity": math.nan}, "propensity=nan is outside (0, 1]"),
        ({"propensity": math.inf}, "propensity=inf is outside (0, 1]"),
        ({"propensity": 9.99e-7}, "propensity=9.99e-07 is below 1e-06"),
        ({"propensity": 5e-324}, "propensity=5e-324 is below 1e-06"),
        (
            {"timestamp": datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)},
            "lies before 2000-01-01",
        ),
        ({"action_taken": "jump"}, "action_taken='jump' is not among valid_actions"),
        ({"valid_actions": ("no_action", "no_action")}, "repeats an action"),
        ({"reward_score": 1.5}, "reward_score=1.5 is outside [-1, 1]"),
        ({"model_version": ""}, "model_version='' is empty"),
        ({"tenant": ""}, "tenant='' is empty"),
        (
            {"context_snapshot": {"pulse": math.nan}},
            "context_snapshot['pulse']=nan is not finite JSON",
        ),
        (
            {"action_arguments": {"x": math.inf}},
            "action_arguments['x']=inf is not finite JSON",
        ),
    ],
)
def test_a_bad_episode_is_refused_by_field(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ShouldFixEpisode) as refused:
        episode(**changes)
    assert said in str(refused.value)
    assert refused.value.remedy


def test_an_unlogged_propensity_is_allowed() -> None:
    assert episode(propensity=None).propensity is None


def test_the_bounds_themselves_are_allowed() -> None:
    made = episode(propensity=1e-6, timestamp=datetime(2000, 1, 1, tzinfo=UTC))
    assert (made.propensity, made.timestamp.year) == (1e-6, 2000)


@pytest.mark.parametrize(
    "huge",
    [10**5000, [{"deep": 10**5000}], math.inf, {"a": {1, 2}}],
    ids=["integer", "deep integer", "infinity", "set"],
)
def test_a_problem_in_the_arguments_does_not_show_the_context(huge: Any) -> None:
    with pytest.raises(ShouldFixEpisode) as refused:
        episode(context_snapshot={"pulse": "c1pher"}, action_arguments={"note": "x", "n": huge})
    assert "action_arguments['n']=" in refused.value.message
    assert "c1pher" not in refused.value.message
    assert "note" not in refused.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"episode_id": "q" * 5000},
        {"user_id": "q" * 5000},
        {"action_taken": "q" * 5000},
        {"valid_actions": ("no_action", *["q" * 5000] * 2)},
        {"context_snapshot": {"q": ["q" * 5000, math.nan]}},
        {"action_arguments": {"q" * 5000: math.nan}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_long_value_is_shown_shortened(changes: dict[str, Any]) -> None:
    with pytest.raises(ShouldFixEpisode) as refused:
        episode(**changes)
    assert "q" * 50 in refused.value.message
    assert "q" * 121 not in refused.value.message


def test_times_become_utc_and_ids_canonical() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    made = episode(timestamp=local, episode_id="{00000000-0000-4000-8000-00000000000A}")
    assert made.timestamp == NOW
    assert made.timestamp.tzinfo is UTC
    assert made.episode_id == "00000000-0000-4000-8000-00000000000a"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signal_id": ""}, "signal_id='' is not a UUID"),
        ({"episode_id": "x"}, "episode_id='x' is not a UUID"),
        ({"signal_type": ""}, "signal_type='' is empty"),
        ({"value": math.nan}, "value=nan is not finite"),
        ({"value": math.inf}, "value=inf is not finite"),
        ({"latency": -1}, "latency=-1 is negative"),
        ({"confidence": 1.1}, "confidence=1.1 is outside [0, 1]"),
        ({"confidence": math.nan}, "confidence=nan is outside [0, 1]"),
    ],
)
def test_a_bad_signal_is_refused_by_field(changes: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = {
        "signal_id": str(uuid.UUID(int=1)),
        "episode_id": str(uuid.UUID(int=2)),
        "signal_type": "click",
        "value": 1.0,
        "latency": 0,
    }
    with pytest.raises(ShouldFixSignal) as refused:
        RewardSignal(**(values | changes))
    assert said in str(refused.value)


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_canonical_json_ignores_order(value: dict[str, float | str]) -> None:
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))
