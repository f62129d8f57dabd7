"""Any order of reserving, dying, finishing and backfilling keeps everyone within budget."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from everloop.contracts.errors import ShouldKeepRelease, ShouldWaitForBudget
from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.ports import Reservation
from everloop.contracts.privacy import GaussianMechanism, ReleaseRequest
from everloop.loops import load
from everloop.privacy import plan
from everloop.privacy.ledger import Ledger
from tests.conformance.memory_ledger_store import MemoryLedgerStore

PERIOD = 5
SPEC = load("companion").model_copy(update={"privacy": PrivacySpec(period_days=PERIOD)})
BUDGET = plan.budget_mu_squared(SPEC.privacy)
START = date(2026, 3, 1)
DAYS = 14
PEOPLE = tuple(letter * 64 for letter in "abcde")
Slot = tuple[int, str]


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


class Ledgers(RuleBasedStateMachine):
    """Plays against its own book of who was charged what, kept from the answers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryLedgerStore()
        self.made: dict[Slot, tuple[ReleaseRequest, Reservation]] = {}
        self.finished: set[Slot] = set()
        self.book: dict[str, dict[int, float]] = {person: {} for person in PEOPLE}

    @property
    def ledger(self) -> Ledger:
        """A process of its own each time: nothing is remembered outside the store."""
        return Ledger(self.store, bytes(32), Clock())

    @rule(
        day=st.integers(0, DAYS - 1),
        stage=st.sampled_from(["user_model", "profiles"]),
        share=st.sampled_from([0.05, 0.2, 0.34, 0.5, 0.8, 1.0]),
        configuration=st.sampled_from(["c1", "c2"]),
        dataset=st.sampled_from(["d1", "d2"]),
        people=st.sets(st.sampled_from(PEOPLE), min_size=1),
        min_people=st.integers(1, 3),
        dies=st.booleans(),
    )
    def reserve(
        self,
        day: int,
        stage: str,
        share: float,
        configuration: str,
        dataset: str,
        people: set[str],
        min_people: int,
        dies: bool,
    ) -> None:
        slot = (day, stage)
        on = START + timedelta(days=day)
        mechanism = GaussianMechanism(math.sqrt(4 / (share * BUDGET)), 1.0, 4)
        asked = ReleaseRequest("p", on, stage, configuration, dataset, mechanism)
        self.store.die_before_commit = dies
        try:
            answer = self.ledger.reserve(asked, sorted(people), SPEC, min_people)
        except KeyboardInterrupt:
            return
        except ShouldKeepRelease:
            old, before = self.made[slot]
            assert old != asked or not set(before.admitted) <= people
            return
        except ShouldWaitForBudget:
            assert slot not in self.made
            able = {p for p in people if self.fits(p, day, mechanism.mu_squared, slack=-1e-9)}
            assert len(able) < min_people
            return
        finally:
            self.store.die_before_commit = False
        if slot in self.made:
            self.check_again(slot, asked, answer)
            return
        assert answer.stored_url is None
        assert set(answer.admitted) <= people
        for person in people:
            if person in answer.admitted:
                assert self.fits(person, day, mechanism.mu_squared, slack=0.0)
                charged = self.book[person]
                charged[day] = charged.get(day, 0.0) + mechanism.mu_squared
            else:
                assert not self.fits(person, day, mechanism.mu_squared, slack=-1e-9)
        self.made[slot] = (asked, answer)

    def check_again(self, slot: Slot, asked: ReleaseRequest, answer: Reservation) -> None:
        old, before = self.made[slot]
        assert (asked, answer.admitted) == (old, before.admitted)
        if slot in self.finished:
            assert answer.stored_url == f"blob:{slot}"
        else:
            assert answer.noise_seed == before.noise_seed

    @rule(data=st.data(), dies=st.booleans())
    def complete(self, data: st.DataObject, dies: bool) -> None:
        if not self.made:
            return
        slot = data.draw(st.sampled_from(sorted(self.made)))
        self.store.die_before_commit = dies
        try:
            self.ledger.complete(self.made[slot][1].release_id, f"blob:{slot}", "a" * 64)
        except KeyboardInterrupt:
            return
        finally:
            self.store.die_before_commit = False
        self.finished.add(slot)

    def heaviest(self, person: str, charges: dict[int, float]) -> float:
        return max(
            math.fsum(cost for day, cost in charges.items() if start <= day < start + PERIOD)
            for start in range(1 - PERIOD, DAYS)
        )

    def fits(self, person: str, day: int, cost: float, slack: float) -> bool:
        """Whether every period that holds the day stays within budget with one more charge."""
        charges = dict(self.book[person])
        charges[day] = charges.get(day, 0.0) + cost
        touching = range(day - PERIOD + 1, day + 1)
        most = max(
            math.fsum(c for d, c in charges.items() if start <= d < start + PERIOD)
            for start in touching
        )
        return most <= BUDGET * (1 + slack)

    @invariant()
    def nobody_passes_the_budget(self) -> None:
        for person in PEOPLE:
            assert self.heaviest(person, self.book[person]) <= BUDGET

    @invariant()
    def nobody_pays_twice(self) -> None:
        for person in PEOPLE:
            assert self.store.state.totals.get(person, 0.0) == pytest.approx(
                math.fsum(self.book[person].values()), rel=1e-12
            )

    @invariant()
    def it_verifies(self) -> None:
        assert self.ledger.verify() == len(self.made) + len(self.finished)


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
