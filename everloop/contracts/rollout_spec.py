"""How a loop tries candidates on people: ramp, shadow, guardrails, hard limits and who must agree."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Percent = Annotated[float, Field(gt=0, le=100)]
ROLLOUT_ALPHA = 0.05


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ShadowSpec(_Value):
    """The candidate decides unseen before anybody meets it.

    ``decisions`` 0 leaves the shadow out. ``hours``: least time in it. ``max_error_share``,
    ``max_p99_ms``, ``max_dropped_share``: above these the candidate is rolled back; ``min_agreement``:
    least share of decisions in which candidate and active would most likely do the same (0: reported
    only).
    """

    decisions: Annotated[int, Field(ge=0)] = 200
    hours: Annotated[float, Field(ge=0)] = 1.0
    max_error_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_p99_ms: Annotated[float, Field(gt=0)] = 50.0
    max_dropped_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.0


class HardLimitSpec(_Value):
    """What rolls a trial back at once.

    Errors and latency are tested over all that was counted since people first met the candidate, and over
    each tally that has ``min_decisions`` by itself (a worker closes one after four hours), so that a good
    month excuses no bad hours; answers and collapse are tested over the whole.

    ``min_decisions``: fewer say nothing, but for an answer that is no distribution (NaN), of which one
    is enough. ``collapse_share``: share of decisions on one action at which a policy has collapsed, where
    what serves does not keep to one action itself: where it does, or answered nothing, questions may be
    alike, and the check waits until they differ. 1 asks nothing. ``max_voice_p99_ms``: of a voice's whole
    answers; the share of errors holds for them too, and for those that could not be shown.
    """

    min_decisions: Annotated[int, Field(ge=1)] = 100
    max_error_share: Annotated[float, Field(ge=0, le=1)] = 0.02
    max_p99_ms: Annotated[float, Field(gt=0)] = 250.0
    max_voice_p99_ms: Annotated[float, Field(gt=0)] = 30_000.0
    collapse_share: Annotated[float, Field(gt=0, le=1)] = 0.99


class GuardrailSpec(_Value):
    """A signal that a candidate must not worsen.

    ``margin``: share of the signal's mapped range (its width in the reward) that it may lose.
    ``higher_is_better`` false turns it round, for signals such as complaints.
    """

    signal: str
    margin: Annotated[float, Field(gt=0, le=1)] = 0.05
    higher_is_better: bool = True


class OversightSpec(_Value):
    """What people must have done.

    ``approval``: a named person agrees before a trial starts, before a candidate is promoted, or never.
    ``weekly_review_days``, ``adversarial_test_days``: a review of the active model, or a passed test of
    it, older than this blocks new trials; None: not asked for.
    """

    approval: Literal["none", "start", "promotion"] = "none"
    weekly_review_days: Annotated[int, Field(ge=1, le=366)] | None = None
    adversarial_test_days: Annotated[int, Field(ge=1, le=366)] | None = None


class RolloutSpec(_Value):
    """How a candidate meets people.

    ``ramp``: percent of people, step by step; ``dwell_hours``: least time at each step.
    ``holdout_percent`` of people never meet a candidate on trial, so that the last step has someone to
    be compared with. ``alpha``: error of the trial, over all its looks. ``margin``: what a group's or a
    guardrail's default margin is, as a share. ``promote_from_percent``: least traffic at which a winner is
    promoted. ``min_people`` of each arm before any interval decides. ``max_days``: a trial that has shown
    nothing by then ends, and the active model stays. ``alert_loss``: a point estimate this far below the
    active's value, as a share of it above the least attainable, is told and changes nothing.
    ``drift_threshold``, ``drift_slack``: of the CUSUM on daily differences, in standard errors.
    ``guardrails``: none named means every signal type of the loop with ``margin``.
    """

    ramp: Annotated[tuple[Percent, ...], Field(min_length=1)] = (1.0, 5.0, 25.0, 50.0, 100.0)
    dwell_hours: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (24.0,)
    holdout_percent: Annotated[float, Field(ge=0, le=50)] = 5.0
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = ROLLOUT_ALPHA
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    promote_from_percent: Percent = 25.0
    min_people: Annotated[int, Field(ge=2)] = 100
    max_days: Annotated[int, Field(ge=1, le=366)] = 28
    alert_loss: Annotated[float, Field(gt=0, lt=1)] = 0.05
    drift_threshold: Annotated[float, Field(gt=0)] = 5.0
    drift_slack: Annotated[float, Field(ge=0)] = 0.5
    shadow: ShadowSpec = ShadowSpec()
    hard_limits: HardLimitSpec = HardLimitSpec()
    guardrails: tuple[GuardrailSpec, ...] = ()
    oversight: OversightSpec = OversightSpec()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if any(not low < high for low, high in pairwise(self.ramp)):
            raise ValueError(f"ramp {self.ramp} does not rise")
        if len(self.dwell_hours) not in (1, len(self.ramp)):
            raise ValueError(
                f"dwell_hours has {len(self.dwell_hours)} entries for {len(self.ramp)} ramp steps; "
                "give one for all, or one each"
            )
        if self.promote_from_percent > self.ramp[-1]:
            raise ValueError(
                f"promote_from_percent={self.promote_from_percent:g} is above the ramp's last step "
                f"{self.ramp[-1]:g}: no trial could ever promote"
            )
        first = next(
            i for i, percent in enumerate(self.ramp) if percent >= self.promote_from_percent
        )
        hours = self.shadow.hours * bool(self.shadow.decisions)
        hours += sum(self.dwell(step) for step in range(first + 1))
        if hours >= 24.0 * self.max_days:
            raise ValueError(
                f"max_days={self.max_days} ends a trial before {hours:g} hours of shadow and dwell_hours "
                f"have brought it to promote_from_percent={self.promote_from_percent:g}"
            )
        if self.ramp[-1] == 100.0 and self.holdout_percent == 0.0 and first == len(self.ramp) - 1:
            raise ValueError(
                "with holdout_percent=0 nobody is left to compare with at 100 %, where "
                "promote_from_percent lets a winner be promoted first: lower it, or keep a holdout"
            )
        names = [guardrail.signal for guardrail in self.guardrails]
        if len(set(names)) != len(names):
            raise ValueError("guardrails name a signal twice")
        return self

    def dwell(self, step: int) -> float:
        """Least hours at a ramp step, counted from 0."""
        return self.dwell_hours[0] if len(self.dwell_hours) == 1 else self.dwell_hours[step]
