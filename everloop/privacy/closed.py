"""A ledger from which nothing more is taken: what was released may be read, and nothing new is paid for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import NoReturn

from everloop.contracts.errors import ShouldWaitForBudget
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import PrivacyLedger, Reservation
from everloop.contracts.privacy import (
    BudgetPlan,
    BudgetStatus,
    LedgerRow,
    Mechanism,
    Recovered,
    ReleaseRequest,
    Statement,
)


class ClosedLedger:
    """Another ledger, read and never charged.

    A stage that asks it for budget is refused as if there were none left, so that its last release serves.
    """

    def __init__(self, ledger: PrivacyLedger, why: str) -> None:
        """``why``: a sentence without its full stop, which notes of reused releases begin with."""
        self._ledger, self._why = ledger, why

    def night_mechanism(self, spec: LoopSpec, pipeline: str, stage: str, on: date) -> Mechanism:
        return self._ledger.night_mechanism(spec, pipeline, stage, on)

    def first_mu_squared(self, spec: LoopSpec, stage: str) -> float:
        return self._ledger.first_mu_squared(spec, stage)

    def next_due(self, spec: LoopSpec, pipeline: str, stage: str, on: date) -> date | None:
        return self._ledger.next_due(spec, pipeline, stage, on)

    def reserve(
        self,
        request: ReleaseRequest,
        people: Sequence[str],  # noqa: ARG002
        spec: LoopSpec,  # noqa: ARG002
        min_people: int,  # noqa: ARG002
    ) -> Reservation:
        """``ShouldWaitForBudget``, always."""
        self._refuse(request.stage)

    def complete(self, release_id: str, url: str, sha256: str) -> LedgerRow:  # noqa: ARG002
        """``ShouldWaitForBudget``, always."""
        self._refuse(release_id)

    def latest_release(
        self, pipeline: str, stage: str, on_or_before: date
    ) -> tuple[LedgerRow, str, str] | None:
        return self._ledger.latest_release(pipeline, stage, on_or_before)

    def status(self, spec: LoopSpec, on: date, tonight: Sequence[LedgerRow] = ()) -> BudgetStatus:
        return self._ledger.status(spec, on, tonight)

    def plan(self, spec: LoopSpec, pipeline: str, on: date) -> BudgetPlan:
        return self._ledger.plan(spec, pipeline, on)

    def rename(self, pseudonyms: Mapping[str, str], key: str = "") -> int:  # noqa: ARG002
        """``ShouldWaitForBudget``, always."""
        self._refuse("the people's names")

    def follow_journal(self) -> None:
        self._ledger.follow_journal()

    def recover(self, exists: Callable[[str, str], bool]) -> Recovered:
        return self._ledger.recover(exists)

    def charge_everyone(
        self, loops: Mapping[str, LoopSpec], since: date, until: date
    ) -> tuple[LedgerRow, ...]:
        return self._ledger.charge_everyone(loops, since, until)

    def statement(self, person: str, on: date) -> Statement | None:
        return self._ledger.statement(person, on)

    def history(self, pipeline: str | None = None) -> tuple[LedgerRow, ...]:
        return self._ledger.history(pipeline)

    def verify(self) -> int:
        return self._ledger.verify()

    def _refuse(self, what: str) -> NoReturn:
        raise ShouldWaitForBudget(
            f"{self._why}.", f"Leave {what} to the daily graph: everloop run daily."
        )
