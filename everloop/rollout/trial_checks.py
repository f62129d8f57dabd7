"""The questions to a trial's evidence, each with its answer in words.

A figure that is missing is an ``insufficient`` answer under a name of its own (``unmeasured:...``), not a
passed one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import (
    ExperimentFigures,
    MetricEffect,
    RolloutRecord,
    SampleRatio,
)

ACTIVE_UNCHANGED = "active_unchanged"
APPROVAL = "approval"
DRIFT = "drift"
DURATION = "duration"
DWELL = "dwell"
EXPERIMENT = "experiment"
FAIRNESS = "fairness"
GUARDRAIL = "guardrail"
PAUSED = "paused"
PEOPLE = "people"
PRIMARY = "primary"
RAMP = "ramp"
SAMPLE_RATIO = "sample_ratio"
TRAFFIC = "traffic"
UNMEASURED = "unmeasured"

NO_MODEL = (
    "Nothing served when the trial began: the control is cold-start exploration, so a winner is better "
    "than that and not than another model."
)

NO_VOICE = (
    "No voice served when the trial began: the control is whatever spoke without one, so a winner is "
    "better than that and not than another voice."
)

_PASSED, _FAILED, _INSUFFICIENT = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.INSUFFICIENT


@dataclass(frozen=True, slots=True)
class TrialEvidence:
    """What is known of a trial at a moment.

    Attributes:
        now: of the look, with a time zone.
        shadow: the shadow's checks, asked while the candidate is in it.
        hard: the hard limits, asked while people meet the candidate.
        experiment: what people's answers say; None for a look between two analyses.
        approved: a named person agreed to the promotion of what people met.
        active_unchanged: what serves is what served when the trial began.
    """

    now: datetime
    shadow: tuple[Check, ...] = ()
    hard: tuple[Check, ...] = ()
    experiment: ExperimentFigures | None = None
    approved: bool = False
    active_unchanged: bool = True

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ShouldFixArgument(
                f"now={self.now.isoformat()} has no time zone.", "Give it in UTC."
            )


def trial_checks(
    spec: LoopSpec, record: RolloutRecord, evidence: TrialEvidence
) -> tuple[Check, ...]:
    """Every question to a live trial: in shadow its health, later what people's answers say too."""
    common = (_same_active(record, evidence), _duration(spec, record, evidence))
    if record.state == "shadow":
        return (*(evidence.shadow or (_unasked("shadow"),)), *common)
    health = evidence.hard or (_unasked("hard_limits"),)
    figures = evidence.experiment
    if figures is None:
        return (*health, *common, _no_figures())
    return (
        *health,
        *common,
        _measured(figures),
        _dwell(spec, record, figures, evidence.now),
        _sample_ratio(figures),
        _drift(spec, figures),
        *_fairness(spec, figures, evidence),
        _people(spec, figures),
        _primary(figures),
        *_guardrails(spec, figures),
        _traffic(spec, record),
        *_approval(spec, evidence),
    )


def _unasked(name: str) -> Check:
    return Check(name, _INSUFFICIENT, "No worker has counted the candidate's decisions yet.")


def _no_figures() -> Check:
    return Check(
        EXPERIMENT,
        _INSUFFICIENT,
        "People's answers are judged by the next run of the watch graph.",
    )


def _same_active(record: RolloutRecord, evidence: TrialEvidence) -> Check:
    if evidence.active_unchanged and record.active is None:
        return Check(ACTIVE_UNCHANGED, _PASSED, NO_VOICE if record.is_of_voice else NO_MODEL)
    if evidence.active_unchanged:
        return Check(ACTIVE_UNCHANGED, _PASSED, "The control is what served when the trial began.")
    return Check(
        ACTIVE_UNCHANGED,
        _FAILED,
        "Another model became active during the trial: what the candidate was compared with is gone.",
    )


def _duration(spec: LoopSpec, record: RolloutRecord, evidence: TrialEvidence) -> Check:
    begun = next((s.entered_at for s in record.history if s.state in ("shadow", "started")), None)
    days = (evidence.now - (begun or record.recorded_at)) / timedelta(days=1)
    most = spec.rollout.max_days
    status = _FAILED if days >= most else _PASSED
    ends = "it ends without a winner" if status is _FAILED else "it may go on"
    return Check(
        DURATION, status, f"On trial for {days:.1f} of at most {most} days: {ends}.", days, most
    )


def _measured(figures: ExperimentFigures) -> Check:
    """A point estimate needs people with an answer in both arms."""
    if math.isfinite(figures.primary.value):
        told = f"{figures.primary.n} answered decisions of {figures.primary.clusters} people."
        return Check(EXPERIMENT, _PASSED, told)
    return Check(
        EXPERIMENT, _INSUFFICIENT, "No day has answers of both arms: nothing can be compared."
    )


def _dwell(
    spec: LoopSpec, record: RolloutRecord, figures: ExperimentFigures, now: datetime
) -> Check:
    """Over only where the figures reach to its end: older ones say nothing of this step."""
    hours = (min(figures.until, now) - record.entered_at) / timedelta(hours=1)
    least = spec.rollout.dwell(min(record.step, len(spec.rollout.ramp) - 1))
    status = _PASSED if hours >= least else _INSUFFICIENT
    reason = (
        f"{max(hours, 0.0):.1f} of {least:g} hours at {record.traffic_percent:g} % are measured."
    )
    return Check(DWELL, status, reason, hours, least)


def _sample_ratio(figures: ExperimentFigures) -> Check:
    ratio = figures.ratio
    shown = ", ".join(f"{arm} {count}" for arm, count in sorted(ratio.observed.items()))
    shown += "".join(
        f"; came back at {s.percent:g} %: candidate {s.observed['candidate']} of "
        f"{s.expected['candidate']:.0f} expected"
        for s in ratio.returning
    )
    if ratio.mismatch:
        return Check(
            SAMPLE_RATIO,
            _FAILED,
            f"People are in other arms than the shares say ({shown}): no comparison can be trusted. "
            f"Find out who is not counted.{_visits(ratio)}",
            ratio.log_evidence,
        )
    told = f"Arms as assigned ({shown}).{_visits(ratio)}"
    return Check(SAMPLE_RATIO, _PASSED, told, ratio.log_evidence)


def _visits(ratio: SampleRatio) -> str:
    """A warning where people of one arm had more decisions than those of the other."""
    odd = "; ".join(
        f"{v.candidate:.2f} per person of the candidate at {v.percent:g} %, {v.control:.2f} of the control"
        for v in ratio.visits
        if v.departs
    )
    return (
        f" Warning: decisions differ between the arms ({odd}): people come more or less often because of "
        "the candidate, or decisions of one arm are lost; look at the log."
        if odd
        else ""
    )


def _drift(spec: LoopSpec, figures: ExperimentFigures) -> Check:
    limit = spec.rollout.drift_threshold
    if figures.drifted:
        return Check(
            DRIFT,
            _FAILED,
            f"The daily effect drifts: CUSUM {figures.cusum:.2f} is above {limit:g}.",
            figures.cusum,
            limit,
        )
    return Check(DRIFT, _PASSED, "The daily effect does not drift.", figures.cusum, limit)


def _fairness(
    spec: LoopSpec, figures: ExperimentFigures, evidence: TrialEvidence
) -> tuple[Check, ...]:
    if not spec.protected:
        return ()
    found = figures.fairness
    if found is None:
        told = "Groups were not compared on the observed arms."
        return (Check(f"{UNMEASURED}:{FAIRNESS}", _INSUFFICIENT, told),)
    if found.status is _INSUFFICIENT and evidence.approved:
        return (
            replace(found, name=FAIRNESS, status=_PASSED, reason=f"By approval: {found.reason}"),
        )
    return (replace(found, name=FAIRNESS),)


def _people(spec: LoopSpec, figures: ExperimentFigures) -> Check:
    fewest = min(figures.exposed.get("control", 0), figures.exposed.get("candidate", 0))
    least = spec.rollout.min_people
    status = _PASSED if fewest >= least else _INSUFFICIENT
    return Check(
        PEOPLE, status, f"The smaller arm has {fewest} people of at least {least}.", fewest, least
    )


def _primary(figures: ExperimentFigures) -> Check:
    found = figures.primary
    shown = f"candidate - control {_shown(found)}"
    if found.high < 0:
        return Check(PRIMARY, _FAILED, f"The candidate is worse: {shown}.", found.high, 0.0)
    if found.low > 0:
        return Check(PRIMARY, _PASSED, f"The candidate is better: {shown}.", found.low, 0.0)
    return Check(PRIMARY, _INSUFFICIENT, f"Not decided: {shown}.", found.low, 0.0)


def _shown(found: Estimate) -> str:
    if math.isnan(found.value):
        return "not known"
    if math.isnan(found.low) or math.isnan(found.high):
        return f"{found.value:+.4f}, of too few people for an interval"
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def _guardrails(spec: LoopSpec, figures: ExperimentFigures) -> tuple[Check, ...]:
    """One check per signal that the loop guards, whether it was measured or not."""
    found = {metric.name: metric for metric in figures.guardrails}
    named = [g.signal for g in spec.rollout.guardrails] or list(spec.signal_names)
    return tuple(_guardrail(name, found.get(name)) for name in dict.fromkeys([*named, *found]))


def _guardrail(signal: str, metric: MetricEffect | None) -> Check:
    name = f"{GUARDRAIL}:{signal}"
    if metric is None:
        return Check(f"{UNMEASURED}:{signal}", _INSUFFICIENT, f"{signal} was not measured.")
    effect, margin = metric.effect, metric.margin
    shown = f"{_shown(effect)}, margin {margin:.4f}"
    if metric.held is False:
        return Check(name, _FAILED, f"{signal} is harmed: {shown}.", effect.high, -margin)
    if metric.held is True:
        return Check(name, _PASSED, f"{signal} is kept: {shown}.", effect.low, -margin)
    return Check(name, _INSUFFICIENT, f"{signal} is not decided: {shown}.", effect.low, -margin)


def _traffic(spec: LoopSpec, record: RolloutRecord) -> Check:
    least = spec.rollout.promote_from_percent
    status = _PASSED if record.traffic_percent >= least else _INSUFFICIENT
    reason = (
        f"{record.traffic_percent:g} % of people meet it; a winner is promoted from {least:g} % on."
    )
    return Check(TRAFFIC, status, reason, record.traffic_percent, least)


def _approval(spec: LoopSpec, evidence: TrialEvidence) -> tuple[Check, ...]:
    if spec.rollout.oversight.approval != "promotion":
        return ()
    if evidence.approved:
        return (Check(APPROVAL, _PASSED, "A named person agreed to the promotion."),)
    return (
        Check(
            APPROVAL,
            _INSUFFICIENT,
            "A named person must agree before everybody meets it: everloop rollout approve.",
        ),
    )
