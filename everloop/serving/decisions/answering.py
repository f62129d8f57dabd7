"""From questions to decisions: who decides, who steps in, and with what probability.

A person on trial is the candidate's, everyone else the active model's. A model that fails or is left
alone by its breaker is stood in for: the candidate by the active model, the active model by the last
good one, that one by doing nothing. The arm on record is the one that really decided; whom a trial holds
out is its holdout's, whichever model stands in.

While the loop's safety breaker is open no safety-critical action is taken, whoever decides: those actions
leave every mask, and a question that named one of them gets ``no_action`` from nobody's model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.episodes import Arm
from everloop.contracts.models import States
from everloop.contracts.rollouts import RolloutRecord
from everloop.contracts.serving import Decision
from everloop.rollout.assignment import arm_of, traffic_of
from everloop.serving.decisions.exploration import draw
from everloop.serving.decisions.models import ServedModel, brief
from everloop.serving.decisions.question import Question
from everloop.serving.decisions.randomness import Uniform
from everloop.serving.decisions.safe import SafeChoice, cold_start, harmless, standstill
from everloop.serving.decisions.serving import Serving
from everloop.serving.decisions.slates import SlateMaker
from everloop.serving.decisions.stats import DecisionStats
from everloop.serving.decisions.watching import TrialWatch

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
    BREAKER_OPEN = "breaker_open"
    """A safety-critical action was asked for while the safety breaker is open; nothing is done."""


class Batch:
    """n questions of one loop and tenant on their way to n decisions.

    Args:
        serving: what serves.
        questions, states: the same n rows, as asked and as encoded.
        uniform: draws the actions.
        stats: counts openings of breakers.
        watch: notes what candidates and safety-critical actions do.
        warn: told of every failure of a model.
    """

    def __init__(
        self,
        serving: Serving,
        questions: Sequence[Question],
        states: States,
        uniform: Uniform,
        stats: DecisionStats,
        watch: TrialWatch,
        warn: Warn,
    ) -> None:
        self._serving = serving
        self._questions = questions
        self._states = states
        self._uniform = uniform
        self._stats = stats
        self._watch = watch
        self._warn = warn
        self._decided: list[Decision | None] = [None] * len(questions)
        self._reasons: list[tuple[str, ...]] = [()] * len(questions)
        self._arms = [Arm.ACTIVE] * len(questions)
        self._likely = np.full(len(questions), -1, dtype=np.int64)

    def decide(self, now: datetime) -> list[Decision]:
        """One decision per question, in order, with one runtime call per model.

        Raises:
            ShouldRetryLater: no model decides, or the safety breaker is open, and only safety-critical
                actions are valid.
        """
        serving, trial = self._serving, self._serving.rollout
        if trial is not None:
            percent = traffic_of(trial)
            self._arms = [arm_of(asked.user_id, trial, percent) for asked in self._questions]
        if serving.safety.open:
            self._without_critical(now)
        judged = self._open()
        decides = trial is not None and not trial.is_of_voice
        if trial is not None and decides:
            met = [row for row in judged if self._arms[row] is Arm.CANDIDATE]
            self._by(serving.candidate, serving.candidate_problem, met, now, trial)
        if serving.deployed.active is not None:
            self._by(serving.active, serving.active_problem, self._open(), now)
            self._by(serving.standby, "", self._open(), now)
        for row in self._open():
            self._safely(row, now)
        if trial is not None and decides and judged:
            self._note_trial(trial, judged)
        return [decision for decision in self._decided if decision is not None]

    def _without_critical(self, now: datetime) -> None:
        catalogue, states = self._serving.catalogue, self._states
        mask = states.mask.copy()
        for row in np.flatnonzero((mask & catalogue.critical).any(axis=1)).tolist():
            mask[row] = harmless(catalogue, mask[row], breaker_open=True)
            if self._questions[row].valid_actions is not None:
                self._note([row], f"the safety breaker is open ({self._serving.safety.reason})")
                choice = standstill(catalogue, mask[row])
                self._settle(row, choice, Fallback.BREAKER_OPEN, now)
        self._states = States(states.context, mask)

    def _note_trial(self, trial: RolloutRecord, rows: list[int]) -> None:
        likely = self._likely[rows]
        if trial.state == "shadow":
            self._watch.unseen(self._serving, trial, self._of(rows), likely)
        elif (likely >= 0).any():
            self._watch.meanwhile(self._serving, trial, likely[likely >= 0])

    def _open(self) -> list[int]:
        return [row for row, decision in enumerate(self._decided) if decision is None]

    def _by(
        self,
        model: ServedModel | None,
        problem: str,
        rows: list[int],
        now: datetime,
        trial: RolloutRecord | None = None,
    ) -> None:
        """Let a model decide these rows; where it can't, note why. ``trial``: the one it is on."""
        if not rows:
            return
        if model is None or not model.breaker.admits():
            left = model and f"{model.version} keeps failing and is left alone"
            self._note(rows, left or problem)
            if trial is not None:
                self._watch.missed(self._serving, trial, len(rows))
            return
        states, began = self._of(rows), time.perf_counter()
        try:
            found = model.propensities(states, self._serving.epsilon)
        except Exception as failure:  # whatever a runtime raises, somebody waits for an answer
            if model.breaker.failed():
                self._stats.breaker_opened(self._serving.catalogue.spec.name, model.version)
            self._note(rows, f"{model.version} failed: {brief(failure)}")
            self._warn(f"Model {model.version} failed: {brief(failure)}")
            if trial is not None:
                self._watch.failed(self._serving, trial, states, failure)
            return
        model.breaker.succeeded()
        if trial is not None:
            self._watch.met(self._serving, trial, found, time.perf_counter() - began)
        elif self._serving.rollout is not None:
            self._likely[rows] = found.argmax(axis=1)
        self._drawn(model, rows, found, states, now, trial)

    def _of(self, rows: list[int]) -> States:
        if len(rows) == len(self._questions):
            return self._states
        return States(self._states.context[rows], self._states.mask[rows])

    def _drawn(
        self,
        model: ServedModel,
        rows: list[int],
        found: Float,
        states: States,
        now: datetime,
        trial: RolloutRecord | None,
    ) -> None:
        catalogue, taken = self._serving.catalogue, []
        for place, row in enumerate(rows):
            fallback = Fallback.NONE
            if model is self._serving.standby:
                fallback = Fallback.ACTIVE_FAILED
            elif self._reasons[row]:
                fallback = Fallback.CANDIDATE_FAILED
            index = self._draw(
                row,
                found[place],
                valid=catalogue.ids(states.mask[place]),
                version=model.version,
                arm=self._arm(row) if trial is None else Arm.CANDIDATE,
                epsilon=self._serving.epsilon,
                fallback=fallback,
                now=now,
            )
            taken.append(index)
        if model is self._serving.active and catalogue.any_critical:
            free = (states.mask & ~catalogue.critical).any(axis=1)
            critical = int((catalogue.critical[taken] & free).sum())
            place_of = (self._serving.tenant, catalogue.spec.name)
            self._watch.took(*place_of, critical, int(free.sum()))

    def _arm(self, row: int) -> Arm:
        """Of a decision that no candidate made: while a voice is tried everybody's are, and its people are
        the candidate's all the same."""
        if self._serving.rollout is not None and self._serving.rollout.is_of_voice:
            return self._arms[row]
        return Arm.HOLDOUT if self._arms[row] is Arm.HOLDOUT else Arm.ACTIVE

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
        if fallback is not Fallback.STANDSTILL:
            # what explores is what serves, and a candidate is compared with it
            self._likely[row] = choice.propensity.argmax()
        self._settle(row, choice, fallback, now)

    def _settle(self, row: int, choice: SafeChoice, fallback: Fallback, now: datetime) -> None:
        self._draw(
            row,
            choice.propensity,
            valid=self._serving.catalogue.ids(choice.mask),
            version=choice.version,
            arm=self._arm(row),
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
    ) -> int:
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
        return index

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
