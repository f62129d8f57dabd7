"""The verdict as one plain sentence, with its reasons and what happens next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from everloop.contracts.evaluation import CheckStatus, Decision, Verdict
from everloop.contracts.rollouts import RolloutRecord
from everloop.reporting.evidence import STAGES, RunEvidence
from everloop.reporting.wording import number, plural, sentence

Tone = Literal["good", "wait", "bad"]


@dataclass(frozen=True, slots=True)
class Headline:
    """``word`` and ``sentence`` say the verdict; ``tone`` colours it and is never alone."""

    word: str
    sentence: str
    tone: Tone
    reasons: tuple[str, ...]
    rollout: str


def headline(evidence: RunEvidence) -> Headline:
    """What a reader who stops after two lines should know."""
    verdict, ending = evidence.verdict, evidence.ending
    rollout = rollout_sentence(evidence.rollout, verdict.reasons if verdict else ())
    if verdict is None:
        if ending is None:
            return Headline(
                "No verdict", "The gate was not asked in this run.", "wait", (), rollout
            )
        stage = STAGES.get(ending.stage, ending.stage)
        return Headline(
            "No verdict", f"The run ended at {stage}.", "bad", (sentence(ending.reason),), rollout
        )
    reasons = verdict.reasons
    if ending is not None:
        reasons = (ending.sentence, *reasons)
    word, answer, tone = _decision(verdict)
    return Headline(word, answer, tone, reasons, rollout)


def _decision(verdict: Verdict) -> tuple[str, str, Tone]:
    statuses = [check.status for check in verdict.checks]
    failed = statuses.count(CheckStatus.FAILED)
    insufficient = statuses.count(CheckStatus.INSUFFICIENT)
    total = plural(len(statuses), "check")
    if verdict.decision is Decision.CONTINUE:
        return "Continue", f"All {total} passed: the candidate may go on trial.", "good"
    if verdict.decision is Decision.PROMOTE:
        return "Promote", f"{total} made: the candidate becomes the active model.", "good"
    if verdict.decision is Decision.ROLLBACK:
        return "Roll back", f"{failed} of {total} failed: the active model returns.", "bad"
    return _hold(verdict, failed, insufficient)


def _hold(verdict: Verdict, failed: int, insufficient: int) -> tuple[str, str, Tone]:
    total = plural(len(verdict.checks), "check")
    if failed:
        more = f", {insufficient} had not enough evidence" if insufficient else ""
        return "Hold", f"{failed} of {total} failed{more}: nothing changes in serving.", "bad"
    if verdict.awaits_person:
        answer = (
            f"{insufficient} of {total} must be decided by a person: until then nobody meets it."
        )
        return "Hold: waits for a person", answer, "wait"
    if insufficient:
        answer = f"{insufficient} of {total} had not enough evidence: nothing changes in serving."
        return "Hold: not enough evidence", answer, "wait"
    return "Hold", "Nothing changes in serving.", "wait"


_STANDS = {
    "waiting": "The rollout waits",
    "awaiting_approval": "The rollout waits for a person's approval",
    "paused": "The rollout is paused",
    "promoted": "The candidate was promoted",
    "rolled_back": "The candidate was rolled back",
    "ended": "The rollout has ended",
}


def rollout_sentence(rollout: RolloutRecord | None, told: Sequence[str] = ()) -> str:
    """Where the candidate's trial stands; reasons that were ``told`` already are not repeated."""
    if rollout is None:
        return "No rollout was asked for."
    if rollout.state == "started":
        against = rollout.active or "the logging policy"
        return (
            f"The rollout has started: {rollout.candidate} gets "
            f"{number(rollout.traffic_percent)} % of traffic, against {against}."
        )
    if rollout.state == "shadow":
        return (
            f"The rollout has begun in shadow: {rollout.candidate} decides unseen, and nobody meets it "
            "until its health is known."
        )
    says = _STANDS.get(rollout.state, "No rollout was started")
    why = "; ".join(reason for reason in rollout.reasons if reason not in told)
    return sentence(f"{says}: {why}" if why else says)
