"""What every ``VoiceLog`` must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from everloop.contracts.episodes import Consent
from everloop.contracts.feedback import FeedbackStatus, implied_signal_id
from everloop.contracts.oversight import ReviewState
from everloop.contracts.voice_ports import SpokenFeedback, VoiceLog, VoiceWatermark
from everloop.storage.sql import voice_log
from everloop.storage.sql.episode_reviews import SqlReviewStore
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.feedback import SqlFeedbackStore
from everloop.storage.sql.people import SqlPersonStore
from everloop.storage.sql.voice_log import SqlVoiceLog
from everloop.storage.sql.voices import SqlVoiceStore
from tests.conformance.test_review_store import item
from tests.feedback_records import feedback, interaction, put, review, survey
from tests.log_records import ANN, BEN, NOON, TYPES, SetClock, dispute, episode, signal, uuid_of
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite
from tests.voice_records import package

CLEO = "c" * 64
ALL = VoiceWatermark(1 << 60, 1 << 60, 1 << 60)


@dataclass
class Place:
    """A log, and the stores that write what it reads."""

    engine: Engine
    folder: Path
    log: VoiceLog

    def numbers(self, persona: str = "friend", until: VoiceWatermark = ALL) -> list[int]:
        """Which feedback is read."""
        return [_number(one) for one in self.log.spoken_feedback(persona, until)]

    def disputed(self) -> set[int]:
        told = self.log.spoken_feedback("friend", ALL)
        return {_number(one) for one in told if one.disputed}

    def letters(self, persona: str = "friend", until: VoiceWatermark = ALL) -> list[int]:
        """Which packages are read."""
        known = {uuid_of(n, "package"): n for n in range(1_200)}
        return [known[one.package_id] for one in self.log.packages(persona, until)]

    def consent(self, person: str, granted: bool, minutes: int, purpose: str = "train") -> None:
        at = NOON + timedelta(minutes=minutes)
        SqlEventLog(self.engine).record_consent(Consent(person, purpose, granted, at))

    def give(self, number: int, **changes: Any) -> None:
        SqlVoiceStore(self.engine, SetClock()).add_package(package(number, **changes), "key:ann")

    def judge(self, number: int, status: FeedbackStatus) -> None:
        told = review(number, status)
        SqlFeedbackStore(self.engine, SetClock()).review(told, (), "key:rita")


def _number(spoken: SpokenFeedback) -> int:
    known = {uuid_of(n, "feedback"): n for n in range(1_200)}
    return known[spoken.feedback.feedback_id]


class VoiceLogSuite(ABC):
    @abstractmethod
    def place(self, folder: Path) -> Place:
        """A new database."""

    @pytest.fixture
    def at(self, tmp_path: Path) -> Place:
        return self.place(tmp_path)

    def test_feedback_comes_with_its_interaction_in_stored_order(self, at: Place) -> None:
        spoke = interaction(1, input_data="é \x00", output_data={"a": "x", "b": "y"})
        said = feedback(1, raw_value="ö", value="ö", status=FeedbackStatus.RELEASED)
        put(at.engine, spoke, feedback(2), said, survey(3, 4.0))
        first, second = at.log.spoken_feedback("friend", ALL)
        assert (first.feedback, first.interaction) == (feedback(2), spoke)
        assert (second.feedback, second.interaction, second.disputed) == (said, spoke, False)

    def test_what_is_held_or_rejected_or_anothers_is_not_read(self, at: Place) -> None:
        put(at.engine, interaction(1), *(feedback(n) for n in range(1, 5)))
        put(at.engine, feedback(5, persona="guide"))
        there = replace(interaction(1), tenant="other")
        put(at.engine, there, replace(feedback(6), tenant="other"))
        at.judge(1, FeedbackStatus.QUARANTINED)
        at.judge(2, FeedbackStatus.REJECTED)
        at.judge(3, FeedbackStatus.QUARANTINED)
        at.judge(3, FeedbackStatus.RELEASED)
        assert at.numbers() == [3, 4]
        assert at.numbers("guide") == [5]
        assert at.numbers("nobody") == []

    def test_nothing_after_the_watermark_is_read(self, at: Place) -> None:
        assert at.log.watermark() == VoiceWatermark(0, 0, 0)
        put(at.engine, interaction(1), feedback(1))
        at.give(1)
        before = at.log.watermark()
        assert before == VoiceWatermark(1, 1, 1)
        put(at.engine, interaction(2), feedback(2, of=2), feedback(3))
        at.give(2)
        assert at.numbers(until=before) == [1]
        assert at.letters(until=before) == [1]
        assert at.numbers(until=replace(at.log.watermark(), interactions=1)) == [1, 3]
        assert at.log.watermark("other") == VoiceWatermark(0, 0, 0)

    def test_who_refused_training_teaches_nothing_until_they_allow_it(self, at: Place) -> None:
        put(at.engine, interaction(1), interaction(2, user_id=BEN))
        put(at.engine, feedback(1), feedback(2, of=2, user_id=BEN), feedback(3, user_id=CLEO))
        at.give(1)
        at.give(2, user_id=BEN, persona="")
        at.consent(ANN, False, 1)
        at.consent(BEN, False, 1, "serve")
        assert at.numbers() == [2], "Cleo spoke of what Ann was told"
        assert at.letters() == [2]
        at.consent(ANN, True, 2)
        assert at.numbers() == [1, 2, 3]
        assert at.letters() == [1, 2]
        at.consent(ANN, False, 0)
        assert at.numbers() == [1, 2, 3], "said before"

    def test_who_was_erased_is_not_read(self, at: Place) -> None:
        put(at.engine, interaction(1), interaction(2, user_id=BEN))
        put(at.engine, feedback(1), feedback(2, of=2, user_id=BEN), feedback(3, user_id=CLEO))
        at.give(1)
        SqlPersonStore(at.engine, at.folder).erase(ANN, "cli:ann", NOON)
        assert at.numbers() == [2]
        assert at.letters() == []

    def test_packages_of_a_persona_and_of_every_one_are_read(self, at: Place) -> None:
        at.give(1)
        at.give(2, persona="")
        at.give(3, persona="guide")
        at.give(4, tenant="other")
        assert at.letters() == [1, 2]
        assert at.letters("guide") == [2, 3]
        (first, _) = at.log.packages("friend", ALL)
        assert first == replace(package(1), received_at=SetClock().now())

    def test_what_somebody_disputes_says_so(self, at: Place) -> None:
        kind = TYPES[0]
        put(at.engine, *(episode(n) for n in (1, 2)))
        put(at.engine, *(interaction(n, episode_id=uuid_of(n)) for n in (1, 2)))
        put(at.engine, feedback(1), feedback(2), feedback(3, of=2), feedback(4, of=2))
        implied = {n: implied_signal_id(uuid_of(n, "feedback"), kind) for n in (1, 2, 3)}
        of = {1: 1, 2: 1, 3: 2}
        put(at.engine, *(signal(n, of=of[n], signal_id=one) for n, one in implied.items()))
        log = SqlEventLog(at.engine)
        assert at.disputed() == set()
        for n, status in ((1, "open"), (2, "upheld"), (3, "open")):
            log.record_dispute(replace(dispute(), signal_id=implied[n], status=status))
        assert at.disputed() == {1, 2, 3}
        later = NOON + timedelta(days=1)
        for n in (1, 3):
            told = replace(dispute(), signal_id=implied[n], status="rejected", recorded_at=later)
            log.record_dispute(told)
        assert at.disputed() == {2}

    def test_what_a_review_holds_is_disputed_until_it_is_released(self, at: Place) -> None:
        put(at.engine, *(episode(n) for n in (1, 2)))
        put(at.engine, *(interaction(n, episode_id=uuid_of(n)) for n in (1, 2)), interaction(3))
        put(at.engine, *(feedback(n, of=n) for n in (1, 2, 3)))
        queue = SqlReviewStore(at.engine)
        queue.flag([item(1), item(2)])
        assert at.disputed() == {1, 2}
        queue.decide(item(1).review_id, ReviewState.RELEASED, "fine", "ann", NOON)
        queue.decide(item(2).review_id, ReviewState.REJECTED, "no", "ann", NOON)
        assert at.disputed() == {2}

    def test_more_than_a_page_comes_each_once(
        self, at: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(voice_log, "_PAGE", 3)
        put(at.engine, interaction(1), *(feedback(n) for n in range(1, 12)))
        for n in range(1, 8):
            at.give(n)
        for n in (1, 3, 4, 9, 11):
            at.judge(n, FeedbackStatus.QUARANTINED)
            at.judge(n, FeedbackStatus.RELEASED)
        assert at.numbers() == list(range(1, 12))
        assert at.letters() == list(range(1, 8))

    def test_who_refuses_while_it_is_read_is_read_no_further(
        self, at: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(voice_log, "_PAGE", 1)
        put(at.engine, interaction(1), *(feedback(n) for n in range(1, 5)))
        reading = at.log.spoken_feedback("friend", ALL)
        assert _number(next(reading)) == 1
        at.consent(ANN, False, 1)
        assert len(list(reading)) <= 1, "at most the page that was read already"

    def test_what_is_released_while_it_is_read_comes_once(
        self, at: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(voice_log, "_PAGE", 1)
        put(at.engine, interaction(1), *(feedback(n) for n in range(1, 5)))
        reading = at.log.spoken_feedback("friend", ALL)
        found = [_number(next(reading))]
        for n in (1, 2, 3, 4):
            at.judge(n, FeedbackStatus.QUARANTINED)
            at.judge(n, FeedbackStatus.RELEASED)
        found += [_number(one) for one in reading]
        assert len(found) == len(set(found))


class SqlVoiceLogSuite(VoiceLogSuite, SqlSuite):
    def place(self, folder: Path) -> Place:
        engine = self.engines(folder)()
        return Place(engine, folder, SqlVoiceLog(engine))


class TestSqlVoiceLog(OnSqlite, SqlVoiceLogSuite):
    pass


class TestSqlVoiceLogOnPostgresql(OnPostgresql, SqlVoiceLogSuite):
    pass


def test_a_page_costs_its_rows(tmp_path: Path) -> None:
    """Each page is found by the index on status and number, and nothing is sorted."""
    place = TestSqlVoiceLog().place(tmp_path)
    query = voice_log._feedback_rows("friend", ALL, "default", FeedbackStatus.ACCEPTED)
    told: Callable[..., Any] = query.compile
    sql = told(place.engine, compile_kwargs={"literal_binds": True})
    with place.engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all())
    assert "ix_feedback_tenant_status_seq" in plan
    assert "TEMP B-TREE" not in plan
