"""From questions to decisions: who decides, who steps in, and with what probability.

A person on trial is the candidate's, everyone else the active model's. A model that fails or is left
alone by its breaker is stood in for: the candidate by the active model, the active model by the last
good one, that one by doing nothing. The arm on record is the one that really decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

from everloop.contracts.datasets import Float
from everloop.contracts.episodes import Arm
from everloop.contracts.models import States
from everloop.contracts.serving import Decision
from everloop.rollout.assignment import in_trial
from everloop.serving.decisions.exploration import draw
from everloop.serving.decisions.models import ServedModel, brief
from everloop.serving.decisions.question import Question
from everloop.serving.decisions.randomness import Uniform
from everloop.serving.decisions.safe import cold_start, standstill
from everloop.serving.decisions.serving import Serving
from everloop.serving.decisions.slates import SlateMaker
from everloop.serving.decisions.stats import DecisionStats

Warn = Callable[[str], None]


class Fallback(StrEnum):
    """Why no assigned model decided: what ``Decision.fallback`` begins with."""

    NONE = ""
    COLD_START = "cold_start"
    """No model is deployed; exploration around doing nothing decided."""
    CANDIDATE_FAILED = "candidate_failed"
    """The active policy decided for a person on trial."""
    ACTIVE_FAILED = "active_failed"
    """The last good model decided."""
    STANDSTILL = "standstill"
    """No model could decide; nothing is done."""


class Batch:
    """n questions of one loop and tenant on their way to n decisions.

    Args:
        serving: what serves.
        questions, states: the same n rows, as asked and as encoded.
        uniform: draws the actions.
        stats: counts openings of breakers.
        warn: told of every failure of a model.
    """

    def __init__(
        self,
        serving: Serving,
        questions: Sequence[Question],
        states: States,
        uniform: Uniform,
        stats: DecisionStats,
        warn: Warn,
    ) -> None:
        self._serving = serving
        self._questions = questions
        self._states = states
        self._uniform = uniform
        self._stats = stats
        self._warn = warn
        self._decided: list[Decision | None] = [None] * len(questions)
        self._reasons: list[tuple[str, ...]] = [()] * len(questions)

    def decide(self, now: datetime) -> list[Decision]:
        """One decision per question, in order, with one runtime call per model.

        Raises:
            ShouldRetryLater: no model decides, and only safety-critical actions are valid.
        """
        serving = self._serving
        rollout = serving.rollout
        if rollout is not None:
            trial = [
                row
                for row, question in enumerate(self._questions)
                if in_trial(question.user_id, rollout)
            ]
            self._by(serving.candidate, serving.candidate_problem, Arm.CANDIDATE, trial, now)
        if serving.deployed.active is not None:
            self._by(serving.active, serving.active_problem, Arm.ACTIVE, self._open(), now)
            self._by(serving.standby, "", Arm.ACTIVE, self._open(), now)
        for row in self._open():
            self._safely(row, now)
        return [decision for decision in self._decided if decision is not None]

    def _open(self) -> list[int]:
        return [row for row, decision in enumerate(self._decided) if decision is None]

    def _by(
        self,
        model: ServedModel | None,
        problem: str,
        arm: Arm,
        rows: list[int],
        now: datetime,
    ) -> None:
        """Let a model decide these rows; where it can't, note why."""
        if not rows:
            return
        if model is None:
            self._note(rows, problem)
            return
        if not model.breaker.admits():
            self._note(rows, f"{model.version} keeps failing and is left alone")
            return
        whole = len(rows) == len(self._questions)
        states = (
            self._states if whole else States(self._states.context[rows], self._states.mask[rows])
        )
        try:
            found = model.propensities(states, self._serving.epsilon)
        except Exception as failure:  # whatever a runtime raises, somebody waits for an answer
            if model.breaker.failed():
                self._stats.breaker_opened(self._serving.catalogue.spec.name, model.version)
            self._note(rows, f"{model.version} failed: {brief(failure)}")
            self._warn(f"Model {model.version} failed: {brief(failure)}")
            return
        model.breaker.succeeded()
        catalogue = self._serving.catalogue
        for place, row in enumerate(rows):
            fallback = Fallback.NONE
            if model is self._serving.standby:
                fallback = Fallback.ACTIVE_FAILED
            elif self._reasons[row]:
                fallback = Fallback.CANDIDATE_FAILED
            self._draw(
                row,
                found[place],
                valid=catalogue.ids(states.mask[place]),
                version=model.version,
                arm=arm,
                epsilon=self._serving.epsilon,
                fallback=fallback,
                now=now,
            )

    def _safely(self, row: int, now: datetime) -> None:
        catalogue, mask = self._serving.catalogue, self._states.mask[row]
        if self._serving.unread:
            self._note([row], self._serving.problem)
        if self._serving.deployed.active is not None or self._serving.unread:
            choice, fallback = standstill(catalogue, mask), Fallback.STANDSTILL
        elif self._reasons[row]:
            choice, fallback = cold_start(catalogue, mask), Fallback.CANDIDATE_FAILED
        else:
            choice, fallback = cold_start(catalogue, mask), Fallback.COLD_START
            self._note([row], "no model is deployed")
        self._draw(
            row,
            choice.propensity,
            valid=catalogue.ids(choice.mask),
            version=choice.version,
            arm=Arm.ACTIVE,
            epsilon=choice.epsilon,
            fallback=fallback,
            now=now,
        )

    def _draw(
        self,
        row: int,
        propensity: Float,
        *,
        valid: tuple[str, ...],
        version: str,
        arm: Arm,
        epsilon: float,
        fallback: Fallback,
        now: datetime,
    ) -> None:
        question, spec = self._questions[row], self._serving.catalogue.spec
        shares: list[float] = propensity.tolist()
        index = draw(shares, self._uniform.random())
        arguments = question.action_arguments
        if question.candidates is not None:
            suggested = self._slates(arm).arguments(
                spec.actions[index], question.candidates, self._states.context[row], epsilon
            )
            arguments = {**arguments, **suggested}
        reasons = "; ".join(self._reasons[row])
        self._decided[row] = Decision(
            decision_id=question.decision_id,
            user_id=question.user_id,
            loop=spec.name,
            context_snapshot=question.context,
            action_taken=spec.action_ids[index],
            propensity=min(1.0, shares[index]),
            valid_actions=valid,
            timestamp=now,
            model_version=version,
            arm=arm,
            epsilon=epsilon,
            request_sha256=question.request_sha256,
            action_arguments=arguments,
            fallback=f"{fallback}: {reasons}" if fallback else "",
            tenant=self._serving.tenant,
        )

    def _slates(self, arm: Arm) -> SlateMaker:
        serving, stats = self._serving, self._stats
        spec = serving.catalogue.spec
        return SlateMaker(
            *serving.pairing_for(arm),
            1.0 if spec.candidates is None else spec.candidates.sharpness,
            self._uniform,
            lambda version: stats.breaker_opened(spec.name, version),
            self._warn,
        )

    def _note(self, rows: Sequence[int], reason: str) -> None:
        if reason:
            for row in rows:
                self._reasons[row] = (*self._reasons[row], reason)
