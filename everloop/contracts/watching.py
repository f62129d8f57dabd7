"""What one run of the watch graph came to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from everloop.contracts.evaluation import Estimate
from everloop.contracts.rollouts import RolloutEvent, RolloutRecord, TrialTally, TrialVerdict


@dataclass(frozen=True, slots=True)
class Look:
    """The primary effect as it was known at a moment."""

    at: datetime
    effect: Estimate


@dataclass(frozen=True, slots=True)
class WatchOutcome:
    """The verdict on a trial and what was done about it.

    Attributes:
        at: the moment that the trial was judged at.
        verdict: None where nothing was on trial.
        trial: the trial as it stands afterwards; the one that was looked at anew where nothing was on
            trial; None where there is none of either.
        reconsidered: a candidate that waited and was judged again against what serves by now.
        events: of ``trial``, oldest first.
        tallies: what workers counted of ``trial``.
        looks: the effect as known at the end of each day and at the last look, oldest first.
    """

    loop: str
    at: datetime
    verdict: TrialVerdict | None = None
    trial: RolloutRecord | None = None
    reconsidered: RolloutRecord | None = None
    events: tuple[RolloutEvent, ...] = ()
    tallies: tuple[TrialTally, ...] = ()
    looks: tuple[Look, ...] = ()

    @property
    def sentence(self) -> str:
        """The outcome in one line."""
        if self.verdict is not None:
            state = "" if self.trial is None else f" ({standing(self.trial)})"
            return f"{self.verdict.decision}{state}: {self.verdict.reasons[0]}"
        if self.reconsidered is not None:
            return (
                f"nothing is on trial; candidate {self.reconsidered.candidate} was judged anew: "
                f"{self.reconsidered.state}"
            )
        if self.trial is not None:
            return f"candidate {self.trial.candidate} begins: {standing(self.trial)}"
        return "nothing is on trial"


def standing(record: RolloutRecord) -> str:
    """A trial's state in words."""
    if record.state == "shadow":
        return "in shadow: decides unseen"
    if record.state in ("started", "paused"):
        return f"{record.state} at {record.traffic_percent:g} % of people"
    return record.state.replace("_", " ")
