from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import (
    Check,
    CheckStatus,
    Decision,
    ValidationReport,
    Verdict,
)
from everloop.contracts.models import StageRecord
from everloop.contracts.rollouts import RolloutRecord
from everloop.reporting import RunEvidence, logged_action_share
from everloop.reporting.headline import headline


def test_a_whole_run_has_no_ending(full: RunEvidence) -> None:
    assert full.ending is None
    assert full.missing("verdict") == "This run recorded no verdict."


def test_a_failed_validation_ends_a_run(ended: RunEvidence) -> None:
    ending = ended.ending
    assert ending is not None
    assert ending.sentence == (
        "This run ended at validation: rows present 0, expected at least 200."
    )
    assert ended.missing("verdict") == f"Not reached. {ending.sentence}"


def test_a_validation_without_checks_ends_a_run(ended: RunEvidence) -> None:
    ending = replace(ended, validation=ValidationReport("d", ())).ending
    assert ending is not None
    assert ending.reason == "no check was made"


def test_a_failed_stage_ends_a_run(full: RunEvidence) -> None:
    failed = StageRecord("train_policy", "failed", 3.0, "weights became NaN")
    ending = replace(full, stages=(full.stages[0], failed)).ending
    assert ending is not None
    assert ending.sentence == "This run ended at policy training: weights became NaN."


def test_what_the_caller_says_comes_first(ended: RunEvidence) -> None:
    told = replace(ended, ended_at="fit_user_model", ended_because="the budget is spent")
    assert told.ending is not None
    assert told.ending.sentence == "This run ended at the user model: the budget is spent."
    with pytest.raises(ShouldFixArgument, match="without a reason"):
        replace(ended, ended_at="fit_user_model")


def test_stages_that_were_not_reached_are_listed(ended: RunEvidence) -> None:
    lines = ended.stage_lines
    assert [line.outcome for line in lines[:3]] == ["cached", "succeeded", "not reached"]
    assert len(lines) == 14
    assert lines[-1].stage == "start_rollout"


def test_the_budget_is_the_latest(full: RunEvidence) -> None:
    assert full.user_model is not None
    assert full.profiles is not None
    later = replace(full.profiles.budget, mu_squared_period=0.05)
    budget = replace(full, profiles=replace(full.profiles, budget=later)).budget
    assert budget is not None
    assert budget.mu_squared_period == 0.05
    assert replace(full, user_model=None, profiles=None).budget is None


def test_logged_shares_count_held_out_evaluation_episodes(full: RunEvidence) -> None:
    n, actions = 6, len(full.spec.actions)
    data = EncodedEpisodes(
        episode_id=np.array(list("abcdef")),
        person=np.arange(n),
        people=np.array(list("uvwxyz")),
        context=np.zeros((n, 1), np.float32),
        interacting=np.array([False]),
        action=np.array([0, 1, 1, 2, 3, 4]),
        mask=np.ones((n, actions), np.bool_),
        propensity=np.array([0.5, 0.5, 0.5, 0.5, np.nan, 0.5]),
        reward=np.array([0, 0, 0, 0, 0, np.nan], np.float64),
        signals=np.zeros((n, 3)),
        holdout=np.array([True, True, True, False, True, True]),
        comparison=np.zeros(n, np.bool_),
        timestamp=np.zeros(n),
        encoder="e",
    )
    shares = logged_action_share(full.spec, data)
    assert shares["no_action"] == pytest.approx(1 / 3)
    assert shares["pair-one"] == pytest.approx(2 / 3)
    assert sum(shares.values()) == pytest.approx(1)
    assert tuple(shares) == full.spec.action_ids
    assert logged_action_share(full.spec, data.where(np.zeros(n, np.bool_))) == {}


PASSED = Check("a", CheckStatus.PASSED, "a is fine.")
FAILED = Check("b", CheckStatus.FAILED, "b is bad.")
UNSURE = Check("c", CheckStatus.INSUFFICIENT, "c is not known.")


@pytest.mark.parametrize(
    ("verdict", "word", "sentence", "tone"),
    [
        (Verdict(Decision.CONTINUE, (PASSED,)), "Continue",
         "All 1 check passed: the candidate may go on trial.", "good"),
        (Verdict(Decision.PROMOTE, (PASSED,)), "Promote",
         "1 check made: the candidate becomes the active model.", "good"),
        (Verdict(Decision.ROLLBACK, (FAILED, PASSED)), "Roll back",
         "1 of 2 checks failed: the active model returns.", "bad"),
        (Verdict(Decision.HOLD, (FAILED, UNSURE, PASSED)), "Hold",
         "1 of 3 checks failed, 1 had not enough evidence: nothing changes in serving.", "bad"),
        (Verdict(Decision.HOLD, (FAILED, PASSED)), "Hold",
         "1 of 2 checks failed: nothing changes in serving.", "bad"),
        (Verdict(Decision.HOLD, (UNSURE, PASSED)), "Hold: not enough evidence",
         "1 of 2 checks had not enough evidence: nothing changes in serving.", "wait"),
        (Verdict(Decision.HOLD, ()), "Hold", "Nothing changes in serving.", "wait"),
    ],
)  # fmt: skip
def test_headlines(
    full: RunEvidence, verdict: Verdict, word: str, sentence: str, tone: str
) -> None:
    head = headline(replace(full, verdict=verdict))
    assert (head.word, head.sentence, head.tone) == (word, sentence, tone)
    assert head.reasons == verdict.reasons


def test_headlines_without_a_verdict(full: RunEvidence, ended: RunEvidence) -> None:
    head = headline(ended)
    assert (head.word, head.sentence, head.tone) == (
        "No verdict", "The run ended at validation.", "bad",
    )  # fmt: skip
    assert head.reasons == ("rows present 0, expected at least 200.",)
    assert headline(replace(full, verdict=None)).sentence == "The gate was not asked in this run."


def test_a_held_run_that_ended_early_says_both(ended: RunEvidence) -> None:
    head = headline(replace(ended, verdict=Verdict(Decision.HOLD, (FAILED,))))
    assert head.reasons == (
        "This run ended at validation: rows present 0, expected at least 200.", "b is bad.",
    )  # fmt: skip


def test_rollouts_in_words(full: RunEvidence) -> None:
    started = full.rollout
    assert started is not None

    def words(record: RolloutRecord | None) -> str:
        return headline(replace(full, rollout=record)).rollout

    assert words(started) == (
        "The rollout has started: 3c9d6a7e gets 1 % of traffic, against the logging policy."
    )
    assert words(replace(started, active="m-1")).endswith("against m-1.")
    waiting = replace(started, state="waiting", reasons=("m-9 is on trial",))
    assert words(waiting) == "The rollout waits: m-9 is on trial."
    refused = replace(started, state="refused", reasons=("a", "b"))
    assert words(refused) == "No rollout was started: a; b."
    assert full.verdict is not None
    assert words(replace(refused, reasons=full.verdict.reasons)) == "No rollout was started."
    assert words(None) == "No rollout was asked for."
