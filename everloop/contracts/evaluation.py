"""Estimates with their intervals, checks and the gate's verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.oversight import Oversight, OversightKind


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval and how many observations it rests on.

    ``low``/``high`` are NaN where no interval can be given; ``n`` counts rows, ``clusters`` people.
    """

    name: str
    value: float
    low: float
    high: float
    confidence: float
    n: int
    clusters: int
    method: str

    def __post_init__(self) -> None:
        if math.isfinite(self.low) and math.isfinite(self.high) and self.low > self.high:
            raise ShouldFixArgument(
                f"Estimate {self.name}: low={self.low} is above high={self.high}."
            )


@dataclass(frozen=True, slots=True)
class OverlapDiagnostics:
    """Whether logged decisions can say anything about another policy. n rows, weights w = pi / p.

    ``effective_sample`` = (sum w)^2 / sum w^2; ``max_weight_share`` = max w / sum w;
    ``unsupported_share`` = probability mass that the policy puts on actions that were never logged.
    """

    n: int
    effective_sample: float
    mean_weight: float
    mean_weight_low: float
    mean_weight_high: float
    max_weight: float
    max_weight_share: float
    unsupported_share: float
    problems: tuple[str, ...]
    """Reasons in plain words why no estimate may be used; empty when overlap is sufficient."""
    excluded_share: float = 0.0
    """Share of the decisions whose logged action today's flags forbid: they have weight 0."""
    kept_as_logged: int = 0
    """Decisions where flags would leave no action, so that they are judged as logged."""


@dataclass(frozen=True, slots=True)
class GroupValue:
    """Value of a policy for one protected group."""

    attribute: str
    group: str
    people: int
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class PolicyEvaluation:
    """One policy judged on held-out real episodes; one-step values at logged states.

    ``baseline`` is the active policy's value, or the logging policy's where none is active.
    ``difference`` = candidate - baseline, doubly robust; its ``low`` is the gate's lower bound.
    """

    policy: str
    baseline_name: str
    estimates: tuple[Estimate, ...]
    baseline: Estimate
    difference: Estimate
    overlap: OverlapDiagnostics
    groups: tuple[GroupValue, ...] = ()
    baseline_groups: tuple[GroupValue, ...] = ()
    action_share: Mapping[str, float] = field(default_factory=dict)
    """Action id -> share of decisions that the policy would give it on the held-out episodes."""
    comparison: Estimate | None = None
    """On-policy value of the comparison logs, where there are any."""
    positive_rewards: int | None = None
    """Held-out decisions with a reward above 0; None where it was not counted."""
    held_out: int | None = None
    """Held-out decisions with a reward and a propensity, of which ``overlap.n`` are used; None where
    they were not counted."""
    candidates: int = 1
    """Candidates that were judged on these held-out people, over which the error is split."""
    rates: tuple[Estimate, ...] = ()
    """Shares of what the candidate would do that are received in some way, such as
    ``intervention_acceptance``; their ``n`` is the effective size of the weighted rows. Empty where
    the candidate does nothing of the kind or the log holds none."""
    epsilon: float | None = None
    """Exploration share in [0, 1] at which the policies were judged: what the service would explore
    with now; None where it was not said."""
    intervals: tuple[Estimate, ...] = ()
    """Other intervals of values in ``estimates`` and of ``journeys``, under their names; ``method``
    says which kind."""
    journeys: Estimate | None = None
    """Mean sum of rewards of a journey of at most three decisions; None where it was refused."""
    baseline_journeys: Estimate | None = None
    """The same of what ``baseline`` is of."""
    journeys_refused: str = ""
    """Why no value of journeys is given."""


APPROVAL_CHECK = "human_approval"
"""Name of the check on which a person's word on a deployment stands."""


class Decision(StrEnum):
    """A verdict: ``continue`` starts (or goes on with) a rollout, ``hold`` doesn't."""

    CONTINUE = "continue"
    HOLD = "hold"
    ROLLBACK = "rollback"
    PROMOTE = "promote"


class CheckStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, slots=True)
class Check:
    """One named question to the evidence and its answer, in words a person can act on.

    ``person_decides``: where it did not pass, a named person may let the candidate go on all the same.
    """

    name: str
    status: CheckStatus
    reason: str
    value: float | None = None
    threshold: float | None = None
    person_decides: bool = False

    @property
    def passed(self) -> bool:
        return self.status is CheckStatus.PASSED

    @property
    def awaits_person(self) -> bool:
        """It did not pass, and a person may decide it."""
        return self.person_decides and not self.passed


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer: ``continue`` only if every check passed; no check is a ``hold``."""

    decision: Decision
    checks: tuple[Check, ...]
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Name of an input -> its SHA-256."""

    def __post_init__(self) -> None:
        failing = [c for c in self.checks if c.status is not CheckStatus.PASSED]
        if self.decision is Decision.CONTINUE and (failing or not self.checks):
            raise ShouldFixArgument(
                "A verdict cannot continue without checks or past a failing one."
            )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it holds; for ``continue``, why it may go on."""
        failing = tuple(c.reason for c in self.checks if c.status is not CheckStatus.PASSED)
        return failing or tuple(c.reason for c in self.checks)

    @property
    def awaits_person(self) -> bool:
        """It holds, and a person may decide every check that did not pass."""
        failing = [check for check in self.checks if not check.passed]
        return (
            self.decision is Decision.HOLD
            and bool(failing)
            and all(check.person_decides for check in failing)
        )

    def decided_by(self, said: Oversight) -> Verdict:
        """The verdict after a person's word on its deployment.

        An approval passes the checks that wait for a person and no other; a rejection fails them, and
        holds whatever the verdict was. The reasons say who, when and why, before what the check had
        found. The word is among the inputs.

        Raises:
            ShouldFixArgument: the word is no approval or rejection of a deployment.
        """
        if said.kind is not OversightKind.APPROVAL:
            raise ShouldFixArgument(
                f"Oversight {said.oversight_id} is of kind {said.kind}, which decides no verdict.",
                "Give a word on the deployment, of kind approval.",
            )
        status = CheckStatus.PASSED if said.passed else CheckStatus.FAILED
        checks = tuple(
            Check(c.name, status, f"{said.sentence} {c.reason}", c.value, c.threshold)
            if c.awaits_person
            else c
            for c in self.checks
        )
        if not said.passed and checks == self.checks:
            checks += (Check(APPROVAL_CHECK, CheckStatus.FAILED, said.sentence),)
        good = self.decision is Decision.HOLD and bool(checks) and all(c.passed for c in checks)
        return Verdict(
            Decision.HOLD if not said.passed else Decision.CONTINUE if good else self.decision,
            checks,
            {**self.inputs, said.kind.value: said.sha256},
        )


@dataclass(frozen=True, slots=True)
class ValidationCheck:
    """One expectation on a dataset version."""

    name: str
    passed: bool
    observed: str
    expected: str
    severity: str = "error"
    """``error`` ends the run in a report, ``warning`` is shown."""


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Answer of the validation stage; ``passed`` when no expectation of severity error failed."""

    dataset_id: str
    checks: tuple[ValidationCheck, ...]

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(c.passed or c.severity != "error" for c in self.checks)


@dataclass(frozen=True, slots=True)
class TrainingExplanation:
    """One decision in words: the specification's seven fields (GDPR Article 22)."""

    episode_id: str
    context_summary: str
    action_taken: str
    expected_outcome: str
    actual_outcome: str
    reward_received: float
    model_adjustment: str
