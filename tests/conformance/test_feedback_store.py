"""What every ``FeedbackStore`` must do with interactions, feedback and reviews."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Engine

from everloop.contracts.episodes import RewardSignal
from everloop.contracts.errors import ShouldFixFeedback, ShouldFixSignal, ShouldNameKnownId
from everloop.contracts.feedback import (
    AIInterpretation,
    FeedbackSource,
    FeedbackStatus,
    FeedbackType,
    InputType,
    OutputType,
    TargetElement,
)
from everloop.contracts.ports import Clock, EventLog
from everloop.contracts.service_ports import AuditLog, FeedbackStore
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.engine import open_database
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.feedback import SqlFeedbackStore
from tests.feedback_records import SESSION, feedback, interaction, put, review
from tests.log_records import ANN, BEN, NOON, SetClock, dispute, episode, signal, uuid_of

QUARANTINED, RELEASED = FeedbackStatus.QUARANTINED, FeedbackStatus.RELEASED
REJECTED, ACCEPTED = FeedbackStatus.REJECTED, FeedbackStatus.ACCEPTED
RITA = "key:rita"
INSTANT = timedelta(microseconds=1)
FAR_AWAY = timezone(timedelta(hours=5))


@dataclass(frozen=True)
class Opened:
    engine: Engine
    feedback: FeedbackStore
    log: EventLog
    audit: AuditLog

    def status(self, number: int = 1) -> FeedbackStatus:
        return self.feedback.feedback(uuid_of(number, "feedback")).status

    def entries(self) -> list[tuple[str, str, str, int, object]]:
        """What the audit log says of reviews: (actor, action, resource, rows, detail)."""
        return [
            (e.actor, e.action, e.resource, e.rows, e.detail)
            for e in self.audit.entries("default", limit=1000)
            if e.action.startswith("feedback.") and e.action != "feedback.append"
        ]

    def held(self) -> dict[str, tuple[str, str]]:
        """Signal -> (status, reason) of the dispute that counts."""
        return {d.signal_id: (d.status, d.reason) for d in self.log.disputes()}


Opener = Callable[[], Opened]


def opened(engine: Engine, clock: Clock) -> Opened:
    return Opened(
        engine,
        SqlFeedbackStore(engine, clock),
        SqlEventLog(engine, clock),
        SqlAuditLog(engine, clock),
    )


def waiting(store: Opened, number: int = 1) -> None:
    """Store an episode, its interaction and a feedback that is in quarantine."""
    put(store.engine, episode(number), interaction(number, episode_id=uuid_of(number)))
    put(store.engine, feedback(number, number, status=QUARANTINED))


def accepted(store: Opened, *signals: RewardSignal) -> None:
    """Store an episode, its interaction, a feedback that taught, and what it taught."""
    put(store.engine, episode(1), interaction(1, episode_id=uuid_of(1)), feedback(1), *signals)


class FeedbackStoreSuite(ABC):
    @abstractmethod
    def connector(self, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Engine]:
        """A function that opens the same database again and again."""

    @pytest.fixture
    def clock(self) -> SetClock:
        return SetClock()

    @pytest.fixture
    def reopen(
        self, tmp_path: Path, request: pytest.FixtureRequest, clock: SetClock
    ) -> Iterator[Opener]:
        connect = self.connector(tmp_path, request)
        with ExitStack() as closing:

            def reopen() -> Opened:
                engine = connect()
                closing.callback(engine.dispose)
                return opened(engine, clock)

            yield reopen

    @pytest.fixture
    def store(self, reopen: Opener) -> Opened:
        return reopen()

    def test_interactions_are_read_as_they_were(self, store: Opened, reopen: Opener) -> None:
        full = interaction(
            1,
            at=datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=FAR_AWAY),
            input_type=InputType.SYSTEM_TRIGGER,
            input_data={"é": [1, 2.5, None], "nested": {"b": True}},
            output_type=OutputType.VOICE,
            output_data=None,
            context={"city": "Köln", "turns": ["a", "b"]},
            episode_id=uuid_of(1),
            response_ms=0.1 + 0.2,
            tokens_in=2**40,
            tokens_out=0,
            retries=3,
            tools=("search", "calendar"),
            escalated=True,
            client={"browser": "x", "width": 320},
        )
        put(store.engine, episode(1), full, interaction(2))
        again = reopen().feedback
        assert again.interaction(uuid_of(1, "interaction")) == full
        assert again.interaction(uuid_of(2, "interaction").upper()) == interaction(2)

    def test_feedback_is_read_as_it_was(self, store: Opened, reopen: Opener) -> None:
        full = feedback(
            1,
            at=datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=FAR_AWAY),
            feedback_type=FeedbackType.COMPARISON,
            source=FeedbackSource.COMPARISON,
            raw_value={"chosen": "é", "rejected": "b"},
            value=[1, 2.5, None],
            interpretations=(
                AIInterpretation("too_formal", "formality", -0.2, -0.5),
                AIInterpretation("prefers", preference=("é", "b")),
            ),
            weight=0.1 + 0.2,
            quality=0.25,
            quality_reasons=("too_fast", "no_client"),
            status=QUARANTINED,
            target_element=TargetElement.WORD_CHOICE,
            target={"word": "Sir", "at": 3},
            clamped=True,
            client={"browser": "x"},
            received_at=datetime(2026, 3, 2, 0, 0, 1, 5, tzinfo=FAR_AWAY),
            shown_at=datetime(2026, 3, 2, 0, 0, 0, 7, tzinfo=FAR_AWAY),
            output_chars=120,
        )
        put(store.engine, interaction(1), full, feedback(2))
        again = reopen().feedback
        assert again.feedback(uuid_of(1, "feedback")) == full
        assert again.feedback(uuid_of(2, "feedback").upper()) == feedback(2)

    @pytest.mark.parametrize("wanted", [uuid_of(1, "feedback"), "no-uuid", ""])
    def test_what_a_tenant_does_not_have_is_unknown(self, store: Opened, wanted: str) -> None:
        put(store.engine, interaction(1, tenant="acme"), feedback(1, tenant="acme"))
        assert store.feedback.feedback(uuid_of(1, "feedback"), "acme").tenant == "acme"
        with pytest.raises(ShouldNameKnownId, match="'default' has no feedback"):
            store.feedback.feedback(wanted)
        with pytest.raises(ShouldNameKnownId, match="'default' has no interaction"):
            store.feedback.interaction(uuid_of(1, "interaction"))
        assert store.feedback.reviews(wanted) == ()

    def test_a_sessions_history_is_its_newest_by_arrival(self, store: Opened) -> None:
        put(store.engine, interaction(1), interaction(1, tenant="acme"))
        put(store.engine, feedback(1, at=NOON + timedelta(hours=2)))
        put(store.engine, feedback(2, at=NOON), feedback(3, session_id="6" * 64))
        put(store.engine, feedback(4, at=NOON + timedelta(hours=1)), feedback(5, tenant="acme"))
        history = store.feedback.session_history(SESSION, 10)
        assert [f.feedback_id for f in history] == [uuid_of(n, "feedback") for n in (4, 2, 1)]
        assert store.feedback.session_history(SESSION, 2) == history[:2]
        assert len(store.feedback.session_history(SESSION, 10, "acme")) == 1
        assert store.feedback.session_history("7" * 64, 10) == ()

    def test_many_are_read_as_each_is_read_alone(self, store: Opened) -> None:
        put(store.engine, interaction(1), interaction(2), interaction(3, tenant="acme"))
        for number in (1, 2, 3):
            put(store.engine, feedback(number), feedback(number + 3, of=2, session_id="6" * 64))
        read = store.feedback
        logs = [uuid_of(n, "interaction") for n in (1, 2, 3, 9)]
        assert read.interactions(logs) == {log: read.interaction(log) for log in logs[:2]}
        ids = [uuid_of(n, "feedback") for n in (1, 5, 9)]
        assert read.known(ids) == {each: read.feedback(each) for each in ids[:2]}
        sessions = [SESSION, "6" * 64, "7" * 64]
        assert read.session_histories(sessions, 2) == {
            session: read.session_history(session, 2) for session in sessions[:2]
        }
        assert read.interactions(logs, "acme") == {logs[2]: read.interaction(logs[2], "acme")}
        assert read.known(ids, "acme") == read.session_histories(sessions, 2, "acme") == {}
        assert read.known([]) == read.interactions([]) == read.session_histories([], 2) == {}

    def test_more_than_a_statement_holds_are_read(self, store: Opened) -> None:
        put(store.engine, interaction(1), feedback(1))
        ids = [uuid_of(n, "feedback") for n in range(2, 1500)] + [uuid_of(1, "feedback")]
        assert list(store.feedback.known(ids)) == ids[-1:]
        sessions = [f"{n:064x}" for n in range(1500)] + [SESSION]
        assert list(store.feedback.session_histories(sessions, 5)) == [SESSION]

    def test_what_waits_for_a_person_is_listed_oldest_first(self, store: Opened) -> None:
        put(store.engine, interaction(1))
        for number in (3, 1, 2):
            put(
                store.engine,
                feedback(number, at=NOON - timedelta(hours=number), status=QUARANTINED),
            )
        put(store.engine, feedback(4))
        waits = store.feedback.quarantined()
        assert [f.feedback_id for f in waits] == [uuid_of(n, "feedback") for n in (3, 1, 2)]
        assert store.feedback.quarantined(limit=1) == waits[:1]
        assert store.feedback.quarantined(tenant="acme") == ()
        store.feedback.review(review(1, RELEASED), (), RITA)
        store.feedback.review(review(3, REJECTED), (), RITA)
        assert [f.feedback_id for f in store.feedback.quarantined()] == [uuid_of(2, "feedback")]

    def test_released_feedback_teaches(self, store: Opened, reopen: Opener) -> None:
        waiting(store)
        at = NOON.astimezone(FAR_AWAY)
        store.feedback.review(review(1, RELEASED, at), (signal(1), signal(2)), RITA)
        store = reopen()
        assert store.status() is RELEASED
        assert store.feedback.reviews(uuid_of(1, "feedback")) == (review(1, RELEASED),)
        assert store.log.counts("walk") == (1, 2)
        assert store.held() == {}
        told = {"before": "quarantined", "signals": "1..2"}
        assert store.entries() == [(RITA, "feedback.release", uuid_of(1, "feedback"), 3, told)]

    def test_a_signal_of_a_release_is_the_one_that_ingest_would_have_stored(
        self, store: Opened
    ) -> None:
        waiting(store)
        put(store.engine, episode(2), signal(9, of=2))
        store.feedback.review(review(), (signal(1),), RITA)
        put(store.engine, signal(1), signal(2))  # a replay, and the next number
        assert store.log.counts("walk") == (2, 3)
        appended = [e for e in store.audit.entries("default") if e.action == "signals.append"]
        assert [e.resource for e in appended] == ["1..1", "3..3"]

    def test_saying_the_same_again_changes_nothing(self, store: Opened) -> None:
        waiting(store)
        for minutes in range(3):
            at = NOON + timedelta(minutes=minutes)
            store.feedback.review(review(1, RELEASED, at), (signal(1),), RITA)
        assert store.feedback.reviews(uuid_of(1, "feedback")) == (review(1, RELEASED),)
        assert store.log.counts("walk") == (1, 1)
        for minutes in range(3):
            at = NOON + timedelta(minutes=minutes)
            store.feedback.review(review(1, REJECTED, at, reason="a bot"), (signal(1),), RITA)
        assert len(store.feedback.reviews(uuid_of(1, "feedback"))) == 2
        assert [action for _, action, *_ in store.entries()] == [
            "feedback.release",
            "feedback.reject",
        ]

    def test_stored_signals_stay_as_they_are(self, store: Opened) -> None:
        waiting(store)
        put(store.engine, signal(1, value=0.25))
        store.feedback.review(review(), (signal(1, value=-1.0), signal(2)), RITA)
        put(store.engine, signal(1, value=0.25))
        assert store.log.counts("walk") == (1, 2)

    @pytest.mark.parametrize(
        "wrong", [signal(2, of=7), signal(2, tenant="acme")], ids=["of", "tenant"]
    )
    def test_a_review_is_whole_or_absent(self, store: Opened, wrong: RewardSignal) -> None:
        waiting(store)
        with pytest.raises(ShouldFixSignal, match=uuid_of(2, "signal")):
            store.feedback.review(review(), (signal(1), wrong), RITA)
        assert store.status() is QUARANTINED
        assert store.feedback.reviews(uuid_of(1, "feedback")) == ()
        assert store.log.counts("walk") == (1, 0)
        assert store.entries() == []

    def test_rejected_feedback_no_longer_teaches(self, store: Opened) -> None:
        accepted(store, signal(1), signal(2), signal(3))
        store.feedback.review(
            review(1, REJECTED, reason="a bot"), (signal(1), signal(2), signal(4)), RITA
        )
        reason = f"feedback {uuid_of(1, 'feedback')} was rejected"
        assert store.status() is REJECTED
        assert store.held() == {
            uuid_of(1, "signal"): ("upheld", reason),
            uuid_of(2, "signal"): ("upheld", reason),
        }
        assert store.log.counts("walk") == (1, 3)
        told = {"before": "accepted", "disputes": 2}
        assert store.entries() == [(RITA, "feedback.reject", uuid_of(1, "feedback"), 3, told)]

    def test_a_rejection_can_be_taken_back(self, store: Opened) -> None:
        accepted(store, signal(1))
        store.feedback.review(review(1, REJECTED), (signal(1),), RITA)
        store.feedback.review(review(1, RELEASED), (signal(1),), RITA)
        assert store.held()[uuid_of(1, "signal")][0] == "rejected"
        store.feedback.review(review(1, REJECTED), (signal(1),), RITA)
        assert store.held()[uuid_of(1, "signal")][0] == "upheld"
        statuses = [r.status for r in store.feedback.reviews(uuid_of(1, "feedback"))]
        assert statuses == [REJECTED, RELEASED, REJECTED]

    def test_feedback_that_was_accepted_can_be_held_back_for_a_person(self, store: Opened) -> None:
        accepted(store, signal(1))
        store.feedback.review(review(1, QUARANTINED), (signal(1),), "system:quality")
        assert store.status() is QUARANTINED
        assert [f.feedback_id for f in store.feedback.quarantined()] == [uuid_of(1, "feedback")]
        assert store.held()[uuid_of(1, "signal")][0] == "open"
        store.feedback.review(review(1, RELEASED), (signal(1),), RITA)
        assert store.held()[uuid_of(1, "signal")][0] == "rejected"

    @pytest.mark.parametrize("decided", [RELEASED, REJECTED])
    def test_what_a_person_decided_is_not_quarantined_again(
        self, store: Opened, decided: FeedbackStatus
    ) -> None:
        accepted(store, signal(1))
        store.feedback.review(review(1, decided), (signal(1),), RITA)
        before = store.held(), store.entries(), store.feedback.reviews(uuid_of(1, "feedback"))
        store.feedback.review(review(1, QUARANTINED), (signal(1),), "system:quality")
        assert store.status() is decided
        assert before == (
            store.held(),
            store.entries(),
            store.feedback.reviews(uuid_of(1, "feedback")),
        )

    @pytest.mark.parametrize("status", ["open", "rejected"])
    def test_a_persons_own_dispute_outlives_reviews(self, store: Opened, status: str) -> None:
        accepted(store, signal(1))
        store.log.record_dispute(dispute(1, status))
        store.feedback.review(review(1, REJECTED), (signal(1),), RITA)
        assert store.held()[uuid_of(1, "signal")][0] == "upheld"
        store.feedback.review(review(1, RELEASED), (signal(1),), RITA)
        assert store.held()[uuid_of(1, "signal")] == (status, "not me")

    def test_a_dispute_after_the_review_is_not_lifted_with_it(self, store: Opened) -> None:
        accepted(store, signal(1))
        store.feedback.review(review(1, REJECTED), (signal(1),), RITA)
        store.log.record_dispute(dispute(1, "open", NOON + timedelta(hours=1)))
        late = NOON + timedelta(hours=2)
        store.feedback.review(review(1, RELEASED, late), (signal(1),), RITA)
        assert store.held()[uuid_of(1, "signal")] == ("open", "not me")

    def test_a_clock_that_goes_back_undoes_no_review(self, store: Opened) -> None:
        accepted(store, signal(1))
        store.feedback.review(review(1, REJECTED), (signal(1),), RITA)
        store.feedback.review(review(1, RELEASED, NOON - timedelta(hours=1)), (signal(1),), RITA)
        assert store.status() is RELEASED
        assert store.feedback.reviews(uuid_of(1, "feedback"))[0].status is RELEASED
        assert store.held()[uuid_of(1, "signal")][0] == "rejected"

    def test_reviews_that_cannot_be(self, store: Opened) -> None:
        accepted(store)
        with pytest.raises(ShouldFixFeedback, match="'accepted'"):
            store.feedback.review(review(1, ACCEPTED), (), RITA)
        with pytest.raises(ShouldNameKnownId, match=uuid_of(2, "feedback")):
            store.feedback.review(review(2), (), RITA)
        with pytest.raises(ShouldNameKnownId, match="'acme'"):
            store.feedback.review(review(1, tenant="acme"), (), RITA)
        assert store.entries() == []

    def test_of_many_at_once_one_review_counts(self, store: Opened, reopen: Opener) -> None:
        waiting(store)

        def release() -> None:
            reopen().feedback.review(review(), (signal(1),), RITA)

        threads = [threading.Thread(target=release) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.feedback.reviews(uuid_of(1, "feedback"))) == 1
        assert len(store.entries()) == 1

    def test_analysis_is_of_a_span_oldest_first(self, store: Opened) -> None:
        end = NOON + timedelta(hours=1)
        put(store.engine, interaction(1), interaction(1, tenant="acme"))
        times = {1: end - INSTANT, 2: NOON, 3: NOON - INSTANT, 4: end, 5: NOON}
        for number, at in times.items():
            put(store.engine, feedback(number, at=at))
        put(store.engine, feedback(6, at=NOON, tenant="acme"))
        found = [f.feedback_id for f in store.feedback.analysis(NOON, end)]
        assert found == [uuid_of(n, "feedback") for n in (2, 5, 1)]

    def test_analysis_streams_and_holds_nobody_up(self, store: Opened) -> None:
        put(store.engine, interaction(1))
        put(store.engine, *(feedback(n, at=NOON + (n % 3) * INSTANT) for n in range(1203)))
        stream = store.feedback.analysis(NOON, NOON + timedelta(hours=1))
        read = [next(stream) for _ in range(10)]
        store.feedback.review(review(1202, REJECTED), (), RITA)
        put(store.engine, feedback(2000, at=NOON + 3 * INSTANT))
        read += list(stream)
        numbers = {uuid_of(n, "feedback"): n for n in range(2001)}
        expected = sorted(range(1203), key=lambda n: (n % 3, n))
        assert [numbers[f.feedback_id] for f in read] == [*expected, 2000]
        assert next(f for f in read if f.feedback_id == uuid_of(1202, "feedback")) == replace(
            feedback(1202, at=NOON + 2 * INSTANT), status=REJECTED
        )

    def test_whom_feedback_is_of_is_kept(self, store: Opened) -> None:
        put(store.engine, interaction(1), feedback(1), feedback(2, user_id=BEN))
        people = {f.user_id for f in store.feedback.analysis(NOON, NOON + INSTANT)}
        assert people == {ANN, BEN}


class TestOnSqlite(FeedbackStoreSuite):
    def connector(self, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Engine]:
        return lambda: open_database("", folder / "state.db")


class TestOnPostgresql(FeedbackStoreSuite):
    def connector(self, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Engine]:
        url = request.getfixturevalue("postgresql_url")
        return lambda: open_database(url, folder)
