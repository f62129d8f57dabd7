"""What every ``OversightStore`` must do."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, update
from sqlalchemy.exc import DBAPIError

from everloop.contracts.access import AuditEntry
from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput, ShouldResolveConflict
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.rollout_ports import OversightStore
from everloop.storage.rollout_tables import oversights
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.engine import writing
from everloop.storage.sql.oversights import SqlOversightStore
from tests.log_records import ANN, NOON, SetClock, uuid_of
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

Opener = Callable[[], OversightStore]
APPROVAL, REVIEW = OversightKind.APPROVAL, OversightKind.REVIEW


def oversight(number: int = 1, **changes: Any) -> Oversight:
    values: dict[str, Any] = {
        "oversight_id": uuid_of(number, "oversight"),
        "kind": APPROVAL,
        "loop": "walk",
        "subject_id": uuid_of(1, "deployment"),
        "passed": True,
        "actor": "Ann Ott",
        "reason": "The interval is clear of the margin.",
        "at": NOON + timedelta(days=number),
    }
    return Oversight(**(values | changes))


class OversightStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same store again and again."""

    @abstractmethod
    def audited(self, tenant: str = "default") -> tuple[AuditEntry, ...]:
        """The audit log beside the store."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def store(self, reopen: Opener) -> OversightStore:
        return reopen()

    def test_what_was_said_is_read_as_it_was(self, store: OversightStore, reopen: Opener) -> None:
        said = oversight(
            kind=OversightKind.ADVERSARIAL_TEST,
            passed=False,
            reason="é: 3 of 40 attacks",
            at=NOON + timedelta(microseconds=1),
            evidence={"attacks": 40, "shares": [0.1 + 0.2, None], "by": {"tricks": True}},
        )
        assert store.add(said) == said
        assert reopen().all("walk") == (said,)
        assert reopen().latest("walk", OversightKind.ADVERSARIAL_TEST) == said

    def test_the_newest_of_a_kind_counts_whatever_the_order_of_arrival(
        self, store: OversightStore
    ) -> None:
        for number in (2, 3, 1):
            store.add(oversight(number))
        store.add(oversight(9, kind=REVIEW))
        assert store.latest("walk", APPROVAL) == oversight(3)
        assert store.latest("walk", REVIEW) == oversight(9, kind=REVIEW)
        assert store.latest("walk", OversightKind.ADVERSARIAL_TEST) is None
        assert [one.at for one in store.all("walk")] == [
            NOON + timedelta(days=n) for n in (9, 3, 2, 1)
        ]
        assert store.all("walk", limit=2) == (oversight(9, kind=REVIEW), oversight(3))

    def test_a_subject_has_words_of_its_own(self, store: OversightStore) -> None:
        store.add(oversight(1))
        store.add(oversight(2, subject_id="another", passed=False))
        assert store.latest("walk", APPROVAL, oversight().subject_id) == oversight(1)
        assert store.latest("walk", APPROVAL, "another") == oversight(
            2, subject_id="another", passed=False
        )
        assert store.latest("walk", APPROVAL, "nobody's") is None

    def test_of_two_at_one_moment_the_no_counts(self, store: OversightStore) -> None:
        for number, passed in ((1, True), (2, False), (3, True)):
            store.add(oversight(number, passed=passed, at=NOON))
        found = store.latest("walk", APPROVAL)
        assert found is not None
        assert not found.passed

    def test_adding_again_adds_nothing(self, store: OversightStore) -> None:
        said = oversight(evidence={"a": (1, 2)})
        store.add(said)
        zone = timezone(timedelta(hours=5))
        again = replace(said, oversight_id=said.oversight_id.upper(), at=said.at.astimezone(zone))
        assert store.add(again).at == said.at
        assert len(store.all("walk")) == 1
        assert len(self.audited()) == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"passed": False},
            {"actor": "Bob"},
            {"reason": "No."},
            {"subject_id": "another"},
            {"evidence": {"a": 1}},
            {"tenant": "other"},
            {"at": NOON},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_other_words_under_the_same_id_are_refused(
        self, store: OversightStore, change: dict[str, Any]
    ) -> None:
        store.add(oversight())
        with pytest.raises(ShouldResolveConflict, match=oversight().oversight_id):
            store.add(oversight(**change))
        assert store.all("walk") == (oversight(),)
        assert store.all("walk", tenant="other") == ()
        assert len(self.audited()) == 1

    def test_loops_and_tenants_are_apart(self, store: OversightStore) -> None:
        said = (oversight(1), oversight(2, loop="run"), oversight(3, tenant="other"))
        for one in said:
            store.add(one)
        assert store.all("walk") == said[:1]
        assert store.latest("run", APPROVAL) == said[1]
        assert store.latest("walk", APPROVAL, tenant="other") == said[2]
        assert store.latest("run", APPROVAL, tenant="other") is None

    def test_it_is_audited_with_who_what_and_why(self, store: OversightStore) -> None:
        store.add(oversight(tenant="other", passed=False))
        (entry,) = self.audited("other")
        assert (entry.actor, entry.action, entry.resource) == (
            "Ann Ott",
            "oversight.approval",
            oversight().oversight_id,
        )
        assert entry.detail == {
            "loop": "walk",
            "subject": oversight().subject_id,
            "passed": False,
            "reason": "The interval is clear of the margin.",
        }

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"oversight_id": "monday"}, "monday"),
            ({"at": NOON.replace(tzinfo=None)}, "no time zone"),
            ({"evidence": {"auc": math.nan}}, "no finite JSON"),
            ({"evidence": {"when": datetime(2026, 1, 1, tzinfo=UTC)}}, "no finite JSON"),
            ({"reason": f"{ANN} is wronged"}, "would name a person"),
        ],
    )
    def test_what_cannot_be_kept_is_refused_and_nothing_is_stored(
        self, store: OversightStore, change: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(ShouldFixArgument, match=says):
            store.add(oversight(**change))
        assert store.all("walk") == ()
        assert self.audited() == ()

    @pytest.mark.parametrize(
        "change", [{"reason": "a\x00b"}, {"actor": "\ud800"}, {"loop": "l" * 64}]
    )
    def test_texts_that_a_database_would_not_keep_are_refused(
        self, store: OversightStore, change: dict[str, Any]
    ) -> None:
        with pytest.raises(ShouldFixInput, match="Oversight"):
            store.add(oversight(**change))
        assert store.all("walk") == ()

    def test_a_page_of_none_is_refused(self, store: OversightStore) -> None:
        with pytest.raises(ShouldFixArgument, match="limit=0"):
            store.all("walk", limit=0)

    def test_the_same_words_from_many_at_once_are_one(self, reopen: Opener) -> None:
        reopen()
        stored: list[Oversight] = []
        threads = [
            threading.Thread(target=lambda: stored.append(reopen().add(oversight())))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert stored == [oversight()] * 6
        assert reopen().all("walk") == (oversight(),)
        assert len(self.audited()) == 1


class SqlOversightStoreSuite(OversightStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        self._engines: Callable[[], Engine] = self.engines(folder)
        return lambda: SqlOversightStore(self._engines(), SetClock())

    def audited(self, tenant: str = "default") -> tuple[AuditEntry, ...]:
        return SqlAuditLog(self._engines(), SetClock()).entries(tenant)

    @pytest.mark.parametrize("change", [update(oversights).values(passed=True), delete(oversights)])
    def test_the_database_refuses_to_change_or_forget_words(
        self, store: OversightStore, change: Any
    ) -> None:
        store.add(oversight(passed=False))
        with pytest.raises(DBAPIError, match="append-only"), writing(self._engines()) as connection:
            connection.execute(change)
        assert store.all("walk") == (oversight(passed=False),)


class TestSqlOversightStore(OnSqlite, SqlOversightStoreSuite):
    pass


class TestSqlOversightStoreOnPostgresql(OnPostgresql, SqlOversightStoreSuite):
    pass
