"""The service sends what its workspace has to tell."""

from __future__ import annotations

import time
from pathlib import Path

from everloop.contracts.errors import ShouldRetryLater
from everloop.contracts.notifications import Notice, NoticeKind
from everloop.serving.postman import Postman
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.notices import SqlNoticeStore
from tests.log_records import NOON


class Channel:
    name = "webhook"

    def __init__(self) -> None:
        self.got: list[str] = []

    def send(self, notice: Notice) -> None:
        self.got.append(notice.key)


def notice(key: str) -> Notice:
    return Notice(key, NoticeKind.HOLD, "walk", "A title", "", NOON)


def within_seconds(done: object) -> None:
    """Wait until a callable says yes; the test's own time-out ends it."""
    while not done():  # type: ignore[operator]
        time.sleep(0.01)


def test_what_is_queued_while_it_runs_is_sent(tmp_path: Path) -> None:
    store = SqlNoticeStore(open_workspace_database(tmp_path / "state.db"))
    channel = Channel()
    store.queue(notice("first"), ["webhook"])
    with Postman(store, [channel], SystemClock(), every_s=0.01) as postman:
        within_seconds(lambda: channel.got == ["first"])
        store.queue(notice("second"), ["webhook"])
        within_seconds(lambda: len(channel.got) == 2)
        assert postman.alive
    assert not postman.alive


def test_a_database_that_is_away_stops_nobody(tmp_path: Path) -> None:
    store = SqlNoticeStore(open_workspace_database(tmp_path / "state.db"))
    store.queue(notice("first"), ["webhook"])
    away = [ShouldRetryLater("busy"), ShouldRetryLater("busy")]

    class Sometimes(SqlNoticeStore):
        def due(self, *arguments: object, **named: object):  # type: ignore[no-untyped-def, override]
            if away:
                raise away.pop()
            return store.due(*arguments, **named)  # type: ignore[arg-type]

    channel = Channel()
    with Postman(Sometimes(store._engine), [channel], SystemClock(), every_s=0.01):
        within_seconds(lambda: channel.got)
    assert not away


def test_without_a_channel_nothing_runs_and_nothing_is_wrong(tmp_path: Path) -> None:
    store = SqlNoticeStore(open_workspace_database(tmp_path / "state.db"))
    with Postman(store, [], SystemClock()) as postman:
        assert postman.alive
