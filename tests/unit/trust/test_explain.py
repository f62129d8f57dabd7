from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Any

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import TrainingExplanation
from everloop.loops import load
from everloop.trust.explain import (
    Tally,
    explain,
    explained_share,
    in_words,
    is_complete,
    outcome_of,
)

SPEC = load("companion")
A = len(SPEC.actions)


def _arguments(**changes: Any) -> dict[str, Any]:
    candidate = np.full((2, A), 0.05)
    candidate[0, 1], candidate[1, 4] = 0.31, 0.52
    arguments: dict[str, Any] = {
        "contexts": [{"hour": 9, "connections": 4}, {"hour": 22, "connections": 30}],
        "episode_ids": ["e-1", "e-2"],
        "actions": np.array([1, 0]),
        "rewards": np.array([0.41, -0.3]),
        "expected_reward": np.tile(np.linspace(0.1, 0.8, A), (2, 1)),
        "candidate_propensity": candidate,
        "logged_propensity": np.array([0.12, math.nan]),
    }
    return arguments | changes


def test_the_seven_fields() -> None:
    first, second = explain(SPEC, **_arguments())
    assert [f.name for f in dataclasses.fields(first)] == [
        "episode_id",
        "context_summary",
        "action_taken",
        "expected_outcome",
        "actual_outcome",
        "reward_received",
        "model_adjustment",
    ]
    assert first.episode_id == "e-1"
    assert "connections: 4" in first.context_summary
    assert first.action_taken == "suggested a pairing with 1 person (pair-one)"
    assert first.expected_outcome == "success: the user model expected a reward of 0.20"
    assert first.actual_outcome == "success: a reward of 0.41"
    assert first.reward_received == 0.41
    assert first.model_adjustment == (
        "The candidate chooses pair-one here with probability 0.31 instead of 0.12 (logged)."
    )
    assert second.actual_outcome == "failure: a reward of -0.30"
    assert second.model_adjustment == (
        "The candidate chooses no_action here with probability 0.05; what was logged is unknown; "
        "its first choice is hive-music (0.52)."
    )


def test_expectations_of_the_logged_action_alone_will_do() -> None:
    whole = explain(SPEC, **_arguments())
    own = np.linspace(0.1, 0.8, A)[[1, 0]]
    assert explain(SPEC, **_arguments(expected_reward=own)) == whole


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ("no_action", "left the person alone (no_action)"),
        ("pair-three", "suggested a pairing with 3 people (pair-three)"),
        ("hive-walk", "recommended walk (hive-walk)"),
        (
            "intervene-calm",
            "stepped in, in a calm tone, with 'Take a breath with me for a minute?'",
        ),
    ],
)
def test_actions_in_words(action: str, says: str) -> None:
    assert in_words(SPEC.actions[SPEC.action_index[action]]).startswith(says)


def test_outcomes_by_the_loops_thresholds() -> None:
    assert [outcome_of(SPEC, r) for r in (0.2, 0.19, -0.19, -0.2)] == [
        "success",
        "neutral",
        "neutral",
        "failure",
    ]


@pytest.mark.parametrize(
    "unknown",
    [
        {"rewards": np.array([math.nan, 0.1])},
        {"expected_reward": np.array([math.nan, 0.1])},
        {"candidate_propensity": np.vstack([np.full(A, math.nan), np.full(A, 1 / A)])},
        {"contexts": [{}, {"hour": 1}]},
    ],
    ids=["reward", "expectation", "candidate", "context"],
)
def test_what_is_unknown_is_not_counted_as_explained(unknown: dict[str, Any]) -> None:
    first, second = explain(SPEC, **_arguments(**unknown))
    assert not is_complete(first)
    assert is_complete(second)
    assert explained_share((first, second), 2) == 0.5


def test_a_missing_reward_is_said_in_words() -> None:
    first, _ = explain(SPEC, **_arguments(rewards=np.array([math.nan, 0.1])))
    assert first.actual_outcome.startswith("not known")
    assert math.isnan(first.reward_received)


def test_coverage_counts_the_episodes_that_should_be_explained() -> None:
    both = explain(SPEC, **_arguments())
    assert explained_share(both, 2) == 1.0
    assert explained_share(both, 8) == 0.25
    assert math.isnan(explained_share((), 0))
    assert explained_share((), 5) == 0.0
    with pytest.raises(ShouldFixArgument, match="cannot cover 1"):
        explained_share(both, 1)


@pytest.mark.parametrize(
    "field",
    [f.name for f in dataclasses.fields(TrainingExplanation) if f.name != "reward_received"],
)
def test_an_empty_field_is_no_explanation(field: str) -> None:
    first = explain(SPEC, **_arguments())[0]
    assert is_complete(first)
    assert not is_complete(dataclasses.replace(first, **{field: " "}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"episode_ids": ["e-1"]},
        {"actions": np.array([1])},
        {"rewards": np.zeros((2, 1))},
        {"expected_reward": np.zeros((2, A + 1))},
        {"candidate_propensity": np.zeros(2)},
        {"logged_propensity": np.zeros(3)},
    ],
)
def test_rows_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ShouldFixArgument, match=next(iter(wrong))):
        explain(SPEC, **_arguments(**wrong))


def test_no_decision_has_no_explanation() -> None:
    nothing = explain(
        SPEC,
        [],
        [],
        np.zeros(0, dtype=int),
        np.zeros(0),
        np.zeros((0, A)),
        np.zeros((0, A)),
        np.zeros(0),
    )
    assert nothing == ()


def _named(name: str) -> TrainingExplanation:
    return TrainingExplanation(name, "calm", "walk", "well", "well", 0.5, "more")


def _shown(ids: list[str], most: int, batch: int = 7) -> list[str]:
    tally = Tally(most)
    for start in range(0, len(ids), batch):
        tally.add([_named(name) for name in ids[start : start + batch]])
    assert (tally.count, tally.complete) == (len(ids), len(ids))
    return [one.episode_id for one in tally.shown]


def test_a_sample_depends_on_the_ids_alone() -> None:
    ids = [f"episode-{i}" for i in range(500)]
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ids}
    smallest = sorted(ids, key=digests.__getitem__)[:20]
    chosen = _shown(ids, 20)
    assert chosen == [name for name in ids if name in smallest]
    assert chosen == _shown(ids, 20, batch=500)
    assert _shown(ids[::-1], 20) == chosen[::-1]
    # a smaller sample is part of a larger one
    assert set(_shown(ids, 5)) <= set(chosen)
    assert _shown(ids, 1000) == ids
    assert _shown(ids, 0) == _shown([], 5) == []


def test_shares_of_batches_are_those_of_all_at_once() -> None:
    rows = [_named(f"e{i}") for i in range(5)]
    rows[3] = dataclasses.replace(rows[3], reward_received=math.nan)
    tally = Tally(2)
    tally.add(rows[:2])
    tally.add(rows[2:])
    assert tally.share(8) == explained_share(rows, 8) == 4 / 8
    assert math.isnan(Tally(2).share(0))
    with pytest.raises(ShouldFixArgument, match="cannot cover 4"):
        tally.share(4)


def test_many_are_explained_alike() -> None:
    """Blocks do not change what is said of the action, the outcome and the adjustment."""
    n = 300
    rng = np.random.default_rng(0)
    arguments = {
        "contexts": [{"hour": int(h)} for h in rng.integers(0, 24, n)],
        "episode_ids": [str(i) for i in range(n)],
        "actions": rng.integers(0, A, n),
        "rewards": rng.uniform(-0.7, 1, n),
        "expected_reward": rng.uniform(-0.7, 1, (n, A)),
        "candidate_propensity": rng.dirichlet(np.ones(A), n),
        "logged_propensity": rng.uniform(0.1, 1, n),
    }
    whole = explain(SPEC, **arguments)
    for i in (0, 17, 299):
        alone = explain(SPEC, **{name: value[i : i + 1] for name, value in arguments.items()})[0]
        assert dataclasses.replace(whole[i], context_summary="") == dataclasses.replace(
            alone, context_summary=""
        )
