"""From the workspace's own database to examples: who opted out, was erased or disputes is absent."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from everloop.adaptation.building import HELD_OUT_FILE, TRAIN_FILE, build
from everloop.adaptation.collected import collect, read_collected
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.near_duplicates import NearDuplicates
from everloop.contracts.episodes import Consent, Dispute
from everloop.contracts.feedback import FeedbackStatus, FeedbackType, implied_signal_id
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.people import SqlPersonStore
from everloop.storage.sql.sqlite_engine import open_workspace_database
from everloop.storage.sql.voice_log import SqlVoiceLog
from everloop.storage.sql.voices import SqlVoiceStore
from tests.feedback_records import put
from tests.log_records import NOON, SetClock, episode, signal, uuid_of
from tests.spoken_records import person, spoken
from tests.unit.adaptation.test_building import JUDGES, TRAINS, Screen, spec, text
from tests.voice_records import package

T = FeedbackType


def test_who_opted_out_was_erased_or_disputes_is_absent(tmp_path: Path) -> None:
    stays, left, erased, disputes, judges = (*TRAINS[:4], JUDGES[0])
    engine, clock = open_workspace_database(tmp_path / "state.db"), SetClock()
    log, store = SqlEventLog(engine, clock), SqlVoiceStore(engine, clock)
    rows = [
        spoken(n, T.CORRECTION, text(n + 100), by=by, asked=text(n), about={"episode_id": of})
        for n, (by, of) in enumerate(
            [
                (stays, None),
                (left, None),
                (erased, None),
                (disputes, uuid_of(1)),
                (judges, None),
            ],
            start=1,
        )
    ]
    waits = spoken(6, T.THUMB, True, by=stays, status=FeedbackStatus.QUARANTINED)
    put(engine, episode(1, user_id=person(disputes)))
    for row in (*rows, waits):
        put(engine, row.interaction, row.feedback)
    implied = implied_signal_id(rows[3].feedback.feedback_id, "resonance")
    put(engine, signal(1, of=1, signal_id=implied, signal_type="resonance"))
    for n, by in enumerate((stays, left, erased), start=1):
        store.add_package(package(n, user_id=person(by), texts=()), "key:test")
    log.record_consent(Consent(person(left), "train", False, clock.now()))
    log.record_dispute(Dispute(implied, "not what I meant", NOON + timedelta(hours=1)))
    SqlPersonStore(engine, tmp_path).erase(person(erased), "cli:ann", clock.now())

    figures = collect(SqlVoiceLog(engine), "friend", "default", tmp_path / "collected")
    assert (figures.feedback, figures.disputed) == ({"correction": 3}, 1)
    made = build(
        spec(),
        read_collected(tmp_path / "collected"),
        corpora=(),
        screen=Screen(),
        near_duplicates=NearDuplicates(0.8),
        speaker=None,
        seed=1,
        out=tmp_path / "data",
    )
    assert made.removed == {"disputed": 1}
    train = list(read_instances(tmp_path / "data" / TRAIN_FILE))
    assert {each.user_id for each in train} == {person(stays)}
    assert {each.source_ids[0] for each in train} == {
        uuid_of(1, "feedback"),
        uuid_of(1, "package"),
    }
    held_out = list(read_instances(tmp_path / "data" / HELD_OUT_FILE))
    assert {each.user_id for each in held_out} == {person(judges)}
    assert store.add_instances([*train, *held_out], uuid_of(1, "model")) == 5
    assert {one.instance_id for one in store.instances_of(uuid_of(1, "feedback"))} == {
        each.instance_id for each in train if each.source_ids == (uuid_of(1, "feedback"),)
    }
