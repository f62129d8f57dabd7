"""What is said of learners that were compared."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from everloop.contracts.evaluation import Estimate
from everloop.contracts.policy_learning import PolicyComparison
from everloop.reporting import learners
from everloop.reporting.evidence import RunEvidence


@pytest.fixture
def comparison(full: RunEvidence) -> PolicyComparison:
    assert full.comparison is not None
    return full.comparison


def gap(name: str, low: float, high: float) -> Estimate:
    return Estimate(name, (low + high) / 2, low, high, 0.95, 100, 100, "betting")


@pytest.mark.parametrize(
    ("gaps", "says"),
    [
        ((("ppo", -1, 1), ("greedy", -2, 1)), "These people cannot tell the learners apart"),
        ((("ppo", 0.1, 1), ("greedy", 0.2, 1)), "LinTS is better than PPO and greedy."),
        (
            (("ppo", 0.1, 1), ("greedy", -1, 1)),
            "LinTS is better than PPO; these people cannot tell LinTS from greedy.",
        ),
        ((("raw_dr", -1, -0.1),), "LinTS is worse than doubly robust on the raw log."),
        ((("ppo", math.nan, math.nan),), "These people cannot judge the learners"),
        ((), "LinTS alone was learned."),
    ],
)
def test_what_these_people_can_tell(
    comparison: PolicyComparison, gaps: tuple[tuple[str, float, float], ...], says: str
) -> None:
    found = replace(comparison, differences=tuple(gap(*each) for each in gaps))
    assert learners.told_apart(found).startswith(says)


@pytest.mark.parametrize(
    ("cost", "says"),
    [
        (gap("c", 0.01, 0.02), "privacy costs that much"),
        (gap("c", -0.02, -0.01), "privacy costs nothing"),
        (gap("c", -0.01, 0.02), "cannot say that privacy costs anything"),
        (gap("c", math.nan, math.nan), "cannot be said"),
    ],
)
def test_what_privacy_costs(comparison: PolicyComparison, cost: Estimate, says: str) -> None:
    assert says in learners.privacy_cost(replace(comparison, privacy_cost=cost))


def test_nothing_is_said_of_a_cost_that_was_not_measured(comparison: PolicyComparison) -> None:
    assert learners.privacy_cost(replace(comparison, privacy_cost=None)) == ""


def test_every_learner_has_its_rows(comparison: PolicyComparison) -> None:
    rows = [row.name for row in learners.gains(comparison).rows]
    assert [name.partition(":")[0] for name in rows] == [
        "PPO",
        "greedy",
        "LinTS",
        "doubly robust on the raw log, report only",
    ]
    assert [row.tone for row in learners.gains(comparison).rows] == ["main"] * 3 + ["third"]
    assert len(learners.values(comparison).rows) == 5
    assert len(learners.leads(comparison).rows) == 3


def test_a_terminal_gets_one_line(comparison: PolicyComparison) -> None:
    line = learners.one_line(comparison)
    assert line.startswith("lin_ts of ppo, greedy, lin_ts, raw_dr; against the baseline +0.071 [")
    assert "\n" not in line


def test_the_note_says_what_the_error_pays_for(comparison: PolicyComparison) -> None:
    assert "half for the differences between any two learners" in learners.error_split(comparison)
    alone = replace(comparison, differences=())
    assert learners.error_split(alone).endswith("report-only ones too.")
