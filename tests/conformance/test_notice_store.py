"""What every ``NoticeStore`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from everloop.contracts.notifications import Notice, NoticeKind, QueuedNotice
from everloop.contracts.rollout_ports import NoticeStore
from everloop.storage.sql.notices import ALONE, SqlNoticeStore
from tests.log_records import NOON
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

Opener = Callable[[], NoticeStore]

NOTICE = Notice(
    key="rollback/r1",
    kind=NoticeKind.ROLLBACK,
    loop="walk",
    title="A candidate was rolled back: walk",
    body="The upper bound is below 0: −.02.",
    at=NOON,
    facts={"rollout_id": "r1", "decided_by": ["primary"]},
)
MINUTE = timedelta(minutes=1)


class NoticeStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same store again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def store(self, reopen: Opener) -> NoticeStore:
        return reopen()

    def test_a_notice_comes_out_as_it_went_in(self, store: NoticeStore, reopen: Opener) -> None:
        assert store.queue(NOTICE, ["webhook"]) == 1
        (found,) = reopen().due(NOON)
        assert found == QueuedNotice(
            NOTICE.notice_id, "webhook", NOTICE, "queued", 0, next_attempt_at=NOON
        )

    def test_the_same_thing_is_told_once_for_each_channel(self, store: NoticeStore) -> None:
        assert store.queue(NOTICE, ["webhook", "slack", "slack"]) == 2
        later = replace(NOTICE, title="Another wording", at=NOON + MINUTE)
        assert store.queue(later, ["webhook", "slack"]) == 0
        assert store.queue(later, ["email"]) == 1
        store.sent(NOTICE.notice_id, "webhook", NOON)
        assert store.queue(NOTICE, ["webhook"]) == 0

    def test_another_tenant_s_same_key_is_another_notice(self, store: NoticeStore) -> None:
        store.queue(NOTICE, ["webhook"])
        assert store.queue(replace(NOTICE, tenant="acme"), ["webhook"]) == 1
        assert len(store.due(NOON)) == 2
        assert [q.notice.tenant for q in store.queued(tenant="acme")] == ["acme"]

    def test_who_takes_a_notice_has_it_alone_for_a_while(
        self, store: NoticeStore, reopen: Opener
    ) -> None:
        store.queue(NOTICE, ["webhook"])
        assert len(store.due(NOON)) == 1
        other = reopen()
        assert other.due(NOON + ALONE - MINUTE / 60) == ()
        assert len(other.due(NOON + ALONE)) == 1

    def test_two_who_look_at_once_never_share(self, store: NoticeStore, reopen: Opener) -> None:
        for number in range(20):
            store.queue(replace(NOTICE, key=f"rollback/r{number}"), ["webhook"])
        taken: list[str] = []

        def take(own: NoticeStore) -> None:
            while found := own.due(NOON, limit=3):
                taken.extend(q.notice_id for q in found)

        threads = [threading.Thread(target=take, args=(reopen(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == len(set(taken)) == 20

    def test_a_failed_one_waits_and_counts(self, store: NoticeStore) -> None:
        store.queue(NOTICE, ["webhook"])
        store.due(NOON)
        store.failed(NOTICE.notice_id, "webhook", "503", NOON + 5 * MINUTE)
        assert store.due(NOON + 4 * MINUTE) == ()
        (again,) = store.due(NOON + 5 * MINUTE)
        assert (again.attempts, again.last_error, again.state) == (1, "503", "queued")

    def test_one_that_was_given_up_is_never_due(self, store: NoticeStore) -> None:
        store.queue(NOTICE, ["webhook"])
        store.failed(NOTICE.notice_id, "webhook", "404", None)
        assert store.due(NOON + timedelta(days=9)) == ()
        assert [q.state for q in store.queued()] == ["given_up"]

    def test_one_that_was_sent_stays_sent(self, store: NoticeStore) -> None:
        store.queue(NOTICE, ["webhook"])
        store.sent(NOTICE.notice_id, "webhook", NOON + MINUTE)
        store.failed(NOTICE.notice_id, "webhook", "late", NOON + MINUTE)
        (found,) = store.queued()
        assert (found.state, found.sent_at, found.last_error) == ("sent", NOON + MINUTE, "")
        assert store.due(NOON + timedelta(days=9)) == ()

    def test_the_oldest_is_due_first_and_shown_last(self, store: NoticeStore) -> None:
        for number in (2, 0, 1):
            notice = replace(NOTICE, key=f"rollback/r{number}", at=NOON + number * MINUTE)
            store.queue(notice, ["webhook"])
        keys = [q.notice.key for q in store.due(NOON + 9 * MINUTE, limit=2)]
        assert keys == ["rollback/r0", "rollback/r1"]
        shown = [q.notice.key for q in store.queued()]
        assert shown == ["rollback/r2", "rollback/r1", "rollback/r0"]


class SqlNoticeStoreSuite(NoticeStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        engines = self.engines(folder)
        return lambda: SqlNoticeStore(engines())


class TestSqlNoticeStore(OnSqlite, SqlNoticeStoreSuite):
    pass


class TestSqlNoticeStoreOnPostgresql(OnPostgresql, SqlNoticeStoreSuite):
    pass
