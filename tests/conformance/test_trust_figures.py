"""The trust figures that every ``FeedbackStore`` must give."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from everloop.contracts.episodes import Consent
from everloop.contracts.feedback import FeedbackStatus, TrustFigures
from everloop.contracts.intervals import bounded_mean, critical, wilson
from everloop.storage.sql.engine import open_database, reading
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.feedback import SqlFeedbackStore
from tests.feedback_records import interaction, put, review, survey
from tests.log_records import ANN, BEN, NOON, SetClock, episode, refusal

LATER = NOON + timedelta(days=1)
INSTANT = timedelta(microseconds=1)
NOTHING = TrustFigures(0, None, None, None, 0, 0, None, None, None)


def person(number: int) -> str:
    return f"{number:064x}"


class TrustSuite(ABC):
    @abstractmethod
    def connector(self, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Engine]:
        """A function that opens the same database again and again."""

    @pytest.fixture
    def engine(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
        engine = self.connector(tmp_path, request)()
        yield engine
        engine.dispose()

    @pytest.fixture
    def store(self, engine: Engine) -> SqlFeedbackStore:
        return SqlFeedbackStore(engine, SetClock())

    @pytest.fixture
    def log(self, engine: Engine) -> SqlEventLog:
        return SqlEventLog(engine, SetClock())

    def test_nothing_is_known_at_first(self, store: SqlFeedbackStore) -> None:
        assert store.trust(NOON) == NOTHING
        assert store.trust(NOON, "default") == NOTHING

    def test_the_newest_answer_of_each_person_counts(
        self, engine: Engine, store: SqlFeedbackStore
    ) -> None:
        put(
            engine,
            survey(1, 1, NOON, user_id=ANN),
            survey(2, 5, NOON + INSTANT, user_id=ANN),
            survey(3, 2, NOON, user_id=BEN),
            survey(4, 4, NOON, user_id=BEN),  # at the same time, later by arrival
            survey(5, 3.5, NOON, user_id=person(3)),
        )
        figures = store.trust(LATER, "default")
        assert (figures.trust_n, figures.trust_mean) == (3, pytest.approx(12.5 / 3))
        assert (figures.trust_low, figures.trust_high) == bounded_mean(
            {5.0: 1, 4.0: 1, 3.5: 1}, 1.0, 5.0, 0.95
        )
        assert (figures.people, figures.opt_out_rate) == (0, None)

    def test_one_answer_says_nothing_of_the_mean(
        self, engine: Engine, store: SqlFeedbackStore
    ) -> None:
        put(engine, survey(1, 5))
        figures = store.trust(LATER, "default")
        assert (figures.trust_n, figures.trust_mean) == (1, 5.0)
        assert (figures.trust_low, figures.trust_high) == (1.0, 5.0)

    def test_answers_that_do_not_teach_do_not_count(
        self, engine: Engine, store: SqlFeedbackStore
    ) -> None:
        put(engine, survey(1, 4, user_id=ANN), survey(2, 4, user_id=BEN))
        late = NOON + timedelta(hours=1)
        put(engine, survey(3, 1, late, user_id=ANN, status=FeedbackStatus.QUARANTINED))
        assert store.trust(LATER, "default").trust_mean == 4
        store.review(review(3, FeedbackStatus.RELEASED), (), "key:rita")
        assert store.trust(LATER, "default").trust_mean == 2.5
        store.review(review(2, FeedbackStatus.REJECTED), (), "key:rita")
        figures = store.trust(LATER, "default")
        assert (figures.trust_n, figures.trust_mean) == (1, 1.0)

    def test_what_is_dated_later_was_not_known(
        self, engine: Engine, store: SqlFeedbackStore, log: SqlEventLog
    ) -> None:
        put(engine, survey(1, 2, NOON), survey(2, 4, NOON + INSTANT))
        put(engine, episode(1, NOON, user_id=person(1)))
        put(engine, episode(2, NOON + INSTANT, user_id=person(2)))
        put(engine, interaction(1, NOON + INSTANT, user_id=person(3)))
        log.record_consent(refusal(person(1), NOON + INSTANT))
        before, after = store.trust(NOON, "default"), store.trust(NOON + INSTANT, "default")
        assert store.trust(NOON - INSTANT, "default") == NOTHING
        assert (before.trust_mean, before.people, before.opted_out) == (2.0, 1, 0)
        assert (after.trust_mean, after.people, after.opted_out) == (4.0, 3, 1)

    def test_people_are_known_by_what_they_did_or_said(
        self, engine: Engine, store: SqlFeedbackStore, log: SqlEventLog
    ) -> None:
        put(engine, episode(1, user_id=person(1)), episode(2, user_id=person(1)))
        put(engine, interaction(1, user_id=person(1)), interaction(2, user_id=person(2)))
        put(engine, episode(3, user_id=person(3)))
        log.record_consent(replace(refusal(person(4)), purpose="serve"))
        log.record_consent(refusal(person(5)))
        figures = store.trust(LATER, "default")
        assert (figures.people, figures.opted_out, figures.opt_out_rate) == (5, 1, 0.2)
        assert (figures.opt_out_low, figures.opt_out_high) == wilson(0.2, 5, critical(0.95))

    def test_the_newest_consent_to_training_decides(
        self, engine: Engine, store: SqlFeedbackStore, log: SqlEventLog
    ) -> None:
        late = NOON + INSTANT
        put(engine, *(episode(n, user_id=person(n)) for n in range(1, 7)))
        said: dict[int, list[Consent]] = {
            1: [refusal(person(1), NOON), refusal(person(1), late, granted=True)],
            2: [refusal(person(2), late), refusal(person(2), NOON, granted=True)],
            3: [refusal(person(3), NOON, granted=True), refusal(person(3), NOON)],
            4: [refusal(person(4), NOON), refusal(person(4), NOON, granted=True)],
            5: [replace(refusal(person(5)), purpose="serve")],
            6: [refusal(person(6)), replace(refusal(person(6), late, True), purpose="serve")],
        }
        for consents in said.values():
            for consent in consents:
                log.record_consent(consent)
        figures = store.trust(LATER, "default")
        assert (figures.people, figures.opted_out) == (6, 3)  # 2, 3 and 6

    def test_tenants_have_people_of_their_own(
        self, engine: Engine, store: SqlFeedbackStore, log: SqlEventLog
    ) -> None:
        put(engine, episode(1), survey(1, 5))
        put(engine, episode(1, tenant="acme"), survey(1, 2, tenant="acme"))
        put(engine, survey(1, 1, tenant="bolt"))
        put(engine, interaction(1, tenant="corp"))
        log.record_consent(replace(refusal(BEN), tenant="dash"))
        assert store.trust(LATER, "acme") == TrustFigures(
            1, 2.0, 1.0, 5.0, 1, 0, 0.0, 0.0, wilson(0.0, 1, critical(0.95))[1]
        )
        figures = store.trust(LATER)
        assert (figures.trust_n, figures.trust_mean) == (3, pytest.approx(8 / 3))
        assert (figures.people, figures.opted_out) == (4, 1)
        assert store.trust(LATER, "nobody") == NOTHING

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(
        answers=st.lists(
            st.tuples(
                st.integers(1, 4),
                st.integers(0, 3),
                st.integers(1, 5),
                st.sampled_from(list(FeedbackStatus)),
            ),
            max_size=12,
        ),
        consents=st.lists(
            st.tuples(
                st.integers(1, 6),
                st.integers(0, 3),
                st.booleans(),
                st.sampled_from(["serve", "train"]),
            ),
            max_size=12,
        ),
        seen=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), max_size=6),
        known_at=st.integers(0, 3),
    )
    def test_it_is_what_counting_by_hand_gives(
        self,
        engine: Engine,
        store: SqlFeedbackStore,
        log: SqlEventLog,
        answers: list[tuple[int, int, int, FeedbackStatus]],
        consents: list[tuple[int, int, bool, str]],
        seen: list[tuple[int, int]],
        known_at: int,
    ) -> None:
        tenant, until = uuid.uuid4().hex, NOON + known_at * INSTANT
        put(
            engine,
            *(
                survey(
                    n,
                    answer,
                    NOON + at * INSTANT,
                    user_id=person(who),
                    status=status,
                    tenant=tenant,
                )
                for n, (who, at, answer, status) in enumerate(answers)
            ),
            *(
                episode(n, NOON + at * INSTANT, user_id=person(who), tenant=tenant)
                for n, (who, at) in enumerate(seen)
            ),
        )
        for who, at, granted, purpose in consents:
            log.record_consent(Consent(person(who), purpose, granted, NOON + at * INSTANT, tenant))
        figures = store.trust(until, tenant)
        given_answers = _newest(
            ((who, at, float(answer)) for who, at, answer, status in answers if _counts(status)),
            known_at,
        )
        wishes = _newest(
            _once(
                (who, at, granted) for who, at, granted, purpose in consents if purpose == "train"
            ),
            known_at,
        )
        people = {who for who, at in seen if at <= known_at}
        people |= {who for who, at, *_ in consents if at <= known_at}
        assert figures.trust_n == len(given_answers)
        if given_answers:
            counts = Counter(given_answers.values())
            mean = sum(given_answers.values()) / len(given_answers)
            assert figures.trust_mean == pytest.approx(mean)
            assert (figures.trust_low, figures.trust_high) == pytest.approx(
                bounded_mean(counts, 1.0, 5.0, 0.95)
            )
        assert figures.people == len(people)
        assert figures.opted_out == sum(not granted for granted in wishes.values())


def _counts(status: FeedbackStatus) -> bool:
    return status in {FeedbackStatus.ACCEPTED, FeedbackStatus.RELEASED}


def _once(said: Any) -> list[Any]:
    """A statement repeated word for word is stored once, where it was first said."""
    return list(dict.fromkeys(said))


def _newest(said: Any, known_at: int) -> dict[int, Any]:
    """Person -> what they said last, the later one of two at the same time."""
    known = sorted((each for each in said if each[1] <= known_at), key=itemgetter(1))
    return {who: what for who, _, what in known}


class TestOnSqlite(TrustSuite):
    def connector(self, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Engine]:
        return lambda: open_database("", folder / "state.db")

    def test_it_reads_no_rows_but_through_their_indexes(
        self, engine: Engine, store: SqlFeedbackStore
    ) -> None:
        asked: list[tuple[str, Any]] = []
        event.listen(
            engine,
            "before_cursor_execute",
            lambda _c, _k, statement, parameters, _x, _m: asked.append((statement, parameters)),
        )
        store.trust(LATER, "default")
        queries = [(s, p) for s, p in asked if s.startswith("SELECT")]
        assert len(queries) == 3
        with reading(engine) as connection:
            steps = [
                row[3]
                for statement, parameters in queries
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
        reads = [
            step for step in steps if step.startswith(("SEARCH", "SCAN")) and "anon" not in step
        ]
        reads = [step for step in reads if "subquery" not in step]
        used = {step.split(" INDEX ")[1].split(" ")[0] for step in reads}
        assert used == {
            "ix_feedback_trust_surveys",
            "ix_training_episodes_tenant_user_id_timestamp",
            "ix_interactions_tenant_user_id_timestamp",
            "ix_consents_tenant_user_id_purpose_recorded_at",
            "ix_consents_refusals",
        }
        assert all(step.startswith("SEARCH") for step in reads), reads


class TestOnPostgresql(TrustSuite):
    def connector(self, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Engine]:
        url = request.getfixturevalue("postgresql_url")
        return lambda: open_database(url, folder)


def test_a_moment_with_any_zone_will_do(tmp_path: Path) -> None:
    engine = open_database("", tmp_path / "state.db")
    put(engine, survey(1, 4))
    until = datetime.fromisoformat("2026-03-10T17:00:00+05:00")
    assert SqlFeedbackStore(engine, SetClock()).trust(until, "default").trust_n == 1
