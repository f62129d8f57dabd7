"""What every ``TeachingLog`` must do: feedback that may move a persona, as it becomes known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from everloop.contracts.episodes import Consent
from everloop.contracts.feedback import AIInterpretation, FeedbackInstance, FeedbackStatus
from everloop.contracts.personas import PersonaStore, TeachingLog, TeachingMark
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.feedback import SqlFeedbackStore
from everloop.storage.sql.persona_revisions import SqlPersonaStore
from everloop.storage.sql.teaching_log import SqlTeachingLog
from tests.feedback_records import feedback, interaction, put, review
from tests.log_records import BEN, NOON, SetClock, uuid_of
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite
from tests.voice_records import revision

START = TeachingMark()


def complaint(number: int, of: int = 1, **changes: Any) -> FeedbackInstance:
    said = (AIInterpretation("too_formal", "formality", -0.2, -0.5),)
    return feedback(number, of, interpretations=said, **changes)


class TeachingLogSuite(ABC):
    @abstractmethod
    def opened(self, folder: Path) -> tuple[Engine, TeachingLog, PersonaStore]: ...

    @pytest.fixture
    def made(self, tmp_path: Path) -> tuple[Engine, TeachingLog, PersonaStore]:
        return self.opened(tmp_path)

    def read(
        self, log: TeachingLog, after: TeachingMark = START, persona: str = "friend"
    ) -> list[str]:
        until = log.marks().get("default", START)
        return [said.feedback_id for said in log.teaching(persona, after, until)]

    def test_feedback_that_names_a_trait_and_teaches_in_stored_order(
        self, made: tuple[Engine, TeachingLog, PersonaStore]
    ) -> None:
        engine, log, _ = made
        assert log.marks() == {}
        put(engine, interaction(1), complaint(2), complaint(1), feedback(3))
        put(engine, complaint(4, status=FeedbackStatus.QUARANTINED))
        put(engine, complaint(5, persona="other"), complaint(6))
        assert log.marks() == {"default": TeachingMark(feedback=6)}
        named = [uuid_of(n, "feedback") for n in (2, 1, 6)]
        assert self.read(log) == named
        assert self.read(log, TeachingMark(feedback=2)) == named[2:]
        assert self.read(log, persona="other") == [uuid_of(5, "feedback")]
        (whole,) = log.teaching("friend", TeachingMark(5), TeachingMark(6))
        assert whole == complaint(6)

    def test_what_is_released_later_is_read_then(
        self, made: tuple[Engine, TeachingLog, PersonaStore]
    ) -> None:
        engine, log, _ = made
        put(engine, interaction(1), complaint(1, status=FeedbackStatus.QUARANTINED), complaint(2))
        before = log.marks()["default"]
        store = SqlFeedbackStore(engine, SetClock())
        store.review(review(1, at=NOON + timedelta(hours=1)), (), "key:rita")
        assert self.read(log, before) == [uuid_of(1, "feedback")]
        after = log.marks()["default"]
        assert after == TeachingMark(feedback=2, reviews=1)
        assert self.read(log, after) == []
        assert self.read(log).count(uuid_of(1, "feedback")) >= 1
        store.review(review(2, FeedbackStatus.REJECTED), (), "key:rita")
        assert self.read(log, after) == []
        assert uuid_of(2, "feedback") not in self.read(log)

    def test_what_moved_the_persona_is_not_read_again(
        self, made: tuple[Engine, TeachingLog, PersonaStore]
    ) -> None:
        engine, log, personas = made
        put(engine, interaction(1), complaint(1), complaint(2))
        personas.append(revision(1, cause=uuid_of(1, "feedback")))
        personas.append(replace(revision(1, cause=uuid_of(2, "feedback")), user_id=BEN))
        assert self.read(log) == [uuid_of(2, "feedback")]

    def test_who_refused_training_moves_nothing(
        self, made: tuple[Engine, TeachingLog, PersonaStore]
    ) -> None:
        engine, log, _ = made
        put(engine, interaction(1), complaint(1), complaint(2, user_id=BEN))
        consents = SqlEventLog(engine, SetClock())
        consents.record_consent(Consent(BEN, "train", False, NOON))
        assert self.read(log) == [uuid_of(1, "feedback")]

    def test_what_a_persons_feedback_changed(
        self, made: tuple[Engine, TeachingLog, PersonaStore]
    ) -> None:
        engine, log, personas = made
        put(engine, interaction(1), complaint(1), complaint(2, user_id=BEN), complaint(3))
        put(engine, complaint(4), complaint(5))
        contents = [b'{"n":1}', b'{"n":2}', b'{"n":3}', b'{"n":4}', b'{"n":4}', b'{"n":5}']
        causes = ["specification", *(uuid_of(n, "feedback") for n in range(1, 6))]
        for number, (content, cause) in enumerate(zip(contents, causes, strict=True), start=1):
            at = NOON + timedelta(hours=number)
            personas.append(replace(revision(number, cause=cause), content=content, recorded_at=at))
        personas.append(replace(revision(1, cause=uuid_of(5, "feedback")), user_id=BEN))
        person, since = complaint(1).user_id, NOON
        assert log.moved("friend", person, since) == (
            (contents[0], contents[1]),
            (contents[2], contents[3]),  # the next one changed nothing
            (contents[4], contents[5]),
        )
        assert log.moved("friend", BEN, since) == ((contents[1], contents[2]),)
        assert log.moved("friend", person, NOON + timedelta(hours=3)) == (
            (contents[2], contents[3]),
            (contents[4], contents[5]),
        )
        assert log.moved("other", person, since) == ()
        assert log.moved("friend", person, since, "elsewhere") == ()

    def test_pages_are_joined_without_a_gap(
        self, made: tuple[Engine, TeachingLog, PersonaStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("everloop.storage.sql.teaching_log._PAGE", 2)
        engine, log, _ = made
        put(engine, interaction(1), *(complaint(n) for n in range(1, 8)))
        assert self.read(log) == [uuid_of(n, "feedback") for n in range(1, 8)]


class SqlTeachingLogSuite(TeachingLogSuite, SqlSuite):
    def opened(self, folder: Path) -> tuple[Engine, TeachingLog, PersonaStore]:
        engine = self.engines(folder)()
        return engine, SqlTeachingLog(engine), SqlPersonaStore(engine)


class TestSqlTeachingLog(OnSqlite, SqlTeachingLogSuite):
    pass


class TestSqlTeachingLogOnPostgresql(OnPostgresql, SqlTeachingLogSuite):
    pass
