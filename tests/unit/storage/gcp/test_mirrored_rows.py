"""What the mirror compares with the database, and the files that rows wait in."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from everloop.contracts.episodes import Consent, Dispute
from everloop.storage.gcp.bigquery import log_rows
from everloop.storage.gcp.bigquery.row_files import FOLDER, RowFiles, sweep
from everloop.storage.gcp.bigquery.tables import CONSENTS, DISPUTES, EPISODES, MIRRORED, Table
from everloop.storage.schema import consents, disputes
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.engine import open_database, reading, writing
from everloop.storage.sql.event_log import SqlEventLog
from tests.log_records import ANN, BEN, NOON, SetClock, episode
from tests.log_records import signal as given

ENDS = {"episodes": 9, "signals": 9, "revisions": 9, "reviews": 9}
CAL = "c" * 64
KEY = "EVERLOOP_PSEUDONYM_KEY"


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else ""
    found = open_database(url, tmp_path / "state.db")
    log = SqlEventLog(found, SetClock())
    log.append_batch([episode(1), episode(2, user_id=BEN)], [given(1), given(2, of=2)])
    for person, granted in ((ANN, True), (BEN, False), (CAL, True)):
        log.record_consent(Consent(person, "train", granted, NOON))
    log.record_dispute(Dispute(given(1).signal_id, "no", NOON, "open"))
    return found


def seen(engine: Engine, table: Table) -> Any:
    with reading(engine) as connection:
        return log_rows.blocks_of(connection, table, "default", 9)


def tail(engine: Engine) -> str:
    with reading(engine) as connection:
        return log_rows.tail_of(connection, "default", ENDS)


CHANGES: dict[str, tuple[Table, Any]] = {
    "granted": (CONSENTS, update(consents).where(consents.c.revision == 3).values(granted=False)),
    "purpose": (CONSENTS, update(consents).where(consents.c.revision == 3).values(purpose="ads")),
    "when": (
        CONSENTS,
        update(consents)
        .where(consents.c.revision == 3)
        .values(recorded_at=NOON + timedelta(seconds=1)),
    ),
    "status": (DISPUTES, update(disputes).values(status="rejected")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_people_who_said_something_else_are_other_rows(
    engine: Engine, change: str
) -> None:
    table, statement = CHANGES[change]
    before, ended = seen(engine, table), tail(engine)
    with writing(engine) as connection:
        connection.execute(statement)
    assert seen(engine, table) != before
    assert tail(engine) != ended


def test_what_two_revisions_say_cannot_be_exchanged(engine: Engine) -> None:
    """Both sides have one refusal and two consents, of the same people each time."""
    before = seen(engine, CONSENTS)
    with writing(engine) as connection:
        for revision, granted in ((1, False), (2, True)):
            ours = consents.c.revision == revision
            connection.execute(update(consents).where(ours).values(granted=granted))
    assert seen(engine, CONSENTS) != before


def test_a_consent_s_sum_is_what_its_columns_say(engine: Engine) -> None:
    """By hand: four characters in base 256, the answer and the microseconds, each below CODES."""

    def code(text: str) -> int:
        return int.from_bytes(text[:4].encode(), "big")

    def row(person: str, granted: int) -> int:
        total = 0
        for column in (code(person), code("train"), granted, round(NOON.timestamp()) * 10**6):
            total = total * log_rows.FACTOR + column % log_rows.CODES
        return total

    wanted = 2 * row(ANN, 1) + 3 * row(BEN, 0) + 4 * row(CAL, 1)
    assert seen(engine, CONSENTS) == {0: (3, wanted, 0)}
    assert all(seen(engine, table) is not None for table in MIRRORED)


@pytest.mark.parametrize("action", ["backup.restore", "privacy.recover"])
def test_a_database_is_another_after_every_restore(engine: Engine, action: str) -> None:
    marks = []
    for turn in range(3):
        with writing(engine) as connection:
            append_audit(connection, "default", "key:a", "backup.create", "other", 0, {}, NOON)
            if turn:
                append_audit(connection, "default", "key:a", action, "same", 0, {}, NOON)
            marks.append(log_rows.log_mark(connection, "default", KEY).pseudonym_key)
    assert marks[0] == ""
    assert len(set(marks)) == 3


def _left(home: Path, ready: Any) -> None:
    with RowFiles(home, "default") as files:
        files.file(EPISODES).write_text(ANN)
        ready.set()
        signal.pause()


def test_rows_wait_in_the_workspace_and_leave_with_a_killed_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_left, args=(tmp_path, ready))
    process.start()
    assert ready.wait(30)
    rows = list((tmp_path / FOLDER).rglob("*.parquet"))
    assert [path.read_text() for path in rows] == [ANN]
    sweep(tmp_path)
    assert rows[0].exists()  # its process lives
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    with RowFiles(tmp_path, "acme") as own:
        own.file(EPISODES).write_text(BEN)
        sweep(tmp_path)
        assert [path.read_text() for path in tmp_path.rglob("*.parquet")] == [BEN]
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_folder_that_has_no_lock_yet_is_left_to_its_process(tmp_path: Path) -> None:
    begun = tmp_path / FOLDER / "begun"
    begun.mkdir(parents=True)
    sweep(tmp_path)
    assert begun.exists()
    os.utime(begun, (0, 0))
    sweep(tmp_path)
    assert not begun.exists()
