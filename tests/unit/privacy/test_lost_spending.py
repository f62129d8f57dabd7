"""What a restored ledger pays for spending that nothing remembers, and how journals follow one another."""

from __future__ import annotations

import copy
import math
from datetime import UTC, date, datetime, timedelta

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldRepairLedger
from everloop.contracts.ledger_ports import JournalStanding
from everloop.contracts.loop_spec import LoopSpec, PrivacySpec
from everloop.contracts.privacy import ReleaseRequest
from everloop.loops import load
from everloop.privacy import plan
from everloop.privacy.journal_records import name_of
from everloop.privacy.ledger import Ledger
from tests.conformance.memory_ledger_store import MemoryLedgerStore, MemoryLedgerTransaction
from tests.conformance.memory_spend_journal import MemorySpendJournal

SPEC = load("companion").model_copy(update={"privacy": PrivacySpec()})
PIPELINE = "companion/default"
DAY = date(2026, 11, 1)
PEOPLE = tuple(f"{number:064x}" for number in range(3))


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 11, 20, tzinfo=UTC)


class Place:
    """A ledger whose database and journal can be lost, each by itself."""

    def __init__(self) -> None:
        self.store = MemoryLedgerStore()
        self.journal = MemorySpendJournal()
        self.ledger.follow_journal()

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, bytes(32), Clock(), (), self.journal)

    def night(
        self, on: date, spec: LoopSpec = SPEC, pipeline: str = PIPELINE, epoch: str = ""
    ) -> None:
        people = tuple(f"{epoch}{one[len(epoch) :]}" for one in PEOPLE)
        for stage in plan.STAGES:
            if self.ledger.next_due(spec, pipeline, stage, on) is not None:
                continue
            how = self.ledger.night_mechanism(spec, pipeline, stage, on)
            asked = ReleaseRequest(pipeline, on, stage, "c", "d", how)
            made = self.ledger.reserve(asked, people, spec, 1)
            self.ledger.complete(made.release_id, f"blob:{pipeline}:{stage}:{on}", "s")

    def copy(self) -> MemoryLedgerTransaction:
        return copy.deepcopy(self.store.state)

    def put_back(self, state: MemoryLedgerTransaction) -> None:
        self.store.state = copy.deepcopy(state)

    def lose_journal(self) -> None:
        self.journal = MemorySpendJournal()

    def rotate(self, old: str, new: str) -> None:
        moved = {f"{old}{one[len(old) :]}": f"{new}{one[len(new) :]}" for one in PEOPLE}
        self.ledger.rename(moved, f"key-{new}")

    def spent(self, epoch: str = "") -> float:
        people = tuple(f"{epoch}{one[len(epoch) :]}" for one in PEOPLE)
        with self.store.transaction() as ledger:
            return min(ledger.spent(people, date.min, date.max)[1].values())


def days(first: int, last: int) -> list[date]:
    return [DAY + timedelta(days=day - 1) for day in range(first, last + 1)]


def here(url: str, sha256: str) -> bool:
    return True


def test_nights_that_were_caught_up_with_on_one_day_are_paid_for() -> None:
    place = Place()
    place.night(DAY)
    backup = place.copy()
    for on in days(2, 10):
        place.night(on)
    truth = place.spent()
    place.lose_journal()
    place.put_back(backup)
    place.ledger.charge_everyone({PIPELINE: SPEC}, *days(10, 11))
    assert truth <= place.spent() <= 2 * truth


def test_a_hole_before_the_ledgers_last_row_may_have_been_filled() -> None:
    place = Place()
    for on in (days(1, 1)[0], days(9, 9)[0]):
        place.night(on)
    backup = place.copy()
    for on in days(2, 8):
        place.night(on)
    truth = place.spent()
    place.lose_journal()
    place.put_back(backup)
    (row,) = place.ledger.charge_everyone({PIPELINE: SPEC}, *days(10, 10), *days(10, 10))
    assert place.spent() >= truth
    one = sum(plan.night_mu_squared(SPEC, s, first=False) for s in ("user_model", "quality"))
    assert row.mu_squared == pytest.approx(8 * one)


def test_a_pipeline_without_a_row_pays_the_whole_budget() -> None:
    place = Place()
    place.lose_journal()
    other = "companion/new"
    (row,) = place.ledger.charge_everyone({other: SPEC}, *days(10, 11))
    assert row.mu_squared == plan.budget_mu_squared(SPEC.privacy)


def test_lost_nights_cost_what_the_loop_once_promised() -> None:
    place = Place()
    place.night(DAY)
    place.night(DAY + timedelta(days=1))
    backup = place.copy()
    for on in days(3, 9):
        place.night(on)
    truth = place.spent()
    lower = SPEC.privacy.model_copy(update={"epsilon": SPEC.privacy.epsilon / 4})
    place.lose_journal()
    place.put_back(backup)
    place.ledger.charge_everyone(
        {PIPELINE: SPEC.model_copy(update={"privacy": lower})}, *days(2, 2), *days(9, 9)
    )
    assert place.spent() >= truth


def test_every_pipeline_of_the_ledger_is_charged_at_once() -> None:
    place = Place()
    place.night(DAY)
    place.night(DAY, pipeline="companion/other")
    place.lose_journal()
    with pytest.raises(ShouldFixArgument, match="companion/other"):
        place.ledger.charge_everyone({PIPELINE: SPEC}, *days(1, 2))
    before = place.spent()
    made = place.ledger.charge_everyone({PIPELINE: SPEC, "companion/other": SPEC}, *days(1, 2))
    assert [row.pipeline for row in made] == [PIPELINE, "companion/other"]
    assert place.spent() == pytest.approx(before + math.fsum(row.mu_squared for row in made))
    place.ledger.verify()


def test_lost_nights_end_no_earlier_than_the_ledger() -> None:
    place = Place()
    place.night(days(5, 5)[0])
    place.lose_journal()
    with pytest.raises(ShouldFixArgument, match="2026-11-05"):
        place.ledger.charge_everyone({PIPELINE: SPEC}, *days(3, 4))


@pytest.mark.parametrize("point", ["before", "after"])
def test_a_death_while_everyone_is_charged_loses_no_charge(point: str) -> None:
    place = Place()
    place.night(DAY)
    place.lose_journal()
    place.journal.dies = point
    with pytest.raises(KeyboardInterrupt):
        place.ledger.charge_everyone({PIPELINE: SPEC}, *days(1, 2))
    place.journal.dies = ""
    if point == "before":
        place.ledger.charge_everyone({PIPELINE: SPEC}, *days(1, 2))
    else:
        assert place.ledger.recover(here).rows == 1
    place.ledger.verify()
    place.night(days(3, 3)[0])
    assert [row.stage for row in place.ledger.history()].count("lost") == 1


def test_a_backup_from_before_everyone_was_charged_learns_from_the_new_journal() -> None:
    place = Place()
    place.night(DAY)
    backup = place.copy()
    place.lose_journal()
    place.ledger.charge_everyone({PIPELINE: SPEC}, *days(1, 2))
    place.night(days(3, 3)[0])
    known, rows = place.spent(), place.ledger.history()
    place.put_back(backup)
    with pytest.raises(ShouldRepairLedger, match="an older backup was restored"):
        place.night(days(4, 4)[0])
    assert place.ledger.standing() is JournalStanding.BEHIND
    place.ledger.recover(here)
    assert place.spent() == pytest.approx(known)
    assert place.ledger.history() == rows
    assert place.ledger.recover(here).rows == 0
    place.night(days(4, 4)[0])


@pytest.mark.parametrize("rotated", [False, True])
def test_a_journal_that_began_after_a_rotation_teaches_backups_of_then(rotated: bool) -> None:
    place = Place()
    place.night(DAY)
    backup = place.copy()
    place.rotate("", "f")
    place.night(days(2, 2)[0], epoch="f")
    if rotated:
        backup = place.copy()
    place.lose_journal()
    place.ledger.charge_everyone({PIPELINE: SPEC}, *days(2, 3))
    place.night(days(4, 4)[0], epoch="f")
    known = place.spent("f")
    place.put_back(backup)
    with pytest.raises(ShouldRepairLedger, match="privacy recover"):
        place.ledger.follow_journal()
    done = place.ledger.recover(here)
    if not rotated:
        assert done.waits_for_key == "key-f"
        place.rotate("", "f")
        done = place.ledger.recover(here)
    assert done.rows > 0
    assert place.spent("f") == pytest.approx(known)
    place.ledger.verify()


@pytest.mark.parametrize("number", [1, 2, 4])
def test_verifying_reads_the_whole_journal(number: int) -> None:
    place = Place()
    place.night(DAY)
    data = bytearray(place.journal.read(name_of(number)))
    data[-9] ^= 1
    place.journal.records[name_of(number)] = bytes(data)
    with pytest.raises(ShouldRepairLedger, match=f"{number:010d}"):
        place.ledger.verify()


def test_what_a_ledger_is_to_a_journal() -> None:
    place, other = Place(), Place()
    assert place.ledger.standing() is JournalStanding.CURRENT
    place.night(DAY)
    older = place.copy()
    place.night(days(2, 2)[0])
    assert place.ledger.standing() is JournalStanding.CURRENT
    mine, place.journal = place.journal, other.journal
    assert place.ledger.standing() is JournalStanding.OTHER
    place.journal = MemorySpendJournal()
    assert place.ledger.standing() is JournalStanding.OTHER
    place.journal = mine
    place.put_back(older)
    assert place.ledger.standing() is JournalStanding.BEHIND
    other.journal = mine
    assert other.ledger.standing() is JournalStanding.OTHER
