"""What the evidence says of a candidate on trial: a pure function of what is known.

Rules, in the order in which they are asked:

1. *Rollback*: a failed shadow check or hard limit, the primary's upper bound below 0, a guardrail that is
   harmed. Where another model became active meanwhile the trial ends: its comparison lost its control.
2. *Promote*: the primary's lower bound above 0, every guardrail above its margin, every health check
   passed, groups certified, enough people, enough traffic, the dwell time over, no drift, arms as assigned,
   and a person's approval where the loop asks for it.
3. *End*: ``max_days`` are over, unless a winner waits for a person alone.
4. *Hold*: paused, arms other than assigned, drift, groups harmed, or, once the dwell time is over, too
   little data.
5. *Continue*: go on. The traffic rises only where nothing is missing; what only more traffic can give
   (decided intervals, people, decisions counted) is asked for promotion alone.

A parity alert holds and does not roll back: it is a fixed-time test that is asked again at every look, so
a rule that cannot be undone would fire in far more trials than its level says. Groups that are too small
to tell wait for a person before everybody meets the candidate, as the gate does before anybody does. A look
without ``ExperimentFigures`` (the service takes one every few seconds) asks the shadow's checks and the
hard limits alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Decision
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import (
    ExperimentFigures,
    Noticed,
    RolloutRecord,
    RolloutState,
    Stay,
    TrialVerdict,
)
from everloop.rollout.trial_checks import (
    ACTIVE_UNCHANGED,
    APPROVAL,
    DURATION,
    DWELL,
    FAIRNESS,
    GUARDRAIL,
    NO_MODEL,
    NO_VOICE,
    PAUSED,
    PEOPLE,
    PRIMARY,
    RAMP,
    TRAFFIC,
    TrialEvidence,
    trial_checks,
)

_FOR_A_PERSON = frozenset({APPROVAL, FAIRNESS})
_FOR_PROMOTION_ALONE = frozenset({TRAFFIC, PEOPLE, APPROVAL, PRIMARY, GUARDRAIL, FAIRNESS})
"""A step up does not wait for these where they only lack data: what they need is more traffic."""


def decide_trial(spec: LoopSpec, record: RolloutRecord, evidence: TrialEvidence) -> TrialVerdict:
    """The verdict on a live trial, with every check that was asked.

    Raises:
        ShouldFixArgument: the trial is not live, or the figures are of another one.
    """
    if not record.live:
        raise ShouldFixArgument(
            f"Rollout {record.rollout_id} is {record.state}: there is no trial to judge.",
            "Name one in shadow, started or paused.",
        )
    figures = evidence.experiment
    if figures is not None and figures.rollout_id != record.rollout_id:
        raise ShouldFixArgument(
            f"Figures of {figures.rollout_id} were given for rollout {record.rollout_id}.",
            "Measure the trial that is judged.",
        )
    checks = trial_checks(spec, record, evidence)
    alerts = (*_without_a_model(record), *_alerts(spec, figures))
    answer = _answer(spec, record, evidence, checks)
    decided = set(answer.by)
    reasons = answer.reasons or tuple(c.reason for c in checks if c.name in decided)
    return TrialVerdict(
        rollout_id=record.rollout_id,
        deployment_id=record.deployment_id,
        decision=answer.decision,
        reasons=reasons,
        checks=checks,
        at=evidence.now.astimezone(UTC),
        decided_by=answer.by,
        awaits_person=answer.awaits_person,
        experiment=figures,
        alerts=alerts,
    )


def next_state(
    spec: LoopSpec, record: RolloutRecord, verdict: TrialVerdict
) -> RolloutRecord | None:
    """What a verdict makes of a trial; None where it stays as it is.

    The traffic is raised by a ``continue`` that names the ramp, by one of its steps, and by nothing else.
    """
    if not record.live:
        return None
    if verdict.decision is Decision.PROMOTE:
        return moved(record, "promoted", 0.0, verdict.at, verdict.reasons)
    if verdict.decision is Decision.ROLLBACK:
        ends = set(verdict.decided_by) <= {DURATION, ACTIVE_UNCHANGED}
        return moved(record, "ended" if ends else "rolled_back", 0.0, verdict.at, verdict.reasons)
    if verdict.decision is not Decision.CONTINUE or verdict.decided_by != (RAMP,):
        return None
    step = _next_step(spec, record)
    return moved(record, "started", spec.rollout.ramp[step], verdict.at, verdict.reasons, step=step)


def moved(
    record: RolloutRecord,
    state: RolloutState,
    traffic_percent: float,
    at: datetime,
    reasons: tuple[str, ...],
    step: int | None = None,
) -> RolloutRecord:
    """A record's next state: a stay more, and the newest reasons alone."""
    return replace(
        record,
        state=state,
        traffic_percent=float(traffic_percent),
        reasons=reasons,
        step=record.step if step is None else step,
        history=(*record.history, Stay(state, float(traffic_percent), at)),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    decision: Decision
    by: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    awaits_person: bool = False


def _answer(
    spec: LoopSpec, record: RolloutRecord, evidence: TrialEvidence, checks: tuple[Check, ...]
) -> _Answer:
    found = _Found(spec, record, evidence, checks)
    return next(answer for rule in _RULES if (answer := rule(found)) is not None)


class _Found:
    """The answers to the questions, sorted for the rules."""

    def __init__(
        self,
        spec: LoopSpec,
        record: RolloutRecord,
        evidence: TrialEvidence,
        checks: tuple[Check, ...],
    ) -> None:
        self.spec, self.record, self.evidence, self.checks = spec, record, evidence, checks
        self.failed = tuple(c.name for c in checks if c.status is CheckStatus.FAILED)
        # a winner is not dropped because its last figures, or a person's answer, came late
        self.open = tuple(c.name for c in checks if not c.passed and c.name != DURATION)
        self.missing = _missing(checks, () if record.state == "shadow" else evidence.hard)
        self.judged = record.state == "started" and evidence.experiment is not None
        self.needs_a_person = (
            self.judged
            and bool(self.open)
            and set(self.open) <= _FOR_A_PERSON
            and not set(self.open) & set(self.failed)
        )


def _harm(found: _Found) -> _Answer | None:
    health = {c.name for c in (*found.evidence.shadow, *found.evidence.hard)}
    harmful = tuple(
        name for name in found.failed if name in health or _kind(name) in (PRIMARY, GUARDRAIL)
    )
    return _Answer(Decision.ROLLBACK, harmful) if harmful else None


def _lost_control(found: _Found) -> _Answer | None:
    lost = ACTIVE_UNCHANGED in found.failed
    return _Answer(Decision.ROLLBACK, (ACTIVE_UNCHANGED,)) if lost else None


def _winner(found: _Found) -> _Answer | None:
    if not found.judged or found.open:
        return None
    return _Answer(Decision.PROMOTE, tuple(c.name for c in found.checks if _decides(c.name)))


def _too_long(found: _Found) -> _Answer | None:
    over = DURATION in found.failed and not found.needs_a_person
    return _Answer(Decision.ROLLBACK, (DURATION,)) if over else None


def _paused(found: _Found) -> _Answer | None:
    if found.record.state != "paused":
        return None
    why = found.record.reasons[0] if found.record.reasons else "no reason was given."
    told = f"Paused at {found.record.traffic_percent:g} % of people: {why}"
    return _Answer(Decision.HOLD, (PAUSED,), (told,))


def _for_a_person(found: _Found) -> _Answer | None:
    return _Answer(Decision.HOLD, found.open, awaits_person=True) if found.needs_a_person else None


def _strange(found: _Found) -> _Answer | None:
    strange = tuple(name for name in found.failed if name != DURATION)
    return _Answer(Decision.HOLD, strange) if strange else None


def _too_little(found: _Found) -> _Answer | None:
    lacks = found.judged and found.missing and DWELL not in found.open
    return _Answer(Decision.HOLD, found.missing) if lacks else None


def _step_up(found: _Found) -> _Answer | None:
    ramp, step = found.spec.rollout.ramp, _next_step(found.spec, found.record)
    known = found.record.state == "shadow" or found.judged
    if found.missing or not known or step >= len(ramp):
        return None
    now = found.record.traffic_percent
    told = f"Nothing speaks against it at {now:g} % of people: up to {ramp[step]:g} %."
    return _Answer(Decision.CONTINUE, (RAMP,), (told,))


def _go_on(found: _Found) -> _Answer | None:
    waits = found.missing or found.open
    reasons = tuple(c.reason for c in found.checks if c.name in waits)
    return _Answer(Decision.CONTINUE, waits, reasons)


_RULES: tuple[Callable[[_Found], _Answer | None], ...] = (
    _harm,
    _lost_control,
    _winner,
    _too_long,
    _paused,
    _for_a_person,
    _strange,
    _too_little,
    _step_up,
    _go_on,
)
"""In the order in which they are asked; the first that answers decides."""


def _missing(checks: tuple[Check, ...], hard: tuple[Check, ...]) -> tuple[str, ...]:
    """What a step up waits for.

    Too few decisions to test a hard limit need more traffic too, but not where the few are above it, nor
    where the candidate was not asked at all.
    """
    few = {c.name for c in hard if not _above(c)} if any(c.passed for c in hard) else set[str]()
    return tuple(
        c.name
        for c in checks
        if not c.passed
        and not (
            c.status is CheckStatus.INSUFFICIENT
            and (_kind(c.name) in _FOR_PROMOTION_ALONE or c.name in few)
        )
    )


def _above(check: Check) -> bool:
    return check.value is not None and check.threshold is not None and check.value > check.threshold


def _kind(name: str) -> str:
    return name.partition(":")[0]


def _decides(name: str) -> bool:
    return _kind(name) in (PRIMARY, GUARDRAIL, APPROVAL)


def _next_step(spec: LoopSpec, record: RolloutRecord) -> int:
    """By the traffic, not by the step's number: a ramp that was changed under a trial lowers nothing."""
    ramp = spec.rollout.ramp
    higher = (step for step, percent in enumerate(ramp) if percent > record.traffic_percent)
    return next(higher, len(ramp))


def _without_a_model(record: RolloutRecord) -> tuple[str, ...]:
    if record.active is not None:
        return ()
    return (NO_VOICE if record.is_of_voice else NO_MODEL,)


def _alerts(spec: LoopSpec, figures: ExperimentFigures | None) -> tuple[str, ...]:
    """What is told and changes nothing: point estimates are noise for long."""
    if figures is None:
        return ()
    told = []
    if figures.relative <= -spec.rollout.alert_loss:
        told.append(
            f"The point estimate is {figures.relative:+.1%} of the control's value; its interval "
            "decides."
        )
    if figures.flagged is not None and figures.flagged.people.mismatch:
        told.append(
            f"{_lopsided(figures.flagged, 'found strange')} They count; see what the candidate does."
        )
    if figures.rejected is not None and figures.rejected.people.mismatch:
        told.append(
            f"{_lopsided(figures.rejected, 'rejected by a person')} The comparison does without "
            "them, so it may flatter the arm that lost more: look at them again."
        )
    return tuple(told)


def _lopsided(found: Noticed, what: str) -> str:
    return (
        f"{found.share('candidate'):.1%} of the candidate's decisions and "
        f"{found.share('control'):.1%} of the control's were {what}: more of those people are in one "
        "arm than chance explains."
    )
