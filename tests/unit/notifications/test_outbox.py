"""What is due is sent once, tried again with growing pauses, and given up at last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldRetryLater
from everloop.contracts.notifications import Notice, NoticeKind, QueuedNotice
from everloop.notifications.outbox import MOST_ATTEMPTS, Delivered, again_at, deliver
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.notices import SqlNoticeStore
from tests.log_records import NOON

NOTICE = Notice("k", NoticeKind.HOLD, "walk", "A title", "A body", NOON)
SECOND = timedelta(seconds=1)


class Channel:
    name = "webhook"

    def __init__(self, *problems: EverloopError | None) -> None:
        self.problems, self.got = list(problems), list[str]()

    def send(self, notice: Notice) -> None:
        self.got.append(notice.key)
        problem = self.problems.pop(0) if self.problems else None
        if problem is not None:
            raise problem


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlNoticeStore]:
    engine = open_workspace_database(tmp_path / "state.db")
    yield SqlNoticeStore(engine)
    engine.dispose()


def test_what_arrives_is_sent_once(store: SqlNoticeStore) -> None:
    store.queue(NOTICE, ["webhook"])
    channel = Channel()
    assert deliver(store, [channel], NOON) == Delivered(sent=1)
    assert deliver(store, [channel], NOON + timedelta(days=1)) == Delivered()
    assert channel.got == ["k"]


def test_a_failure_is_tried_again_after_its_pause(store: SqlNoticeStore) -> None:
    store.queue(NOTICE, ["webhook"])
    channel = Channel(ShouldRetryLater("503"))
    assert deliver(store, [channel], NOON) == Delivered(failed=1)
    assert deliver(store, [channel], NOON + 29 * SECOND) == Delivered()
    assert deliver(store, [channel], NOON + 30 * SECOND) == Delivered(sent=1)
    assert channel.got == ["k", "k"]


def test_what_will_not_work_is_given_up_at_once_and_keeps_its_reason(store: SqlNoticeStore) -> None:
    store.queue(NOTICE, ["webhook"])
    assert deliver(store, [Channel(ShouldFixArgument("404"))], NOON) == Delivered(given_up=1)
    (kept,) = store.queued()
    assert (kept.state, kept.last_error) == ("given_up", "404")


def test_a_channel_that_is_gone_is_given_up_and_others_go_on(store: SqlNoticeStore) -> None:
    store.queue(NOTICE, ["slack", "webhook"])
    assert deliver(store, [Channel()], NOON) == Delivered(sent=1, given_up=1)


def test_one_that_fails_does_not_hold_up_the_next(store: SqlNoticeStore) -> None:
    store.queue(NOTICE, ["webhook"])
    store.queue(Notice("l", NoticeKind.HOLD, "walk", "T", "B", NOON + SECOND), ["webhook"])
    channel = Channel(ShouldRetryLater("503"))
    assert deliver(store, [channel], NOON + SECOND) == Delivered(sent=1, failed=1)
    assert channel.got == ["k", "l"]


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 30), (1, 60), (2, 120), (9, 15_360), (10, 21_600)]
)
def test_pauses_double_up_to_six_hours(attempts: int, seconds: int) -> None:
    queued = QueuedNotice(NOTICE.notice_id, "webhook", NOTICE, "queued", attempts)
    assert again_at(queued, ShouldRetryLater("503"), NOON) == NOON + seconds * SECOND


def test_the_receiver_s_own_wait_counts_and_attempts_end() -> None:
    first = QueuedNotice(NOTICE.notice_id, "webhook", NOTICE, "queued", 0)
    asked = ShouldRetryLater("429", retry_after=600.0)
    assert again_at(first, asked, NOON) == NOON + 600 * SECOND
    last = QueuedNotice(NOTICE.notice_id, "webhook", NOTICE, "queued", MOST_ATTEMPTS - 1)
    assert again_at(last, asked, NOON) is None
