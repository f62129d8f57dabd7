"""Any order of reserving, dying, backing up, restoring and recovering forgets nothing that was acted on."""

from __future__ import annotations

import copy
import math
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from everloop.contracts.errors import (
    ShouldKeepRelease,
    ShouldRepairLedger,
    ShouldWaitForBudget,
)
from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.privacy import GaussianMechanism, ReleaseRequest
from everloop.loops import load
from everloop.privacy import accounting
from everloop.privacy.ledger import Ledger
from tests.conformance.memory_ledger_store import MemoryLedgerStore, MemoryLedgerTransaction
from tests.conformance.memory_spend_journal import MemorySpendJournal

PERIOD = 4
SPEC = load("companion").model_copy(update={"privacy": PrivacySpec(period_days=PERIOD)})
BUDGET = accounting.mu(SPEC.privacy.epsilon, SPEC.privacy.delta) ** 2
START = date(2026, 3, 1)
PEOPLE = range(4)
Slot = tuple[int, str]
POINTS = ("", "", "", "commit", "journal before", "journal after")


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


def name(person: int, epoch: int) -> str:
    """The pseudonym of a person under the key of an epoch."""
    return f"{person:x}{epoch:x}" * 32


class RestoredLedgers(RuleBasedStateMachine):
    """Keeps its own book of what was acted on: of every answer that a reservation gave."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryLedgerStore()
        self.journal = MemorySpendJournal()
        self.backups: list[MemoryLedgerTransaction] = []
        self.acted: dict[tuple[int, Slot], float] = {}
        self.seeds: dict[Slot, bytes] = {}
        self.finished: dict[Slot, str] = {}
        self.restored = False

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, bytes(32), Clock(), (), self.journal)

    @property
    def epoch(self) -> int:
        return self.store.state.journal().renames

    @initialize()
    def open_first(self) -> None:
        self.ledger.follow_journal()

    def kill_at(self, point: str) -> None:
        self.store.die_before_commit = point == "commit"
        self.journal.dies = point.removeprefix("journal ") if point.startswith("journal") else ""

    @rule(
        day=st.integers(0, 8),
        stage=st.sampled_from(["user_model", "profiles"]),
        share=st.sampled_from([0.1, 0.34, 0.5, 1.0]),
        chosen=st.sets(st.sampled_from(PEOPLE), min_size=1),
        point=st.sampled_from(POINTS),
    )
    def reserve(self, day: int, stage: str, share: float, chosen: set[int], point: str) -> None:
        slot = (day, stage)
        cost = GaussianMechanism(1 / math.sqrt(share * BUDGET * 0.999), 1.0, 1)
        asked = ReleaseRequest("p", START + timedelta(days=day), stage, "c", "d", cost)
        who = {name(person, self.epoch): person for person in chosen}
        self.kill_at(point)
        try:
            made = self.ledger.reserve(asked, sorted(who), SPEC, 1)
        except KeyboardInterrupt:
            return
        except (ShouldKeepRelease, ShouldWaitForBudget):
            return
        except ShouldRepairLedger as problem:
            if not self.restored or "privacy recover" not in problem.remedy:
                raise
            return
        finally:
            self.kill_at("")
        if made.stored_url is not None:
            assert self.finished[slot] == made.stored_url
            return
        assert self.seeds.setdefault(slot, made.noise_seed) == made.noise_seed
        assert slot not in self.finished
        for pseudonym in made.admitted:
            person = next(p for p in PEOPLE if name(p, self.epoch) == pseudonym)
            before = self.acted.setdefault((person, slot), made.row.mu_squared)
            assert before == made.row.mu_squared

    @rule(
        slot=st.sampled_from([(d, s) for d in range(9) for s in ("user_model", "profiles")]),
        point=st.sampled_from(POINTS),
    )
    def complete(self, slot: Slot, point: str) -> None:
        rows = [r for r in self.store.state.rows() if r.stage == slot[1]]
        mine = [r for r in rows if r.logical_date == START + timedelta(days=slot[0])]
        if not mine or slot not in self.seeds:
            return
        self.kill_at(point)
        try:
            self.ledger.complete(mine[0].release_id, f"blob:{slot}", "s")
            self.finished[slot] = f"blob:{slot}"
        except KeyboardInterrupt:
            if point != "commit":
                self.finished[slot] = f"blob:{slot}"
        except ShouldRepairLedger:
            assert self.restored
        finally:
            self.kill_at("")

    @rule()
    def back_up(self) -> None:
        self.backups.append(copy.deepcopy(self.store.state))

    @precondition(lambda self: self.backups)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.backups) - 1))
        self.store.state = copy.deepcopy(self.backups[index])
        self.restored = True

    @rule(point=st.sampled_from(POINTS))
    def recover(self, point: str) -> None:
        self.kill_at(point)
        try:
            for _ in range(5):
                done = self.ledger.recover(lambda url, sha256: True)
                if not done.waits_for_key:
                    break
                assert done.waits_for_key == f"k{self.epoch + 1}"
                self.rename()
            again = self.ledger.recover(lambda url, sha256: True)
            assert again.rows == 0
            self.ledger.verify()
            self.restored = False
            self.check_all()
        except KeyboardInterrupt:
            return
        finally:
            self.kill_at("")

    @rule()
    def rotate(self) -> None:
        if self.epoch < 4 and not self.restored:
            self.rename()

    def rename(self) -> None:
        moved = {name(p, self.epoch): name(p, self.epoch + 1) for p in PEOPLE}
        self.ledger.rename(moved, f"k{self.epoch + 1}")

    def check_all(self) -> None:
        with self.store.transaction() as ledger:
            for person in PEOPLE:
                spent = math.fsum(cost for (who, _), cost in self.acted.items() if who == person)
                found = ledger.spent((name(person, self.epoch),), date.min, date.max)[1]
                assert found.get(name(person, self.epoch), 0.0) >= spent - 1e-12

    @invariant()
    def nothing_is_forgotten_while_releases_are_made(self) -> None:
        if not self.restored:
            self.check_all()

    @invariant()
    def no_period_passes_the_budget(self) -> None:
        for person in PEOPLE:
            for first in range(-PERIOD, 9):
                inside = [
                    cost
                    for (who, (day, _)), cost in self.acted.items()
                    if who == person and first <= day < first + PERIOD
                ]
                assert math.fsum(inside) <= BUDGET


RestoredLedgersTest = RestoredLedgers.TestCase
RestoredLedgersTest.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, derandomize=True
)


class ManyRestoredLedgers(RestoredLedgers):
    """The same, longer."""


ManyTest = pytest.mark.timeout(1800)(pytest.mark.slow(ManyRestoredLedgers.TestCase))
ManyTest.settings = settings(max_examples=1000, stateful_step_count=40, deadline=None)
