"""What every ``VoiceStore`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.episodes import Consent
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixInput,
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldRespectConsent,
)
from everloop.contracts.sandboxes import RunningVoice, VoiceConfiguration
from everloop.contracts.voice_ports import VoiceStore
from everloop.contracts.voices import LearningTask, Message, SourceType, VersionStatus
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.people import SqlPersonStore
from everloop.storage.sql.voices import SqlVoiceStore
from tests.feedback_records import feedback, interaction, put
from tests.log_records import ANN, BEN, NOON, SetClock, uuid_of
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite
from tests.voice_records import corpus_row, instance, package, version

ACTIVE, ARCHIVED = VersionStatus.ACTIVE, VersionStatus.ARCHIVED
M1, M2, M3 = (uuid_of(n, "model") for n in (1, 2, 3))


@dataclass
class Place:
    """A store, and what else its database is told."""

    reopen: Callable[[], VoiceStore]
    say: Callable[..., None]
    consent: Callable[[bool, int], None]
    erase: Callable[[str], None]
    audited: Callable[[], list[tuple[str, str, int]]]
    clock: SetClock


class VoiceStoreSuite(ABC):
    @abstractmethod
    def place(self, folder: Path) -> Place:
        """A new database."""

    @pytest.fixture
    def at(self, tmp_path: Path) -> Place:
        return self.place(tmp_path)

    @pytest.fixture
    def store(self, at: Place) -> VoiceStore:
        return at.reopen()

    def test_a_package_is_stored_once(self, at: Place, store: VoiceStore) -> None:
        assert store.add_package(package(1), "key:ann") is True
        moment = NOON.astimezone(timezone(timedelta(hours=2)))
        again = package(1, timestamp=moment, received_at=NOON + timedelta(days=9))
        assert at.reopen().add_package(again, "key:ben") is False
        assert at.audited() == [("packages.append", "1..1", 1)]

    @pytest.mark.parametrize(
        "change", [{"texts": ("other",)}, {"user_id": BEN}, {"persona": ""}, {"replies": ()}]
    )
    def test_an_id_with_another_content_is_refused(
        self, store: VoiceStore, change: dict[str, Any]
    ) -> None:
        store.add_package(package(1), "key:ann")
        with pytest.raises(ShouldResolveConflict, match=uuid_of(1, "package")):
            store.add_package(package(1, **change), "key:ann")
        assert store.add_package(package(1, tenant="other", **change), "key:ann") is True

    def test_a_batch_is_stored_whole_or_not_at_all(self, at: Place, store: VoiceStore) -> None:
        assert store.add_packages([package(n) for n in (1, 2, 1)], "key:ann") == (True, True, False)
        with pytest.raises(ShouldResolveConflict):
            store.add_packages([package(3), package(2, texts=("other",))], "key:ann")
        assert store.add_packages([package(3), package(2)], "key:ann") == (True, False)
        assert store.add_packages([], "key:ann") == ()
        assert [entry[1:] for entry in at.audited()] == [("1..2", 2), ("3..3", 1)]

    def test_who_refused_training_gives_no_package(self, at: Place, store: VoiceStore) -> None:
        at.consent(False, 1)
        with pytest.raises(ShouldRespectConsent, match="refused"):
            store.add_packages([package(2, user_id=BEN), package(1)], "key:ann")
        assert store.add_package(package(2, user_id=BEN), "key:ann") is True
        at.consent(True, 2)
        assert store.add_package(package(1), "key:ann") is True
        assert store.add_package(package(4, user_id=ANN, tenant="other"), "key:ann") is True

    def test_who_was_erased_gives_none_until_they_allow_it(
        self, at: Place, store: VoiceStore
    ) -> None:
        at.consent(True, -1)
        store.add_package(package(1), "key:ann")
        at.erase(ANN)
        with pytest.raises(ShouldRespectConsent, match="erased"):
            store.add_package(package(1), "key:ann")
        at.consent(True, 5)
        assert store.add_package(package(1), "key:ann") is True

    def test_who_judges_once_judges_for_good_and_who_does_not_never(
        self, at: Place, store: VoiceStore
    ) -> None:
        assert store.judging("friend", {ANN: True, BEN: False}) == {ANN}
        assert at.reopen().judging("friend", {BEN: True, ANN: False}) == {ANN}
        # Who is new is where they are told to be, and nobody else is told of.
        assert store.judging("friend", {"c" * 64: True}) == {"c" * 64}
        assert store.judging("friend", {}) == frozenset()
        assert store.judging("stranger", {ANN: False, BEN: True}) == {BEN}
        assert store.judging("friend", {ANN: False, BEN: True}, "other") == {BEN}

    def test_of_whom_was_erased_no_side_is_kept(self, at: Place, store: VoiceStore) -> None:
        at.consent(True, -1)
        store.judging("friend", {ANN: True})
        at.erase(ANN)
        assert store.judging("friend", {ANN: False}) == frozenset()
        assert store.judging("friend", {ANN: True}) == {ANN}
        at.consent(True, 5)
        assert store.judging("friend", {ANN: False}) == frozenset()
        assert store.judging("friend", {ANN: True}) == frozenset()

    def test_a_text_that_is_no_unicode_is_refused(self, store: VoiceStore) -> None:
        with pytest.raises(ShouldFixInput, match="JSON"):
            store.add_package(package(1, texts=("\ud800",)), "key:ann")
        with pytest.raises(ShouldFixInput, match="origin"):
            store.add_package(package(1, origin="\x00"), "key:ann")

    def test_instances_are_found_from_their_sources_and_their_model(
        self, at: Place, store: VoiceStore
    ) -> None:
        at.say(interaction(1), feedback(1), feedback(2))
        both = instance(1, source_ids=(uuid_of(2, "feedback"), uuid_of(1, "feedback")))
        pair = instance(
            2, task=LearningTask.PREFERENCE, rejected="no \x00 \U0001f600", parent=both.instance_id
        )
        thumb = instance(2, task=LearningTask.THUMB, liked=False, user_id=ANN, augmented="rule")
        row = corpus_row(
            9, prompt=(Message("system", "be kind"), Message("user", "é")), metadata={"x": [None]}
        )
        assert store.add_instances([both, pair, thumb, row], M1) == 4
        assert store.add_instances([row, pair], M2) == 0
        again = at.reopen()
        made = again.instances_of(uuid_of(2, "feedback"))
        assert made == tuple(sorted((both, pair, thumb), key=lambda one: one.instance_id))
        assert again.instances_of(uuid_of(1, "feedback")) == (both,)
        assert again.instances_of("corpus:own/9") == (row,)
        assert again.instances_of("corpus:own/9", "other") == ()
        by_id = {one.instance_id: one for one in (both, pair, thumb, row)}
        assert {one.instance_id: one for one in again.instances(M1)} == by_id
        assert {one.instance_id for one in again.instances(M2)} == {
            row.instance_id,
            pair.instance_id,
        }
        assert list(again.instances(M3)) == []

    def test_more_instances_than_a_page_come_each_once(self, store: VoiceStore) -> None:
        rows = [corpus_row(n) for n in range(1_203)]
        assert store.add_instances(rows, M1) == 1_203
        found = [one.instance_id for one in store.instances(M1)]
        assert sorted(found) == sorted(one.instance_id for one in rows)

    def test_what_came_of_a_person_who_is_gone_is_not_stored_and_counted(
        self, at: Place, store: VoiceStore
    ) -> None:
        at.say(interaction(1), feedback(1))
        store.add_package(package(1), "key:ann")
        own = {"source_type": SourceType.NEW_DATA}
        kept = [instance(1), instance(3, uuid_of(1, "package"), **own), corpus_row(1)]
        gone = [instance(2), instance(4, uuid_of(9, "package"), **own), instance(5, "no uuid")]
        for _ in range(2):
            store.add_instances([*kept, *gone], M1)
        assert {one.instance_id for one in store.instances(M1)} == {one.instance_id for one in kept}
        assert store.add_version(version(1)).forgets == 3
        assert at.reopen().versions("friend")[0].forgets == 3

    def test_versions_are_numbered_for_each_persona_and_person(
        self, at: Place, store: VoiceStore
    ) -> None:
        first = store.add_version(version(1, version_number=7))
        assert first == version(1)
        assert store.add_version(version(2, data_until=NOON)).version_number == 2
        assert store.add_version(version(3, user_id=ANN)).version_number == 1
        assert store.add_version(version(4, persona="guide")).version_number == 1
        assert store.add_version(version(1, tenant="other")).version_number == 1
        assert store.add_version(version(1, base_model_name="another")) == first
        found = at.reopen().versions("friend")
        assert [(one.model_id, one.version_number) for one in found] == [(M2, 2), (M1, 1)]
        assert found[0].data_until == NOON
        assert [one.model_id for one in store.versions("friend", ANN)] == [M3]
        with pytest.raises(ShouldResolveConflict, match="friend"):
            store.add_version(version(1, persona="guide"))

    def test_a_version_says_what_it_learned_from(self, store: VoiceStore) -> None:
        rows = [corpus_row(n) for n in range(3)]
        store.add_instances(rows[:2], M1)
        ids = sorted(one.instance_id for one in rows)
        unknown = uuid_of(1, "nothing")
        store.add_instances(rows[2:], M2)
        made = store.add_version(version(1, training_references=(ids[0], unknown, ids[1], ids[2])))
        assert list(made.training_references) == ids
        assert list(store.versions("friend")[0].training_references) == ids
        (light,) = store.versions("friend", references=False)
        assert (light.training_references, light.instances) == ((), 3)

    def test_one_version_of_a_persona_is_active(self, store: VoiceStore) -> None:
        for number, changes in ((1, {}), (2, {}), (3, {"user_id": ANN}), (4, {"persona": "guide"})):
            store.add_version(version(number, **changes))
            store.set_status(uuid_of(number, "model"), ACTIVE)

        def states(*who: Any) -> list[VersionStatus]:
            return [one.status for one in store.versions(*who)]

        assert states("friend") == [ACTIVE, ARCHIVED]
        assert states("friend", ANN) == states("guide") == [ACTIVE]
        store.set_status(M1, ACTIVE)
        store.set_status(M1, ACTIVE)
        assert states("friend") == [ARCHIVED, ACTIVE]
        store.add_version(version(5, status=ACTIVE))
        assert states("friend") == [ACTIVE, ARCHIVED, ARCHIVED]
        with pytest.raises(ShouldNameKnownId, match="nobody"):
            store.set_status("nobody", ACTIVE)
        with pytest.raises(ShouldNameKnownId):
            store.set_status(M1, ACTIVE, "other")

    def test_what_was_learned_ends_where_the_newest_that_may_serve_does(
        self, store: VoiceStore
    ) -> None:
        assert store.learned_until("friend") is None
        store.add_version(version(1, creation_date=NOON))
        assert store.learned_until("friend") == NOON
        later = NOON + timedelta(days=2)
        store.add_version(version(2, creation_date=later, data_until=NOON + timedelta(days=1)))
        store.add_version(version(3, creation_date=later, user_id=ANN))
        assert store.learned_until("friend") == NOON + timedelta(days=1)
        store.set_status(M2, ARCHIVED)
        assert store.learned_until("friend") == NOON
        store.set_status(M1, ARCHIVED)
        assert store.learned_until("friend") is None

    def test_who_went_on_from_one_that_is_to_forget_is_to_forget(self, store: VoiceStore) -> None:
        store.add_instances([instance(1)], M1)
        store.add_version(version(1, continued_from=M1))
        store.add_version(version(2, continued_from=M1))
        store.add_version(version(3))
        assert [one.forgets for one in store.versions("friend")] == [0, 1, 1]
        assert store.learned_until("friend") == NOON
        store.set_status(M3, ARCHIVED)
        assert store.learned_until("friend") is None

    def test_instances_of_no_adapter_are_refused(self, store: VoiceStore) -> None:
        with pytest.raises(ShouldFixArgument, match="no adapter"):
            store.add_instances([corpus_row()], "")

    def test_what_running_services_speak_with_is_what_each_said_last(
        self, at: Place, store: VoiceStore
    ) -> None:
        began, one, other = at.clock.now(), *(VoiceConfiguration({"code": c}) for c in "ab")
        assert store.running("walk", began) == ()
        store.publish("walk", "pod-1", one)
        at.clock.moment += timedelta(hours=1)
        store.publish("walk", "pod-2", other)
        store.publish("talk", "pod-1", one)
        store.publish("walk", "pod-1", one, "other")
        said = at.reopen().running("walk", began)
        newer = RunningVoice("walk", "pod-2", at.clock.now(), other)
        assert said == (RunningVoice("walk", "pod-1", began, one), newer)
        at.clock.moment += timedelta(hours=1)
        store.publish("walk", "pod-1", other)
        again = RunningVoice("walk", "pod-1", at.clock.now(), other)
        assert store.running("walk", began) == (again, newer)
        assert store.running("walk", at.clock.now()) == (again,)
        assert store.running("walk", at.clock.now() + timedelta(seconds=1)) == ()
        store.publish("walk", "pod-3", one)
        store.withdraw("pod-1")
        assert [each.instance for each in store.running("walk", began)] == ["pod-2", "pod-3"]
        assert store.running("walk", began, "other") == ()
        assert [each.instance for each in store.running("talk", began)] == []
        store.publish("talk", "pod-2", one)
        # Who has been silent for long is not remembered.
        at.clock.moment += timedelta(days=31)
        store.publish("walk", "pod-3", one)
        assert store.running("talk", began) == ()

    def test_of_many_at_once_each_gets_a_number_of_its_own(self, at: Place) -> None:
        def add(number: int) -> None:
            mine = at.reopen()
            mine.add_version(version(number, status=ACTIVE))
            mine.add_package(package(1), "key:ann")

        threads = [threading.Thread(target=add, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = at.reopen().versions("friend")
        assert [one.version_number for one in found] == [4, 3, 2, 1]
        assert [one.status for one in found] == [ACTIVE, *(ARCHIVED,) * 3]
        assert at.audited() == [("packages.append", "1..1", 1)]


class SqlVoiceStoreSuite(VoiceStoreSuite, SqlSuite):
    def place(self, folder: Path) -> Place:
        engines = self.engines(folder)
        clock = SetClock()

        def consent(granted: bool, days: int) -> None:
            at = clock.now() + timedelta(days=days)
            SqlEventLog(engines(), clock).record_consent(Consent(ANN, "train", granted, at))

        def erase(person: str) -> None:
            SqlPersonStore(engines(), folder).erase(person, "cli:ann", clock.now())

        def audited() -> list[tuple[str, str, int]]:
            entries = SqlAuditLog(engines(), clock).entries("default")
            return [
                (entry.action, entry.resource, entry.rows)
                for entry in entries
                if entry.action.startswith("packages.")
            ]

        return Place(
            lambda: SqlVoiceStore(engines(), clock),
            lambda *records: put(engines(), *records),
            consent,
            erase,
            audited,
            clock,
        )


class TestSqlVoiceStore(OnSqlite, SqlVoiceStoreSuite):
    pass


class TestSqlVoiceStoreOnPostgresql(OnPostgresql, SqlVoiceStoreSuite):
    pass
