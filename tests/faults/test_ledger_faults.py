"""The ledger under kill -9 at every step, and with two processes at once.

Children are forked, so that each death is a real one and costs no imports.
"""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import ReleaseRequest
from everloop.loops import load
from everloop.privacy import plan
from everloop.privacy.ledger import Ledger
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.ledger_store import SqlLedgerStore, SqlLedgerTransaction

SPEC = load("companion")
SAMPLED = SPEC.model_copy(
    update={"privacy": SPEC.privacy.model_copy(update={"sampling_rate": 0.1, "steps": 100})}
)
DAY = date(2026, 3, 1)
PEOPLE = tuple(f"{number:064x}" for number in range(150))
FIRST_FIT = plan.night_mu_squared(SPEC, "user_model", first=True)
FIRST_SAMPLED = plan.night_mu_squared(SAMPLED, "user_model", first=True)
plan.night_mechanism(SAMPLED, "user_model", first=True)  # found once, before any child is forked
Answer = tuple[str, str, int]


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


def open_ledger(database: Path) -> Ledger:
    return Ledger(SqlLedgerStore(open_workspace_database(database)), bytes(32), Clock())


def charged(database: Path) -> dict[str, float]:
    with SqlLedgerStore(open_workspace_database(database)).transaction() as ledger:
        return dict(ledger.spent(PEOPLE, date.min, date.max)[1])


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str) -> None:
    """Make this process die before or after a method of the ledger's storage: ``append:before``."""
    name, _, when = step.partition(":")
    real = getattr(SqlLedgerTransaction, name)

    def deadly(self: SqlLedgerTransaction, *arguments: object) -> None:
        if when == "before":
            die()
        real(self, *arguments)
        die()

    setattr(SqlLedgerTransaction, name, deadly)


def make_a_release(
    database: Path, step: str, day: date, gate: int | None, out: int, spec: LoopSpec
) -> None:
    if ":" in step:
        arm(step)
    ledger = open_ledger(database)
    if gate is not None:
        os.read(gate, 1)
    mechanism = ledger.night_mechanism(spec, "p", "user_model", day)
    asked = ReleaseRequest("p", day, "user_model", "c", "d", mechanism)
    made = ledger.reserve(asked, PEOPLE, spec, 100)
    said = json.dumps([made.release_id, made.noise_seed.hex(), len(made.admitted)])
    if step == "between":
        os.write(out, said.encode())
        die()
    if made.stored_url is None:
        ledger.complete(made.release_id, f"blob:{made.release_id}", "a" * 64)
    os.write(out, said.encode())


class Child:
    """A forked process that makes one release; ``gate`` is a pipe it waits at."""

    def __init__(
        self,
        database: Path,
        step: str = "",
        day: date = DAY,
        gate: int | None = None,
        spec: LoopSpec = SPEC,
    ) -> None:
        self._read, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                make_a_release(database, step, day, gate, write, spec)
                status = 0
            finally:
                os._exit(status)
        os.close(write)

    def end(self) -> tuple[Answer | None, int]:
        """(what it said before it ended, the signal that killed it or 0)."""
        with os.fdopen(self._read) as pipe:
            said = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return (tuple(json.loads(said)) if said else None), killed_by


@pytest.mark.parametrize(
    "step", ["append:before", "append:after", "charge:after", "seal:before", "seal:after"]
)
def test_killed_while_reserving_nothing_is_charged(tmp_path: Path, step: str) -> None:
    database = tmp_path / "state.db"
    assert Child(database, step).end() == (None, signal.SIGKILL)
    assert charged(database) == {}
    assert open_ledger(database).verify() == 0
    said, killed_by = Child(database).end()
    assert (said is not None, killed_by) == (True, 0)
    assert charged(database) == pytest.approx(dict.fromkeys(PEOPLE, FIRST_FIT))


def test_killed_before_completing_it_resumes_with_the_same_noise(tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    before, killed_by = Child(database, "between").end()
    assert killed_by == signal.SIGKILL
    assert charged(database) == pytest.approx(dict.fromkeys(PEOPLE, FIRST_FIT))
    assert Child(database).end() == (before, 0)
    assert charged(database) == pytest.approx(dict.fromkeys(PEOPLE, FIRST_FIT))
    assert open_ledger(database).verify() == 2


@pytest.mark.parametrize("step", ["store_output:before", "store_output:after", "unseal:after"])
def test_killed_while_completing_it_resumes(tmp_path: Path, step: str) -> None:
    database = tmp_path / "state.db"
    assert Child(database, step).end() == (None, signal.SIGKILL)
    ledger = open_ledger(database)
    assert ledger.verify() == 1
    assert ledger.latest_release("p", "user_model", DAY) is None
    assert Child(database).end()[1] == 0
    assert open_ledger(database).verify() == 2
    assert charged(database) == pytest.approx(dict.fromkeys(PEOPLE, FIRST_FIT))


@pytest.mark.parametrize(
    "step",
    ["append:before", "append:after", "charge:before", "charge:after", "seal:before", "seal:after"],
)
def test_killed_while_reserving_a_subsampled_release(tmp_path: Path, step: str) -> None:
    database = tmp_path / "state.db"
    assert Child(database, step, spec=SAMPLED).end() == (None, signal.SIGKILL)
    assert charged(database) == {}
    assert open_ledger(database).verify() == 0
    before, killed_by = Child(database, "between", spec=SAMPLED).end()
    assert (before is not None, killed_by) == (True, signal.SIGKILL)
    assert Child(database, "unseal:before", spec=SAMPLED).end() == (None, signal.SIGKILL)
    assert Child(database, spec=SAMPLED).end() == (before, 0)
    assert charged(database) == pytest.approx(dict.fromkeys(PEOPLE, FIRST_SAMPLED), rel=1e-6)
    (row, _) = open_ledger(database).history()
    assert row.mechanism["kind"] == "subsampled_gaussian"
    assert row.rdp is not None
    assert open_ledger(database).verify() == 2


def test_processes_of_both_kinds_share_one_budget(tmp_path: Path) -> None:
    """A first fit of each kind and three later nights of each, all at once."""
    database = tmp_path / "state.db"
    open_ledger(database)
    gate, opener = os.pipe()
    days = [DAY.replace(day=day) for day in range(1, 5)]
    racers = [
        Child(database, day=day, gate=gate, spec=SAMPLED if day.day % 2 else SPEC) for day in days
    ]
    os.write(opener, b"go" * len(days))
    assert [racer.end()[1] for racer in racers] == [0] * len(days)
    os.close(gate)
    os.close(opener)
    ledger = open_ledger(database)
    assert ledger.verify() == 8
    assert ledger.status(SAMPLED, days[-1]).epsilon_period <= 1.0


def race(database: Path, days: tuple[date, ...]) -> list[Answer | None]:
    open_ledger(database)
    gate, opener = os.pipe()
    racers = [Child(database, day=day, gate=gate) for day in days]
    os.write(opener, b"go" * len(days))
    ended = [racer.end() for racer in racers]
    os.close(gate)
    os.close(opener)
    assert [killed_by for _, killed_by in ended] == [0] * len(days)
    return [said for said, _ in ended]


def test_processes_at_once_pay_once(tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    answers = race(database, (DAY,) * 4)
    assert len({said[0] for said in answers if said}) == 1
    assert charged(database) == pytest.approx(dict.fromkeys(PEOPLE, FIRST_FIT))
    assert open_ledger(database).verify() == 2


def test_processes_on_several_dates_stay_within_the_budget(tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    answers = race(database, tuple(DAY.replace(day=day) for day in range(1, 5)))
    assert len({said[0] for said in answers if said}) == 4
    assert max(charged(database).values()) <= plan.budget_mu_squared(SPEC.privacy)
    assert open_ledger(database).verify() == 8
