"""What every ``EventLog`` must do."""

from __future__ import annotations

import dataclasses
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.contracts.episodes import Arm, Consent, Episode, Outcome, RewardSignal
from everloop.contracts.errors import (
    ShouldFixEpisode,
    ShouldFixInput,
    ShouldFixSignal,
    ShouldResolveConflict,
)
from everloop.contracts.ports import Appended, Clock, EventLog
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.event_log import SqlEventLog
from tests.log_records import (
    ANN,
    BEN,
    NOON,
    SetClock,
    dispute,
    episode,
    refusal,
    signal,
    uuid_of,
)
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

Opener = Callable[[Clock], EventLog]
HOUR = timedelta(hours=1)


class EventLogSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same log again and again."""

    @pytest.fixture
    def clock(self) -> SetClock:
        return SetClock()

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def log(self, reopen: Opener, clock: SetClock) -> EventLog:
        return reopen(clock)

    def test_tells_whose_consents_changed_and_what_they_are_now(self, log: EventLog) -> None:
        """Expected states are written by hand; times, not arrival, say which is newest."""
        assert log.consents_changed({}) == ({}, ())
        serve = dataclasses.replace(refusal(ANN), purpose="serve")
        elsewhere = dataclasses.replace(refusal(BEN), tenant="other")
        for row in (refusal(ANN), refusal(BEN), refusal(BEN, NOON + HOUR, granted=True), serve):
            log.record_consent(row)
        log.record_consent(elsewhere)
        revisions, refused = log.consents_changed({})
        assert revisions == {"default": 4, "other": 1}
        assert set(refused) == {refusal(ANN), serve, elsewhere}
        assert log.consents_changed(revisions) == (revisions, ())
        late = refusal(BEN, NOON + HOUR / 2)  # arrives last, was said before the newest
        log.record_consent(late)
        later, changed = log.consents_changed(revisions)
        assert later == {"default": 5, "other": 1}
        assert changed == (refusal(BEN, NOON + HOUR, granted=True),)
        assert set(log.consents_changed({"default": 5})[1]) == {elsewhere}

    def test_starts_empty(self, log: EventLog) -> None:
        assert log.counts("walk") == (0, 0)
        assert log.consents(ANN) == ()
        assert log.disputes() == ()
        assert list(log.episodes_of(ANN)) == []

    def test_what_was_appended_is_read_as_it_was(
        self, log: EventLog, reopen: Opener, clock: SetClock
    ) -> None:
        full = episode(
            1,
            at=datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=5))),
            propensity=0.1 + 0.2,
            context_snapshot={"é": [1, 2.5, None], "nested": {"b": True}},
            action_arguments={"user_ids": [BEN]},
            arm=Arm.CANDIDATE,
            outcome=Outcome.SUCCESS,
            reward_score=-1 / 3,
        )
        bare = episode(2, propensity=None)
        assert log.append_episodes([bare, full]) == Appended(new=2, replayed=0)
        assert list(reopen(clock).episodes_of(ANN)) == [full, bare]

    def test_replays_change_nothing(self, log: EventLog) -> None:
        assert log.append_episodes([episode(1), episode(1)]) == Appended(new=1, replayed=1)
        assert log.append_episodes([episode(1), episode(2)]) == Appended(new=1, replayed=1)
        assert log.append_signals([signal(1), signal(1)]) == Appended(new=1, replayed=1)
        assert log.append_signals([signal(1), signal(2)]) == Appended(new=1, replayed=1)
        assert log.counts("walk") == (2, 2)

    def test_a_replay_written_down_by_a_newer_version_is_a_replay(self, log: EventLog) -> None:
        log.append_episodes([episode(1)])
        again = dataclasses.replace(episode(1), schema_version=2)
        assert log.append_episodes([again]) == Appended(new=0, replayed=1)

    @pytest.mark.parametrize(
        "changed",
        [
            {"propensity": 0.5},
            {"propensity": None},
            {"at": NOON + timedelta(microseconds=1)},
            {"context_snapshot": {"mood": "calm", "hour": 12.25}},
            {"user_id": BEN},
            {"valid_actions": ("right", "left")},
            {"arm": Arm.COMPARISON},
        ],
        ids=str,
    )
    def test_another_payload_under_an_id_is_a_conflict(
        self, log: EventLog, changed: dict[str, Any]
    ) -> None:
        log.append_episodes([episode(1)])
        with pytest.raises(ShouldResolveConflict, match=uuid_of(1)):
            log.append_episodes([episode(2), episode(1, **changed)])
        assert list(log.episodes_of(ANN)) == [episode(1)]

    @pytest.mark.parametrize("changed", [{"value": 0.25}, {"latency": 61}, {"of": 2}], ids=str)
    def test_another_signal_under_an_id_is_a_conflict(
        self, log: EventLog, changed: dict[str, int]
    ) -> None:
        log.append_batch([episode(1), episode(2)], [signal(1)])
        with pytest.raises(ShouldResolveConflict, match=uuid_of(1, "signal")):
            log.append_signals([signal(2), signal(1, **changed)])
        assert log.counts("walk") == (2, 1)

    def test_a_conflict_within_one_batch_stores_nothing(self, log: EventLog) -> None:
        with pytest.raises(ShouldResolveConflict):
            log.append_episodes([episode(1), episode(1, propensity=0.5)])
        assert log.counts("walk") == (0, 0)

    def test_signals_of_unknown_episodes_are_refused_whole(self, log: EventLog) -> None:
        log.append_episodes([episode(1)])
        with pytest.raises(ShouldFixSignal) as refused:
            log.append_signals([signal(1, of=1), signal(2, of=7)])
        assert uuid_of(7) in refused.value.message
        assert uuid_of(2, "signal") in refused.value.message
        assert log.counts("walk") == (1, 0)

    def test_a_batch_is_whole_or_absent(self, log: EventLog) -> None:
        def broken() -> Iterator[RewardSignal]:
            yield from (signal(n) for n in range(3000))
            raise ShouldFixInput("row 3001 is malformed")

        with pytest.raises(ShouldFixInput, match="3001"):
            log.append_batch([episode(1)], broken())
        assert log.counts("walk") == (0, 0)
        assert log.append_batch([episode(1)], (signal(n) for n in range(3000))) == (
            Appended(new=1, replayed=0),
            Appended(new=3000, replayed=0),
        )

    def test_a_batch_is_streamed(self, log: EventLog) -> None:
        alive: set[int] = set()
        most = 0

        class Watched(Episode):
            __slots__ = ()

            def __del__(self) -> None:
                alive.discard(id(self))

        def many() -> Iterator[Episode]:
            nonlocal most
            plain = episode(0)
            for number in range(6000):
                values = {f.name: getattr(plain, f.name) for f in dataclasses.fields(plain)}
                one = Watched(**(values | {"episode_id": uuid_of(number)}))
                alive.add(id(one))
                most = max(most, len(alive))
                yield one

        log.append_batch(many(), ())
        assert log.counts("walk") == (6000, 0)
        assert most < 4000

    def test_an_episode_from_the_future_names_both_times(
        self, log: EventLog, clock: SetClock
    ) -> None:
        clock.moment = NOON
        log.append_episodes([episode(1, at=NOON + timedelta(minutes=5))])
        with pytest.raises(ShouldFixEpisode) as refused:
            log.append_episodes([episode(2, at=NOON + timedelta(minutes=5, microseconds=1))])
        assert "2026-03-10T12:05:00.000001+00:00" in refused.value.message
        assert "2026-03-10T12:00:00+00:00" in refused.value.message
        assert "clock" in refused.value.remedy
        assert log.counts("walk") == (1, 0)

    def test_tenants_are_apart(self, log: EventLog) -> None:
        log.append_batch([episode(1), episode(1, tenant="other", propensity=0.5)], [signal(1)])
        assert log.counts("walk") == (1, 1)
        assert log.counts("walk", "other") == (1, 0)
        with pytest.raises(ShouldFixSignal, match="third"):
            log.append_signals([signal(2, tenant="third")])
        log.append_signals([signal(1, tenant="other", value=0.25)])
        assert [e.propensity for e in log.episodes_of(ANN, "other")] == [0.5]
        log.record_consent(refusal())
        assert log.consents(ANN, "other") == ()

    def test_loops_are_counted_apart(self, log: EventLog) -> None:
        log.append_batch([episode(1), episode(2, loop="run")], [signal(1), signal(2, of=2)])
        assert log.counts("run") == (1, 1)
        assert log.counts("walk") == (1, 1)

    def test_a_persons_episodes_come_oldest_first(self, log: EventLog) -> None:
        hours = [3, 1, 2]
        log.append_episodes([episode(h, at=NOON + timedelta(hours=h)) for h in hours])
        log.append_episodes([episode(9, user_id=BEN)])
        assert [e.timestamp.hour for e in log.episodes_of(ANN)] == [13, 14, 15]

    def test_episodes_are_read_by_their_ids(self, log: EventLog) -> None:
        first, second = episode(1, action_arguments={"n": 1}), episode(2, user_id=BEN)
        theirs = episode(3, tenant="other")
        log.append_episodes([first, second])
        log.append_episodes([theirs])
        ids = [uuid_of(n) for n in (1, 2, 3, 4)]
        assert log.episodes(ids) == {ids[0]: first, ids[1]: second}
        assert log.episodes([ids[0], ids[2]], "other") == {ids[2]: theirs}
        assert log.episodes([]) == {}

    def test_tells_which_loop_decided_and_when(self, log: EventLog) -> None:
        later = NOON + timedelta(hours=1)
        log.append_episodes([episode(1), episode(2, at=later, loop="run")])
        log.append_episodes([episode(3, tenant="other")])
        ids = [uuid_of(n) for n in (1, 2, 3, 4)]
        assert log.decided_at(ids) == {ids[0]: ("walk", NOON), ids[1]: ("run", later)}
        assert log.decided_at(ids, "other") == {ids[2]: ("walk", NOON)}
        assert log.decided_at(["no uuid", ids[0].upper()]) == {ids[0]: ("walk", NOON)}
        assert log.decided_at([]) == {}

    def test_consents_come_newest_first(self, log: EventLog) -> None:
        given_first = refusal(granted=True)
        later = refusal(at=NOON + timedelta(days=1))
        served = Consent(ANN, "serve", granted=True, recorded_at=NOON - timedelta(days=1))
        for consent in (later, given_first, served, refusal(BEN)):
            log.record_consent(consent)
        assert log.consents(ANN) == (later, given_first, served)

    def test_at_one_moment_the_last_recorded_consent_is_the_newest(self, log: EventLog) -> None:
        log.record_consent(refusal(granted=True))
        log.record_consent(refusal(granted=False))
        assert [c.granted for c in log.consents(ANN)] == [False, True]

    def test_a_repeated_consent_is_a_replay(self, log: EventLog) -> None:
        log.record_consent(refusal())
        log.record_consent(refusal())
        assert log.consents(ANN) == (refusal(),)

    @pytest.mark.parametrize(
        ("consent", "named"),
        [
            (Consent(ANN, "training", granted=False, recorded_at=NOON), "'training'"),
            (Consent("ann@example.com", "train", granted=False, recorded_at=NOON), "ann@example"),
            (Consent(ANN, "train", granted=False, recorded_at=NOON.replace(tzinfo=None)), "zone"),
        ],
        ids=["purpose", "person", "time zone"],
    )
    def test_a_consent_that_would_not_count_is_refused(
        self, log: EventLog, consent: Consent, named: str
    ) -> None:
        with pytest.raises(ShouldFixInput, match=named):
            log.record_consent(consent)

    def test_a_dispute_shows_its_newest_state(self, log: EventLog) -> None:
        log.append_batch([episode(1)], [signal(1), signal(2)])
        log.record_dispute(dispute(1, "open"))
        log.record_dispute(dispute(2, "open", at=NOON + timedelta(hours=1)))
        upheld = dispute(1, "upheld", at=NOON + timedelta(hours=2))
        log.record_dispute(upheld)
        assert log.disputes() == (upheld, dispute(2, "open", at=NOON + timedelta(hours=1)))
        assert log.disputes("other") == ()

    def test_a_dispute_of_an_unknown_signal_is_refused(self, log: EventLog) -> None:
        log.append_batch([episode(1)], [signal(1)])
        for unknown in (dispute(2), dataclasses.replace(dispute(1), tenant="other")):
            with pytest.raises(ShouldFixSignal, match=unknown.signal_id):
                log.record_dispute(unknown)

    @pytest.mark.parametrize("status", ["closed", ""])
    def test_an_unknown_status_is_refused(self, log: EventLog, status: str) -> None:
        log.append_batch([episode(1)], [signal(1)])
        with pytest.raises(ShouldFixInput, match="rejected"):
            log.record_dispute(dispute(1, status))

    def test_a_dispute_without_time_zone_is_refused(self, log: EventLog) -> None:
        log.append_batch([episode(1)], [signal(1)])
        with pytest.raises(ShouldFixInput, match="zone"):
            log.record_dispute(dispute(1, at=NOON.replace(tzinfo=None)))

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 5), max_size=8),
                st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=8),
            ),
            max_size=5,
        )
    )
    def test_however_often_records_are_sent_they_count_once(
        self, log: EventLog, batches: list[tuple[list[int], list[tuple[int, int]]]]
    ) -> None:
        tenant = uuid.uuid4().hex
        episodes: set[int] = set()
        signals: set[tuple[int, int]] = set()
        for sent, heard in batches:
            known = episodes | set(sent)
            possible = [pair for pair in heard if pair[0] in known]
            appended = log.append_batch(
                [episode(n, tenant=tenant) for n in sent],
                [signal(10 * of + number, of=of, tenant=tenant) for of, number in possible],
            )
            fresh = len(known - episodes), len(set(possible) - signals)
            assert appended == (
                Appended(new=fresh[0], replayed=len(sent) - fresh[0]),
                Appended(new=fresh[1], replayed=len(possible) - fresh[1]),
            )
            episodes, signals = known, signals | set(possible)
            assert log.counts("walk", tenant) == (len(episodes), len(signals))


class SqlEventLogSuite(EventLogSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        engines = self.engines(folder)
        return lambda clock: SqlEventLog(engines(), clock)

    def test_a_consent_and_its_audit_entry_are_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = self.engines(tmp_path)()
        log, audit = SqlEventLog(engine, SetClock()), SqlAuditLog(engine, SetClock())
        for _ in range(2):
            log.record_consent(refusal(), "key:admin")
        log.record_consent(refusal(BEN))
        (entry,) = audit.entries("default")
        assert (entry.actor, entry.action, entry.resource) == (
            "key:admin",
            "consent.record",
            "train",
        )
        assert (entry.rows, entry.detail) == (1, {"granted": False})

        def failing(*_: object) -> None:
            raise RuntimeError("power cut")

        monkeypatch.setattr("everloop.storage.sql.event_log.append_audit", failing)
        with pytest.raises(RuntimeError, match="power cut"):
            log.record_consent(refusal(granted=True, at=NOON + HOUR), "key:admin")
        assert log.consents(ANN) == (refusal(),)


class TestSqlEventLog(OnSqlite, SqlEventLogSuite):
    pass


class TestSqlEventLogOnPostgresql(OnPostgresql, SqlEventLogSuite):
    pass
