"""What every ``PersonaStore`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixInput,
    ShouldNameKnownId,
    ShouldResolveConflict,
)
from everloop.contracts.personas import PersonaStore
from everloop.storage.sql.persona_revisions import SqlPersonaStore
from tests.log_records import ANN, BEN, NOON
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite
from tests.voice_records import graph, revision

Opener = Callable[[], PersonaStore]


class PersonaStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same store again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def store(self, reopen: Opener) -> PersonaStore:
        return reopen()

    def test_what_was_appended_is_read_to_the_byte(
        self, store: PersonaStore, reopen: Opener
    ) -> None:
        content = graph(("zéro \x00 \U0001f600", "feedback", ANN))
        first = revision(1, content)
        second = revision(2, recorded_at=NOON + timedelta(seconds=1), undoes=1)
        assert store.append(first) == first
        assert store.append(second) == second
        again = reopen()
        assert again.newest("friend") == second
        assert again.revision("friend", 1) == first
        assert again.revision("friend", 1).content == content
        assert again.revisions("friend") == (second, first)
        assert again.revisions("friend", limit=1) == (second,)

    def test_the_same_cause_on_the_same_predecessor_is_written_once(
        self, store: PersonaStore
    ) -> None:
        first = store.append(revision(1))
        later = revision(1, recorded_at=NOON + timedelta(hours=1), reason="again")
        assert store.append(later) == first
        assert store.revisions("friend") == (first,)

    @pytest.mark.parametrize("number", [1, 3, 0])
    def test_only_the_number_after_the_newest_is_taken(
        self, store: PersonaStore, number: int
    ) -> None:
        store.append(revision(1))
        with pytest.raises(ShouldResolveConflict, match="newest"):
            store.append(revision(number, cause="another"))
        assert len(store.revisions("friend")) == 1

    def test_personas_people_and_tenants_are_apart(self, store: PersonaStore) -> None:
        made = [
            revision(1),
            revision(1, persona="guide"),
            revision(1, user_id=ANN),
            revision(1, user_id=BEN),
            revision(1, tenant="other"),
        ]
        for each in made:
            store.append(each)
        for each in made:
            assert store.revisions(each.persona, each.user_id, each.tenant) == (each,)
        assert store.newest("guide", ANN) is None

    def test_a_cause_finds_its_newest_revision(self, store: PersonaStore) -> None:
        for number, cause in enumerate(("ann", "run", "ann"), 1):
            store.append(revision(number, cause=cause))
        found = store.caused_by("friend", "ann")
        assert found is not None
        assert found.number == 3
        assert store.caused_by("friend", "ann", BEN) is None
        assert store.caused_by("friend", "nobody") is None

    def test_what_is_not_there_is_named(self, store: PersonaStore) -> None:
        assert store.newest("friend") is None
        with pytest.raises(ShouldNameKnownId, match="revision 7"):
            store.revision("friend", 7)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
    def test_what_is_no_graph_is_refused(self, store: PersonaStore, content: bytes) -> None:
        with pytest.raises(ShouldFixArgument, match="JSON"):
            store.append(revision(1, content))

    def test_who_erases_or_causes_nothing_is_refused(self, store: PersonaStore) -> None:
        with pytest.raises(ShouldFixArgument, match="erased=True"):
            store.append(replace(revision(1), erased=True))
        with pytest.raises(ShouldFixArgument, match="cause=''"):
            store.append(revision(1, cause=""))
        with pytest.raises(ShouldFixInput, match="NUL"):
            store.append(revision(1, reason="\x00"))
        with pytest.raises(ShouldFixArgument, match="limit=0"):
            store.revisions("friend", limit=0)

    def test_of_many_changes_at_once_none_is_lost(
        self, store: PersonaStore, reopen: Opener
    ) -> None:
        store.append(revision(1))

        def change(cause: str) -> None:
            mine = reopen()
            while True:
                newest = mine.newest("friend")
                assert newest is not None
                try:
                    mine.append(revision(newest.number + 1, cause=cause))
                except ShouldResolveConflict:
                    continue
                return

        threads = [threading.Thread(target=change, args=(f"feedback {n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = store.revisions("friend")
        assert [each.number for each in found] == [5, 4, 3, 2, 1]
        assert {each.cause for each in found} == {"cause 1", *(f"feedback {n}" for n in range(4))}


class SqlPersonaStoreSuite(PersonaStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        engines = self.engines(folder)
        return lambda: SqlPersonaStore(engines())


class TestSqlPersonaStore(OnSqlite, SqlPersonaStoreSuite):
    pass


class TestSqlPersonaStoreOnPostgresql(OnPostgresql, SqlPersonaStoreSuite):
    pass
