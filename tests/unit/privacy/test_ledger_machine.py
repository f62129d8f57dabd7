"""Any order of reserving, dying, finishing, backfilling, erasing and rotating keeps everyone within budget.

Gaussian and subsampled releases are mixed, two loops with other promises share their people, clocks go
backwards and processes race. What people lost is judged by dp_accounting, which the ledger does not use
for Gaussian releases and uses for one step at one order of subsampled ones.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from everloop.contracts.errors import ShouldKeepRelease, ShouldWaitForBudget
from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.ports import Reservation
from everloop.contracts.privacy import (
    GaussianMechanism,
    Mechanism,
    ReleaseRequest,
    SubsampledGaussianMechanism,
)
from everloop.loops import load
from everloop.privacy import accounting, mechanisms, renyi
from everloop.privacy.ledger import Ledger
from tests.conformance.memory_ledger_store import MemoryLedgerStore

PERIOD = 5
DELTA = 1e-5
STRICT, LOOSE = 1.0, 2.0
SPECS = {
    epsilon: load("companion").model_copy(
        update={
            "privacy": PrivacySpec(
                epsilon=epsilon, period_days=PERIOD, sampling_rate=0.1, steps=300
            )
        }
    )
    for epsilon in (STRICT, LOOSE)
}
BUDGET = accounting.mu(STRICT, DELTA) ** 2
START = date(2026, 3, 1)
DAYS = 14
PEOPLE = tuple(letter * 64 for letter in "abcde")
SHARES = (0.05, 0.2, 0.34, 0.5, 0.8, 1.0)
Slot = tuple[int, str]


@cache
def mechanism(kind: str, share: float) -> Mechanism:
    """One that costs a share of the strict budget."""
    if kind == "gaussian":
        return GaussianMechanism(math.sqrt(4 / (share * BUDGET)), 1.0, 4)
    allowed = renyi.as_mu_squared(renyi.allowed(STRICT, DELTA), STRICT, DELTA)
    return mechanisms.subsampled_for(share * allowed, SPECS[STRICT].privacy)


@dataclass(frozen=True)
class Charge:
    day: int
    mechanism: Mechanism
    promise: float


@cache
def divergence(paid: Mechanism, order: int) -> float:
    accountant = RdpAccountant([order])
    accountant.compose(event(paid))
    return float(accountant.rdp[0])


def event(paid: Mechanism) -> SelfComposedDpEvent:
    step = GaussianDpEvent(paid.sigma)
    if isinstance(paid, SubsampledGaussianMechanism):
        step = PoissonSampledDpEvent(paid.sampling_rate, step)
    return SelfComposedDpEvent(step, paid.steps)


def used(charges: Sequence[Charge], promise: float) -> float:
    """Share of a promise that the charges of one period use, by the rule of the filter."""
    if any(isinstance(c.mechanism, SubsampledGaussianMechanism) for c in charges):
        order = renyi.ORDERS[renyi.judging_index(promise, DELTA)]
        limit = promise - math.log1p(-1 / order) + math.log(DELTA * order) / (order - 1)
        return math.fsum(divergence(c.mechanism, order) for c in charges) / limit
    spent = math.fsum(c.mechanism.steps / c.mechanism.sigma**2 for c in charges)
    return spent / accounting.mu(promise, DELTA) ** 2


def periods(charges: Sequence[Charge], days: Sequence[int]) -> list[list[Charge]]:
    """The charges within each period that starts on one of the days."""
    return [[c for c in charges if day <= c.day < day + PERIOD] for day in days]


def fits(charges: Sequence[Charge], new: Charge, slack: float) -> bool:
    """Whether every period that holds a new charge keeps every promise of a charge in it."""
    return all(
        used(inside, promise) <= 1 + slack
        for inside in periods([*charges, new], range(new.day - PERIOD + 1, new.day + 1))
        for promise in {c.promise for c in inside}
    )


class Clock:
    """Goes back a day each time it is read."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.moment -= timedelta(days=1)
        return self.moment


class Ledgers(RuleBasedStateMachine):
    """Plays against its own book of who was charged what, kept from the answers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryLedgerStore()
        self.clock = Clock()
        self.made: dict[Slot, tuple[ReleaseRequest, Reservation]] = {}
        self.finished: set[Slot] = set()
        self.erased: set[str] = set()
        self.keys = [bytes(32)]
        self.people = PEOPLE
        self.book: dict[str, list[Charge]] = {person: [] for person in PEOPLE}

    @property
    def ledger(self) -> Ledger:
        """A process of its own each time: nothing is remembered outside the store."""
        return Ledger(self.store, self.keys[-1], self.clock, self.keys[:-1])

    @rule(
        day=st.integers(0, DAYS - 1),
        stage=st.sampled_from(["user_model", "profiles"]),
        kind=st.sampled_from(["gaussian", "gaussian", "subsampled"]),
        share=st.sampled_from(SHARES),
        promise=st.sampled_from([STRICT, STRICT, LOOSE]),
        terms=st.sampled_from([("c1", "d1"), ("c1", "d2"), ("c2", "d1")]),
        chosen=st.sets(st.integers(0, len(PEOPLE) - 1), min_size=1),
        min_people=st.integers(1, 3),
        dies=st.booleans(),
        racers=st.sampled_from([1, 1, 2]),
    )
    def reserve(
        self,
        day: int,
        stage: str,
        kind: str,
        share: float,
        promise: float,
        terms: tuple[str, str],
        chosen: set[int],
        min_people: int,
        dies: bool,
        racers: int,
    ) -> None:
        people = {self.people[index] for index in chosen} - self.erased
        slot = (day, stage)
        new = Charge(day, mechanism(kind, share), promise)
        on = START + timedelta(days=day)
        asked = ReleaseRequest("p", on, stage, *terms, new.mechanism)
        self.store.die_before_commit = dies and racers == 1
        try:
            answer = self.asked_at_once(racers, asked, sorted(people), promise, min_people)
        except KeyboardInterrupt:
            return
        except ShouldKeepRelease:
            old, before = self.made[slot]
            assert old != asked or not set(before.admitted) <= people
            return
        except ShouldWaitForBudget:
            assert slot not in self.made
            able = {p for p in people if fits(self.book[p], new, slack=-1e-9)}
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
                assert fits(self.book[person], new, slack=1e-9)
                self.book[person].append(new)
            else:
                assert not fits(self.book[person], new, slack=-1e-9)
        self.made[slot] = (asked, answer)

    def asked_at_once(
        self,
        racers: int,
        asked: ReleaseRequest,
        people: Sequence[str],
        promise: float,
        min_people: int,
    ) -> Reservation:
        def ask(_: int) -> Reservation:
            return self.ledger.reserve(asked, people, SPECS[promise], min_people)

        if racers == 1:
            return ask(0)
        with ThreadPoolExecutor(racers) as pool:
            first, *others = pool.map(ask, range(racers))
        assert all(other == first for other in others)
        return first

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

    @rule(index=st.integers(0, len(PEOPLE) - 1))
    def erase_or_come_back(self, index: int) -> None:
        """An erased person is in no dataset; one who comes back has the pseudonym from before."""
        self.erased ^= {self.people[index]}

    @rule()
    def rotate_the_key(self) -> None:
        self.keys.append(bytes([len(self.keys)]) * 32)

    @rule()
    def rotate_the_pseudonyms(self) -> None:
        """Everyone gets another pseudonym; what is reserved goes on under it."""
        moves = {p: p[0] + hashlib.sha256(p.encode()).hexdigest()[1:] for p in self.people}
        self.ledger.rename(moves)
        self.people = tuple(moves[person] for person in self.people)
        self.erased = {moves[person] for person in self.erased}
        self.book = {moves[person]: charges for person, charges in self.book.items()}
        self.made = {
            slot: (asked, replace(answer, admitted=tuple(moves[p] for p in answer.admitted)))
            for slot, (asked, answer) in self.made.items()
        }

    @invariant()
    def every_promise_is_kept(self) -> None:
        for charges in self.book.values():
            for inside in periods(charges, range(1 - PERIOD, DAYS)):
                assert all(used(inside, c.promise) <= 1 + 1e-9 for c in inside)

    @invariant()
    def nobody_pays_twice(self) -> None:
        for person in self.people:
            ids = {release_id for who, release_id in self.store.state.charges if who == person}
            assert len(ids) == len(self.book[person])

    @invariant()
    def it_verifies(self) -> None:
        assert self.ledger.verify() == len(self.made) + len(self.finished)

    def teardown(self) -> None:
        """An accountant that is not ours, over the fullest period of each kind and promise."""
        fullest: dict[tuple[float, bool], tuple[float, list[Charge]]] = {}
        for charges in self.book.values():
            for inside in periods(charges, range(1 - PERIOD, DAYS)):
                mixed = any(isinstance(c.mechanism, SubsampledGaussianMechanism) for c in inside)
                for promise in {c.promise for c in inside}:
                    found = (used(inside, promise), inside)
                    if found[0] > fullest.get((promise, mixed), (0.0, []))[0]:
                        fullest[promise, mixed] = found
        for (promise, mixed), (_, inside) in fullest.items():
            assert epsilon_of(tuple(c.mechanism for c in inside), mixed) <= promise + 1e-3


@cache
def epsilon_of(paid: tuple[Mechanism, ...], mixed: bool) -> float:
    accountant = RdpAccountant() if mixed else PLDAccountant(value_discretization_interval=1e-3)
    for one in paid:
        accountant.compose(event(one))
    return float(accountant.get_epsilon(DELTA))


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_the_judge_sees_more_than_the_budget() -> None:
    """What the teardown would say of one release too many, and of two filters side by side."""
    whole, sampled = mechanism("gaussian", 1.0), mechanism("subsampled", 1.0)
    assert epsilon_of((whole,), mixed=False) == pytest.approx(1.0, abs=2e-3)
    assert epsilon_of((whole, mechanism("gaussian", 0.05)), mixed=False) > 1.02
    assert 0.95 < epsilon_of((sampled,), mixed=True) <= 1.0
    assert epsilon_of((whole, sampled), mixed=True) > 1.4
