from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from everloop.contracts.datasets import (
    EPISODES_FILE,
    SIGNALS_FILE,
    DatasetManifest,
    Exclusions,
    FileEntry,
)
from everloop.contracts.evaluation import (
    Check,
    CheckStatus,
    Decision,
    Estimate,
    GroupValue,
    OverlapDiagnostics,
    PolicyEvaluation,
    Verdict,
)
from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import ComparedPolicy, PolicyComparison
from everloop.contracts.privacy import BudgetStatus, ReleaseNote
from everloop.loops import load
from everloop.trust.model_card import model_card

SPEC = load("companion")
MANIFEST = DatasetManifest(
    "d1",
    "companion",
    "default",
    date(2025, 11, 20),
    28,
    1,
    1,
    0,
    "s",
    (FileEntry(EPISODES_FILE, "a", 12345, 1), FileEntry(SIGNALS_FILE, "b", 23456, 1)),
    Exclusions(opted_out_episodes=17, disputed_signals=3, late_signals=44),
)
BUDGET = BudgetStatus(1.0, 1e-5, 365, 0.0396, 0.31, 0.31, 0.0718, 0.01, 300, 0)
NOTE = ReleaseNote(
    "release-0123456789", "user_model", True, "", 0.0396, 1e-5, 1e-4, {}, 9876, 297, BUDGET
)
NAN = math.nan
EVALUATION = PolicyEvaluation(
    "candidate",
    "logging policy",
    (Estimate("ips", 0.33, 0.31, 0.35, 0.95, 5000, 1200, "t"),),
    Estimate("baseline", 0.30, NAN, NAN, 0.95, 5000, 1200, "mean"),
    Estimate("difference", 0.03, 0.01, 0.05, 0.9, 5000, 1200, "betting"),
    OverlapDiagnostics(5000, 900, 1, 1, 1, 9, 0.01, 0, ("One thing is wrong.",)),
    (GroupValue("age_group", "under_25", 300, Estimate("g", NAN, NAN, NAN, 0.95, 1, 1, "t")),),
)
VERDICT = Verdict(
    Decision.HOLD,
    (
        Check("overlap", CheckStatus.PASSED, "Fine."),
        Check("fairness", CheckStatus.INSUFFICIENT, "Too few | people."),
        Check("budget", CheckStatus.FAILED, "Spent."),
    ),
)
COMPARISON = PolicyComparison(
    (
        ComparedPolicy("ppo", "v1", Provenance.PRIVATE_RELEASE, EVALUATION),
        ComparedPolicy("lin_ts", "v2", Provenance.PRIVATE_RELEASE, EVALUATION),
        ComparedPolicy("raw_dr", "v3", Provenance.RAW_LOG, EVALUATION),
    ),
    chosen="lin_ts",
    distinguishable=False,
    reason="lin_ts is not shown to be better than ppo.",
    differences=(
        Estimate("ppo", 0.02, -0.01, 0.04, 0.9, 5000, 1200, "betting"),
        Estimate("raw_dr", -0.07, -0.09, -0.05, 0.9, 5000, 1200, "betting"),
    ),
)


def _card(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "version": "policy-7",
        "provenance": Provenance.PRIVATE_RELEASE,
        "releases": (NOTE,),
        "lineage": {"dataset": "d1", "code": "c1"},
        "dataset": MANIFEST,
        "evaluation": EVALUATION,
        "comparison": COMPARISON,
        "verdict": VERDICT,
    }
    return model_card(SPEC, **(arguments | changes))


def test_operators_read_everything() -> None:
    card = _card()
    for piece in (
        "# Policy policy-7 of loop companion",
        "private releases alone",
        "| emotion | 128 x vector | health |",
        "| age_group | 4 choices |",
        "stepped in, in a calm tone",
        "12,345 episodes and 23,456 signals of 28 days",
        "17 episodes of people who opted out",
        "epsilon = 1 at delta = 1e-05",
        "| user_model | new | 0.0396 | 0.31 | 297 |",
        "| difference | 0.03 [0.01, 0.05] | 90% | 5,000 | 1,200 | betting |",
        "| baseline | 0.3 | 95% |",
        "lin_ts is not shown to be better than ppo.",
        "| lin_ts | 0.03 [0.01, 0.05] | chosen |",
        "| ppo | 0.03 [0.01, 0.05] | 0.02 [-0.01, 0.04] |",
        "| raw_dr, report only | 0.03 [0.01, 0.05] | -0.07 [-0.09, -0.05] |",
        "| age_group | under_25 | 300 | not measured |",
        "- One thing is wrong.",
        "## Verdict: hold",
        "| fairness | not enough evidence | Too few \\| people. |",
        "| budget | failed | Spent. |",
        "- Fairness is checked for: age_group.",
        "| code | `c1` |",
    ):
        assert piece in card, piece


def test_the_public_card_holds_nothing_from_the_raw_log() -> None:
    card = _card(audience="public")
    for secret in (
        "12,345",
        "23,456",
        "0.33",
        "5,000",
        "1,200",
        "9,876",
        "9876",
        "Verdict",
        "better than ppo",
        "raw_dr",
    ):
        assert secret not in card, secret
    for piece in ("epsilon = 1", "0.0396", "stay inside the trust boundary", "for everyone"):
        assert piece in card, piece


def test_the_public_card_shows_no_figure_that_nobody_paid_for() -> None:
    """What a release says of itself to operators may count people; figures inside are never shown."""
    reused = replace(
        NOTE, released=False, reused="37 people have episodes to learn from, fewer than 100."
    )
    inside = replace(NOTE, stage="quality", people=4711, metrics={"acceptance_auc": 0.8181})
    published = (
        Estimate("acceptance_accuracy", 0.7434, 0.71, 0.77, 0.95, 0, 0, "mean over nights"),
    )
    arguments: dict[str, Any] = {"releases": (reused, inside), "published": published}
    card = _card(audience="public", **arguments)
    for secret in ("37 people", "4711", "4,711", "0.8181", "0.31", "d1"):
        assert secret not in card, secret
    assert "| acceptance accuracy | 0.7434 [0.71, 0.77] | mean over nights |" in card
    assert "people whom nothing was learned from" in card
    operators = _card(**arguments)
    assert "37 people" in operators
    assert "| acceptance accuracy | 0.7434 [0.71, 0.77] | mean over nights |" in operators
    assert "Quality of the simulated people" not in _card(audience="public")


def test_a_card_says_what_is_missing() -> None:
    gone: dict[str, Any] = {"dataset": None, "evaluation": None, "comparison": None}
    card = _card(verdict=None, releases=(), lineage={}, **gone)
    for piece in (
        "was not evaluated on logged decisions",
        "The gate was not asked.",
        "No private release was made",
    ):
        assert piece in card, piece
    assert "## Lineage" not in card
    assert "## Learners compared" not in card


@pytest.mark.parametrize(
    ("learner", "says"),
    [
        ("ppo", "trained by proximal policy optimisation in a simulation"),
        ("greedy", "best single decision"),
        ("lin_ts", "linear bandit with Thompson sampling, learned in a simulation"),
        ("own", "learned by own in a simulation"),
    ],
)
def test_a_card_says_how_its_policy_was_learned(learner: str, says: str) -> None:
    for audience in ("operators", "public"):
        assert says in _card(lineage={"learner": learner}, audience=audience)


def test_a_raw_log_policy_says_that_it_must_not_be_deployed() -> None:
    assert "must not be deployed" in _card(provenance=Provenance.RAW_LOG)


def test_rows_without_people_and_no_groups_say_so() -> None:
    spec = load("open_bandit")
    arguments: dict[str, Any] = {"releases": (), "lineage": {}, "provenance": Provenance.RAW_LOG}
    card = model_card(spec, version="v", **arguments)
    assert "each row is a person of its own" in card
    assert "CC BY 4.0" in card
    silent = spec.model_copy(update={"source": "", "protected": ()})
    card = model_card(silent, version="v", **arguments)
    assert "The source is not stated." in card
    assert "checked for: none" in card


@pytest.mark.parametrize("audience", ["operators", "public"])
def test_every_table_is_rectangular(audience: Any) -> None:
    width = 0
    for line in _card(audience=audience).splitlines():
        columns = line.replace("\\|", "").count("|") if line.startswith("|") else 0
        assert not (width and columns and columns != width), line
        width = columns


def test_everyone_learns_nothing_of_what_the_raw_log_taught() -> None:
    lineage = {
        "version": "walk-1",
        "compared": "walk-1 walk-rawdr",
        "evaluation": "e7",
        "dataset": "d9",
    }
    card = _card(audience="public", lineage=lineage)
    assert "walk-1" in card
    for secret in ("walk-rawdr", "compared", "e7", "d9"):
        assert secret not in card
    assert "walk-rawdr" in _card(audience="operators", lineage=lineage)
