"""The spending journal under kill -9 at every step, older databases put back, and damage."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, text

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldKeepRelease,
    ShouldRepairLedger,
)
from everloop.contracts.ports import Reservation
from everloop.contracts.privacy import ReleaseRequest
from everloop.loops import load
from everloop.privacy import plan, recovery
from everloop.privacy.journal_records import decoded, name_of
from everloop.privacy.ledger import Ledger
from everloop.storage.ledger_tables import privacy_charges
from everloop.storage.local.journal import FolderJournal
from everloop.storage.sql.engine import open_workspace_database, writing
from everloop.storage.sql.ledger_store import SqlLedgerStore, SqlLedgerTransaction

SPEC = load("companion")
DAY = date(2026, 3, 1)
PEOPLE = tuple(f"{number:064x}" for number in range(120))
LATER = tuple(f"{number:064x}" for number in range(60, 200))
KEY = bytes(32)


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


class Place:
    """A database and its journal, opened anew each time as another process does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "state.db"
        self.journal = folder / "elsewhere"

    @property
    def engine(self) -> Engine:
        return open_workspace_database(self.database)

    @property
    def ledger(self) -> Ledger:
        journal = FolderJournal(self.journal)
        return Ledger(SqlLedgerStore(self.engine), KEY, Clock(), (), journal)

    def reserve(self, night: int, people: tuple[str, ...] = PEOPLE) -> Reservation:
        on = DAY + timedelta(days=night)
        mechanism = self.ledger.night_mechanism(SPEC, "companion/default", "user_model", on)
        asked = ReleaseRequest("companion/default", on, "user_model", "c", "d", mechanism)
        return self.ledger.reserve(asked, people, SPEC, 1)

    def night(self, night: int, people: tuple[str, ...] = PEOPLE) -> Reservation:
        made = self.reserve(night, people)
        self.ledger.complete(made.release_id, f"blob:{night}", "a" * 64)
        return made

    def totals(self) -> dict[str, float]:
        with SqlLedgerStore(self.engine).transaction() as ledger:
            return dict(ledger.spent((*PEOPLE, *LATER), date.min, date.max)[1])

    def keep_copy(self) -> Path:
        with writing(self.engine):
            pass
        copy = self.folder / "older.db"
        with self.engine.connect() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        shutil.copy(self.database, copy)
        return copy

    def put_back(self, copy: Path) -> None:
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.copy(copy, self.database)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def here(url: str, sha256: str) -> bool:
    return True


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(place: Place, arm: Callable[[], None]) -> None:
    """Reserve the second night in a process that dies where ``arm`` says."""
    child = os.fork()
    if child == 0:
        try:
            arm()
            place.reserve(1, LATER)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def after(real: Callable[..., object]) -> Callable[..., object]:
    def deadly(*arguments: object) -> object:
        real(*arguments)
        die()
        return None

    return deadly


def before_the_row() -> None:
    SqlLedgerTransaction.append = die  # type: ignore[method-assign]


def before_the_commit() -> None:
    deadly = after(SqlLedgerTransaction.seal)
    SqlLedgerTransaction.seal = deadly  # type: ignore[method-assign, assignment]


def before_the_journal() -> None:
    FolderJournal.write = die  # type: ignore[method-assign]


def within_the_journal() -> None:
    os.link = die


def after_the_journal() -> None:
    FolderJournal.write = after(FolderJournal.write)  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    "arm",
    [
        before_the_row,
        before_the_commit,
        before_the_journal,
        within_the_journal,
        after_the_journal,
    ],
)
def test_killed_anywhere_it_may_over_count_and_never_forgets(
    place: Place, arm: Callable[[], None]
) -> None:
    place.night(0)
    one_night = place.totals()
    older = place.keep_copy()
    killed_at(place, arm)
    charged_at_death = place.totals() != one_night
    resumed = place.reserve(1, LATER)
    full = place.totals()
    assert place.reserve(1, LATER).noise_seed == resumed.noise_seed
    assert place.totals() == full
    place.put_back(older)
    with pytest.raises(ShouldRepairLedger, match="privacy recover"):
        place.reserve(2)
    assert place.ledger.recover(here).rows == 1
    assert place.totals() == full
    assert charged_at_death == (arm in {before_the_journal, within_the_journal, after_the_journal})


def test_an_older_database_makes_no_release_until_it_knows(place: Place) -> None:
    place.night(0)
    older = place.keep_copy()
    for night in (1, 2, 3):
        place.night(night, LATER if night == 2 else PEOPLE)
    place.reserve(4)
    known, rows = place.totals(), place.ledger.history()
    place.put_back(older)
    for refused in (
        lambda: place.reserve(5),
        lambda: place.reserve(0),
        place.ledger.verify,
        lambda: place.ledger.complete(rows[0].release_id, "blob:0", "a" * 64),
    ):
        with pytest.raises(ShouldRepairLedger, match="an older backup was restored"):
            refused()
    lost = place.ledger.recover(lambda url, sha256: url != "blob:2")
    assert (lost.rows, len(lost.lost_outputs)) == (7, 1)
    assert place.totals() == pytest.approx(known)
    assert place.ledger.history() == rows
    assert place.ledger.recover(lambda url, sha256: url != "blob:2").rows == 0
    on = DAY + timedelta(days=2)
    latest = place.ledger.latest_release("companion/default", "user_model", on)
    assert latest is not None
    assert latest[1] == "blob:1"
    assert place.reserve(1).stored_url == "blob:1"
    for night, why in ((2, "output was lost"), (4, "noise is not known")):
        with pytest.raises(ShouldKeepRelease, match=why):
            place.reserve(night, LATER if night == 2 else PEOPLE)
    assert place.totals() == pytest.approx(known)
    assert place.ledger.recover(here).found_outputs == lost.lost_outputs
    assert place.reserve(2, LATER).stored_url == "blob:2"
    place.night(5)
    assert place.ledger.verify() == len(rows) + 2


def test_what_follows_a_recovery_can_be_recovered_too(place: Place) -> None:
    place.night(0)
    older = place.keep_copy()
    place.night(1, LATER)
    place.put_back(older)
    place.ledger.recover(here)
    place.night(2)
    known = place.totals()
    place.put_back(older)
    assert place.ledger.recover(here).rows == 4
    assert place.totals() == pytest.approx(known)


def test_a_ledger_from_before_its_journal_gets_one_with_all_of_it(place: Place) -> None:
    bare = Ledger(SqlLedgerStore(place.engine), KEY, Clock())
    mechanism = bare.night_mechanism(SPEC, "companion/default", "user_model", DAY)
    asked = ReleaseRequest("companion/default", DAY, "user_model", "c", "d", mechanism)
    empty = place.keep_copy()
    bare.reserve(asked, PEOPLE, SPEC, 1)
    place.ledger.follow_journal()
    known = place.totals()
    place.put_back(empty)
    with pytest.raises(ShouldRepairLedger, match="privacy recover"):
        place.reserve(1)
    assert place.ledger.recover(here).charged == len(PEOPLE)
    assert place.totals() == known


def test_a_journal_that_is_gone_stops_every_release(place: Place) -> None:
    place.night(0)
    place.journal.rename(place.folder / "gone")
    for refused in (lambda: place.reserve(1), lambda: place.ledger.recover(here)):
        with pytest.raises(ShouldRepairLedger, match="charge-everyone-since"):
            refused()
    (place.folder / "gone").rename(place.journal)
    place.night(1)


def test_another_workspaces_journal_is_refused(place: Place) -> None:
    place.night(0)
    other = Place(place.folder / "other")
    other.night(0)
    other.night(1)
    shutil.rmtree(place.journal)
    shutil.copytree(other.journal, place.journal)
    for refused in (lambda: place.reserve(1), lambda: place.ledger.recover(here)):
        with pytest.raises(ShouldRepairLedger, match="EVERLOOP_LEDGER_JOURNAL"):
            refused()


def test_two_copies_of_a_workspace_do_not_go_two_ways(place: Place) -> None:
    place.night(0)
    copy = place.keep_copy()
    place.reserve(1)
    place.put_back(copy)
    forked = Ledger(SqlLedgerStore(place.engine), KEY, Clock())
    mechanism = forked.night_mechanism(SPEC, "companion/default", "user_model", DAY)
    asked = ReleaseRequest("companion/default", DAY, "profiles", "c", "d", mechanism)
    forked.reserve(asked, PEOPLE, SPEC, 1)
    for refused in (lambda: place.reserve(2), lambda: place.ledger.recover(here)):
        with pytest.raises(ShouldRepairLedger, match="other histories"):
            refused()


def damaged_content(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b'"known":120', b'"known":121'))


def damaged_checksum(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("harm", [damaged_content, damaged_checksum, Path.unlink])
@pytest.mark.parametrize("number", [2, 3, 5])
def test_a_damaged_journal_teaches_nothing(
    place: Place, harm: Callable[[Path], None], number: int
) -> None:
    place.ledger.follow_journal()
    older = place.keep_copy()
    place.night(0)
    place.night(1)
    harm(place.journal / name_of(number))
    place.put_back(older)
    if harm is Path.unlink and number == 5:  # its end is what nothing can tell from never written
        return
    with pytest.raises(ShouldRepairLedger, match="journal"):
        place.ledger.recover(here)
    assert place.totals() == {}


def test_the_journal_holds_no_seed_and_no_person_twice(place: Place) -> None:
    made = place.reserve(0)
    place.night(1, LATER)
    with SqlLedgerStore(place.engine).transaction() as ledger:
        sealed = ledger.sealed(made.release_id)
    told = b"".join(path.read_bytes() for path in sorted(place.journal.rglob("*.json")))
    assert sealed is not None
    for secret in (made.noise_seed, sealed):
        assert secret.hex().encode() not in told
        assert secret not in told
    assert all(told.count(f',"{person}"]'.encode()) == 1 for person in {*PEOPLE, *LATER})
    record = decoded((place.journal / name_of(4)).read_bytes(), "the fourth")
    assert len(place.journal.joinpath(name_of(3)).read_bytes()) < 12_000
    assert record.known == 200


def test_a_full_disk_of_the_journal_answers_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.night(0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        with pytest.raises(ShouldFreeDisk):
            place.reserve(1)
        with pytest.raises(ShouldFreeDisk):
            place.reserve(1)
    made = place.reserve(1)
    assert made.noise_seed == place.reserve(1).noise_seed
    assert len(list(place.journal.rglob("*.json"))) == 4


def test_where_everything_is_lost_everyone_pays_the_most(place: Place) -> None:
    place.night(0)
    older = place.keep_copy()
    for night in (1, 2, 3):
        place.night(night, LATER)
    truth = place.totals()
    shutil.rmtree(place.journal)
    place.put_back(older)
    since, until = DAY, DAY + timedelta(days=3)
    with pytest.raises(ShouldFixArgument, match="No loop"):
        place.ledger.charge_everyone({}, since, until)
    (row,) = place.ledger.charge_everyone({"companion/default": SPEC}, since, until)
    assert row.stage == recovery.LOST_STAGE
    found = place.totals()
    assert all(found[person] >= truth[person] for person in PEOPLE)
    with pytest.raises(ShouldKeepRelease, match="was lost"):
        place.reserve(3)
    with pytest.raises(ShouldFixArgument, match="There is a journal"):
        place.ledger.charge_everyone({"companion/default": SPEC}, since, until)
    made = place.reserve(4, LATER)
    found = place.totals()
    strangers = set(LATER) - set(PEOPLE)
    assert strangers <= set(made.admitted)
    cost = made.row.mu_squared
    assert all(found[person] >= truth[person] + cost for person in LATER)
    known = place.totals()
    place.reserve(5, LATER)
    assert all(place.totals()[person] - known[person] <= 2 * cost for person in LATER), (
        "strangers pay for lost nights once"
    )
    place.ledger.verify()
    place.ledger.status(SPEC, DAY + timedelta(days=5))
    place.ledger.plan(SPEC, "companion/default", DAY + timedelta(days=6))
    assert row.mu_squared <= plan.budget_mu_squared(SPEC.privacy)


def test_lost_nights_cannot_be_more_than_a_period(place: Place) -> None:
    place.night(0)
    shutil.rmtree(place.journal)
    loops = {"companion/default": SPEC}
    with pytest.raises(ShouldFixArgument, match="days"):
        place.ledger.charge_everyone(loops, DAY, DAY + timedelta(days=400))
    with pytest.raises(ShouldFixArgument, match="days"):
        place.ledger.charge_everyone(loops, DAY, DAY - timedelta(days=1))


def test_rotated_people_are_charged_by_their_new_names(place: Place) -> None:
    place.night(0)
    older = place.keep_copy()
    place.night(1)
    moved = {person: f"f{person[1:]}" for person in PEOPLE}
    place.ledger.rename(moved, "new-key")
    renamed = tuple(moved[person] for person in PEOPLE[:50])
    place.night(2, (*renamed, "e" * 64))
    with SqlLedgerStore(place.engine).transaction() as ledger:
        known = dict(ledger.spent((*moved.values(), "e" * 64), date.min, date.max)[1])
    place.put_back(older)
    with pytest.raises(ShouldFixArgument, match="before its people are renamed"):
        place.ledger.rename(moved, "new-key")
    assert place.ledger.recover(here).waits_for_key == "new-key"
    with pytest.raises(ShouldRepairLedger):
        place.reserve(3)
    with pytest.raises(ShouldFixArgument, match="pseudonym key new-key"):
        place.ledger.rename(moved, "another-key")
    place.ledger.rename(moved, "new-key")
    assert place.ledger.recover(here).rows == 2
    with SqlLedgerStore(place.engine).transaction() as ledger:
        found = dict(ledger.spent((*moved.values(), "e" * 64), date.min, date.max)[1])
    assert found == pytest.approx(known)
    place.ledger.verify()


def test_a_ledger_key_that_was_rotated_meanwhile_is_needed_and_enough(place: Place) -> None:
    place.night(0)
    older = place.keep_copy()
    journal = FolderJournal(place.journal)
    rotated = Ledger(SqlLedgerStore(place.engine), b"k" * 32, Clock(), (KEY,), journal)
    on = DAY + timedelta(days=1)
    mechanism = rotated.night_mechanism(SPEC, "companion/default", "user_model", on)
    asked = ReleaseRequest("companion/default", on, "user_model", "c", "d", mechanism)
    rotated.reserve(asked, PEOPLE, SPEC, 1)
    known = place.totals()
    place.put_back(older)
    store = SqlLedgerStore(place.engine)
    with pytest.raises(Exception, match="EVERLOOP_LEDGER_KEY_PREVIOUS"):
        Ledger(store, KEY, Clock(), (), journal).recover(here)
    assert Ledger(store, b"k" * 32, Clock(), (KEY,), journal).recover(here).rows == 1
    assert place.totals() == known


def test_a_journal_cannot_lower_what_somebody_spent(place: Place) -> None:
    """A database that lost a charge does not verify, whatever the journal says."""
    place.night(0)
    with writing(place.engine) as connection:
        connection.execute(text("DROP TRIGGER privacy_charges_no_delete"))
        connection.execute(delete(privacy_charges))
    with pytest.raises(ShouldRepairLedger):
        place.reserve(1)
