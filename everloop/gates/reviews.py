"""What serves must have been looked at lately: by people every week, by an attack every month.

The newest word of the kind counts, whatever served when it was said: it must have passed and be at most
as old as the loop allows. Before any model is active there is nothing to look at, so that a first one can
start. A word dated ahead of the clock is none, or it would never grow old.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.contracts.evaluation import Check
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.rollout_spec import OversightSpec
from everloop.gates.answers import count, failed, insufficient, number, passed
from everloop.gates.evidence import GateEvidence

_DAY = timedelta(days=1)
CLOCKS_DIFFER = timedelta(minutes=5)
"""How far ahead the clock of whoever spoke may be."""


@dataclass(frozen=True, slots=True)
class RegularCheck:
    """One regular duty.

    Attributes:
        name: of the check.
        kind: of the words that do the duty.
        what: the duty in words.
        command: what a person runs to do it.
        days: at most so many may pass; None: the loop does not ask for it.
        newest: the newest word.
    """

    name: str
    kind: OversightKind
    what: str
    command: str
    days: Callable[[OversightSpec], int | None]
    newest: Callable[[GateEvidence], Oversight | None]

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        days, said, now = self.days(spec.rollout.oversight), self.newest(evidence), evidence.now
        if days is None:
            return passed(self.name, reason=f"The loop asks for no {self.what}.")
        if evidence.active is None:
            return passed(
                self.name, reason=f"No model is active yet, so no {self.what} of it can be due."
            )
        if now is None or now.tzinfo is None:
            return insufficient(self.name, reason="It is not known when the gate was asked.")
        if said is None or (said.kind, said.loop) != (self.kind, spec.name):
            return insufficient(
                self.name,
                reason=(
                    f"There was no {self.what} of the active model; one is asked for every "
                    f"{count(days, 'day')}. Run `{self.command}`."
                ),
                threshold=float(days),
            )
        return self._of_age(said, now, days)

    def _of_age(self, said: Oversight, now: datetime, days: int) -> Check:
        age = (now - said.at) / _DAY
        figures = {"value": round(age, 2), "threshold": float(days)}
        if not said.passed:
            return failed(
                self.name,
                reason=f"The last {self.what} did not pass. {said.sentence} Run `{self.command}`.",
                **figures,
            )
        if said.at > now + CLOCKS_DIFFER:
            return insufficient(
                self.name,
                reason=f"The last {self.what} is dated {said.at:%Y-%m-%d %H:%M}, which has not come yet.",
                **figures,
            )
        if age > days:
            return failed(
                self.name,
                reason=(
                    f"The last {self.what} is {number(age)} days old; at most {days} may pass. "
                    f"{said.sentence} Run `{self.command}`."
                ),
                **figures,
            )
        due = said.at + days * _DAY
        return passed(
            self.name,
            reason=f"{said.sentence} The next {self.what} is due by {due:%Y-%m-%d}.",
            **figures,
        )


WEEKLY_REVIEW = RegularCheck(
    "weekly_review",
    OversightKind.REVIEW,
    "review",
    "everloop review model",
    lambda terms: terms.weekly_review_days,
    lambda evidence: evidence.review,
)
ADVERSARIAL_TEST = RegularCheck(
    "adversarial_test",
    OversightKind.ADVERSARIAL_TEST,
    "adversarial test",
    "everloop run adversarial",
    lambda terms: terms.adversarial_test_days,
    lambda evidence: evidence.adversarial_test,
)
