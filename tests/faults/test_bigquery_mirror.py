"""The mirror of the log: repeated, killed, raced, and never holding who was erased."""

from __future__ import annotations

import multiprocessing
import os
import signal as signals
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from everloop.contracts.episodes import Consent, Dispute
from everloop.contracts.errors import ShouldRetryLater
from everloop.settings.cloud import BigQueryTables
from everloop.storage.mirrored_people import MirroredPersonStore
from everloop.storage.service_tables import key_fingerprints
from everloop.storage.sql.engine import open_database, writing
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.people import SqlPersonStore
from tests.conformance.test_person_store import ACTOR, LATER, PLANTED, fill, implied
from tests.feedback_records import feedback, interaction, put
from tests.log_records import ANN, BEN, NOON, TYPES, SetClock, episode, signal, uuid_of

pytestmark = [pytest.mark.gcp, pytest.mark.timeout(900)]
KEY = "EVERLOOP_PSEUDONYM_KEY"
SMALL = {"episodes": 4, "signals": 4, "revisions": 2, "reviews": 2}
DORA = "d" * 64


class Mirrored:
    """A database, its mirror, and what both hold."""

    def __init__(self, home: Path, place: BigQueryTables) -> None:
        from everloop.storage.gcp.bigquery.jobs import Jobs
        from everloop.storage.gcp.bigquery.mirror import Mirror

        home.mkdir(exist_ok=True)
        self.home = home
        self.engine = open_database("", home / "state.db")
        self.log = SqlEventLog(self.engine, SetClock())
        self.jobs = Jobs(place, patience=10.0)
        self.mirror = Mirror(self.engine, self.jobs, KEY, home, SMALL)
        self.own = SqlPersonStore(self.engine, home)
        self.people = MirroredPersonStore(
            self.own, lambda tenant: self.mirror.sync(tenant, erasures_only=True)
        )

    def there(self, table: str) -> list[dict[str, Any]]:
        """A mirrored table's rows."""
        rows = self.jobs.run(f"SELECT * FROM {self.jobs.path(table)}", {}, {})
        return [dict(row.items()) for row in rows]

    def everything(self) -> str:
        """All that the dataset holds, stages too, as text."""
        names = self.jobs.stages("")
        return "\n".join(str(self.there(name)) for name in names)

    def agree(self) -> None:
        """Both sides hold the same rows, once each."""
        import pyarrow.parquet as pq

        from everloop.storage.gcp.bigquery.log_rows import write_numbers
        from everloop.storage.gcp.bigquery.tables import MIRRORED
        from everloop.storage.sql.engine import reading

        for table in MIRRORED:
            here: list[dict[str, Any]] = []
            for tenant in self.mirror.tenants():
                path = self.home / "rows.parquet"
                with reading(self.engine) as connection:
                    found = write_numbers(connection, table, tenant, 0, 10**9, path)
                here += pq.read_table(found.path).to_pylist() if found.path else []
            key = lambda row: (row["tenant"], row[table.number])  # noqa: B023, E731
            assert sorted(self.there(table.name), key=key) == sorted(here, key=key), table.name
        assert self.jobs.stages("stage_") == ()


@pytest.fixture
def mirrored(tmp_path: Path, bigquery_place: BigQueryTables) -> Iterator[Mirrored]:
    opened = Mirrored(tmp_path, bigquery_place)
    yield opened
    opened.jobs.close()


def talk(log: SqlEventLog, first: int, count: int, person: str = ANN) -> None:
    numbers = range(first, first + count)
    log.append_batch(
        [episode(n, user_id=person) for n in numbers], [signal(n, of=n) for n in numbers]
    )


def test_what_is_new_is_brought_over_and_nothing_twice(mirrored: Mirrored) -> None:
    talk(mirrored.log, 0, 10)
    done = mirrored.mirror.sync()
    assert done.loaded == {"training_episodes": 10, "reward_signals": 10}
    mirrored.agree()
    assert mirrored.mirror.sync().loaded == {}
    talk(mirrored.log, 10, 3, BEN)
    mirrored.log.append_episodes([episode(1, tenant="acme")])
    mirrored.log.record_consent(Consent(ANN, "train", False, NOON))
    assert mirrored.mirror.sync().loaded == {
        "training_episodes": 3,
        "reward_signals": 3,
        "consents": 1,
    }
    assert mirrored.mirror.sync("acme").loaded == {"training_episodes": 1}
    mirrored.agree()


def test_who_is_erased_is_nowhere_in_the_dataset(mirrored: Mirrored) -> None:
    """Ann's own rows, what others' decisions say of her, and what she taught of Ben's decision."""
    store: Any = mirrored
    fill(store, ANN, 1)
    fill(store, BEN, 11)
    put(
        mirrored.engine,
        episode(30, user_id=BEN, action_arguments={"with": ANN}),
        interaction(40, user_id=BEN, episode_id=uuid_of(11)),
        feedback(41, of=40, user_id=ANN),
        signal(41, of=11, signal_id=implied(41), signal_type=TYPES[1]),
    )
    talk(mirrored.log, 60, 6, DORA)
    mirrored.mirror.sync()
    before = mirrored.everything()
    for trace in (ANN, uuid_of(1), uuid_of(1, "signal"), implied(41)):
        assert trace in before
    mirrored.people.erase(ANN, ACTOR, LATER)
    after = mirrored.everything()
    for trace in (ANN, uuid_of(1), uuid_of(2), uuid_of(1, "signal"), implied(41), PLANTED):
        assert trace not in after
    assert {BEN, DORA} <= {row["user_id"] for row in mirrored.there("training_episodes")}
    assert "erased" in after
    mirrored.agree()


def test_an_erasure_that_the_mirror_missed_is_followed_before_anything_else(
    mirrored: Mirrored,
) -> None:
    talk(mirrored.log, 0, 4)
    talk(mirrored.log, 4, 4, BEN)
    mirrored.mirror.sync()
    mirrored.own.erase(ANN, ACTOR, LATER)
    talk(mirrored.log, 20, 2, ANN)  # who comes back is somebody new
    assert mirrored.mirror.sync().repaired.keys() == {"training_episodes", "reward_signals"}
    mirrored.agree()


def test_a_stage_that_a_killed_process_left_is_swept_by_an_erasure(mirrored: Mirrored) -> None:
    from everloop.storage.gcp.bigquery.log_rows import write_numbers
    from everloop.storage.gcp.bigquery.staging import Staging
    from everloop.storage.gcp.bigquery.tables import EPISODES
    from everloop.storage.sql.engine import reading

    talk(mirrored.log, 0, 4)
    left = Staging(mirrored.jobs, "default", {})
    left.__enter__()
    rows = mirrored.home / "rows.parquet"
    with reading(mirrored.engine) as connection:
        write_numbers(connection, EPISODES, "default", 0, 10, rows)
    stage = left.load(rows, EPISODES)
    assert ANN in mirrored.everything()
    mirrored.mirror.sync()
    mirrored.people.erase(ANN, ACTOR, LATER)
    assert stage not in mirrored.jobs.stages("stage_")
    assert ANN not in mirrored.everything()


def test_an_erasure_is_not_told_as_done_while_the_mirror_is_away(mirrored: Mirrored) -> None:
    talk(mirrored.log, 0, 2)
    mirrored.mirror.sync()

    def away(tenant: str) -> None:
        raise ShouldRetryLater("BigQuery could not be reached.", "Repeat.")

    with pytest.raises(ShouldRetryLater, match="has not followed"):
        MirroredPersonStore(mirrored.own, away).erase(ANN, ACTOR, LATER)
    assert ANN in mirrored.everything()
    mirrored.people.erase(ANN, ACTOR, LATER)
    assert ANN not in mirrored.everything()


def test_rows_read_before_an_erasure_do_not_come_back(
    mirrored: Mirrored, bigquery_place: BigQueryTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process reads Ann's rows, sleeps through her erasure, and goes on."""
    from everloop.storage.gcp.bigquery.state import MirrorStates

    talk(mirrored.log, 0, 3, BEN)
    mirrored.mirror.sync()
    talk(mirrored.log, 3, 3)
    real = MirrorStates.change
    slept: list[bool] = []

    def sleeping(self: MirrorStates, *arguments: Any) -> None:
        if not slept:
            slept.append(True)
            other = Mirrored(mirrored.home, bigquery_place)
            other.people.erase(ANN, ACTOR, LATER)
            other.jobs.close()
        real(self, *arguments)

    monkeypatch.setattr(MirrorStates, "change", sleeping)
    mirrored.mirror.sync()
    assert slept
    assert ANN not in mirrored.everything()
    mirrored.agree()


def test_two_at_once_give_one_mirror(mirrored: Mirrored, bigquery_place: BigQueryTables) -> None:
    talk(mirrored.log, 0, 11)
    others = [Mirrored(mirrored.home, bigquery_place) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(other.mirror.sync) for other in others]:
            assert future.result().upto["signals"] == 11
    mirrored.agree()
    for other in others:
        other.jobs.close()


def test_a_rename_of_everyone_makes_the_mirror_anew(mirrored: Mirrored) -> None:
    from sqlalchemy import insert

    with writing(mirrored.engine) as connection:
        connection.execute(insert(key_fingerprints).values(name=KEY, fingerprint="one"))
    talk(mirrored.log, 0, 3)
    mirrored.mirror.sync()
    with writing(mirrored.engine) as connection:
        connection.execute(update(key_fingerprints).values(fingerprint="two"))
    assert mirrored.mirror.sync().rebuilt
    mirrored.agree()


def test_an_older_database_restored_makes_the_mirror_anew(
    mirrored: Mirrored, bigquery_place: BigQueryTables, tmp_path: Path
) -> None:
    talk(mirrored.log, 0, 4)
    mirrored.mirror.sync()
    restored = Mirrored(tmp_path / "restored", bigquery_place)
    talk(restored.log, 100, 6, BEN)  # the same numbers, other rows
    assert restored.mirror.sync().rebuilt
    restored.agree()
    restored.jobs.close()


def test_what_somebody_changed_by_hand_is_found_and_repaired(mirrored: Mirrored) -> None:
    talk(mirrored.log, 0, 5)
    mirrored.log.record_consent(Consent(ANN, "train", True, NOON))
    mirrored.log.record_consent(Consent(BEN, "train", False, NOON))
    mirrored.log.record_dispute(Dispute(signal(1, of=1).signal_id, "no", NOON, "open"))
    mirrored.mirror.sync()
    assert mirrored.mirror.sync(verify=True).repaired == {}
    for table, change in (("consents", "granted = FALSE"), ("disputes", "status = 'rejected'")):
        changed = mirrored.jobs.path(table)
        mirrored.jobs.run(f"UPDATE {changed} SET {change} WHERE revision IN (1, 3)", {}, {})
    assert mirrored.mirror.sync(verify=True).repaired == {"consents": 1, "disputes": 1}
    table = mirrored.jobs.path("reward_signals")
    mirrored.jobs.run(f"DELETE FROM {table} WHERE seq = 2", {}, {})
    assert mirrored.mirror.sync().repaired == {}
    assert mirrored.mirror.sync(verify=True).repaired == {"reward_signals": 1}
    mirrored.agree()


def _sync_slowly(home: Path, place: BigQueryTables, name: str, ready: Any) -> None:
    from everloop.storage.gcp.bigquery.jobs import Jobs

    real: Callable[..., Any] = getattr(Jobs, name)
    calls = []

    def stopped(self: Jobs, *arguments: Any, **named: Any) -> Any:
        calls.append(True)
        if len(calls) == 3:
            ready.set()
            time.sleep(600)
        return real(self, *arguments, **named)

    setattr(Jobs, name, stopped)
    Mirrored(home, place).mirror.sync()


@pytest.mark.parametrize("step", ["load", "drop", "run"])
def test_a_killed_synchronisation_is_gone_on_with(
    mirrored: Mirrored, bigquery_place: BigQueryTables, step: str
) -> None:
    talk(mirrored.log, 0, 11)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(
        target=_sync_slowly, args=(mirrored.home, bigquery_place, step, ready)
    )
    process.start()
    assert ready.wait(60)
    os.kill(process.pid or 0, signals.SIGKILL)
    process.join()
    mirrored.mirror.sync()
    for stage in mirrored.jobs.stages("stage_"):  # what expires by itself
        mirrored.jobs.drop(stage)
    mirrored.agree()
