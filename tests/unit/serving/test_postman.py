"""The service sends what its workspace has to tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import ShouldRetryLater
from everloop.contracts.notifications import Notice, NoticeKind
from everloop.contracts.rollouts import RolloutRecord
from everloop.serving.postman import Postman
from everloop.settings import initialise
from everloop.storage.local.clock import SystemClock
from everloop.wiring import Workspace, open_workspace
from tests.log_records import NOON


class Channel:
    name = "webhook"

    def __init__(self) -> None:
        self.got: list[Notice] = []

    def send(self, notice: Notice) -> None:
        self.got.append(notice)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def notice(key: str) -> Notice:
    return Notice(key, NoticeKind.HOLD, "walk", "A title", "", NOON)


def wait_for(done: Callable[[], bool]) -> None:
    """Until a callable says yes; the test's own time-out ends it."""
    while not done():
        time.sleep(0.01)


def test_what_is_queued_while_it_runs_is_sent(workspace: Workspace) -> None:
    channel = Channel()
    workspace.notices.queue(notice("first"), ["webhook"])
    with Postman(workspace, [channel], SystemClock(), every_s=0.01) as postman:
        wait_for(lambda: len(channel.got) == 1)
        workspace.notices.queue(notice("second"), ["webhook"])
        wait_for(lambda: len(channel.got) == 2)
        assert postman.alive
    assert not postman.alive


def test_what_happens_to_a_trial_is_told_once_whoever_did_it(workspace: Workspace) -> None:
    now = SystemClock().now()
    started = workspace.rollouts.start(
        RolloutRecord("r1", "walk", "c1", None, "started", 1.0, ("fine",), now, tenant="acme")
    )
    channel = Channel()
    postman = Postman(workspace, [channel], SystemClock())
    postman.look()
    assert channel.got == []
    back = replace(started, state="rolled_back", traffic_percent=0.0)
    workspace.rollouts.advance(back, "rolled_back", "It hurts.", "cli:ann")
    postman.look()
    postman.look()
    Postman(workspace, [channel], SystemClock()).look()
    assert [(n.kind, n.tenant, n.facts["actor"]) for n in channel.got] == [
        (NoticeKind.ROLLBACK, "acme", "cli:ann")
    ]


def test_a_database_that_is_away_stops_nobody(workspace: Workspace) -> None:
    away = [ShouldRetryLater("busy"), ShouldRetryLater("busy")]

    class Sometimes:
        def __getattr__(self, name: str) -> Any:
            if name == "due" and away:
                raise away.pop()
            return getattr(workspace.notices, name)

    workspace.notices.queue(notice("first"), ["webhook"])
    channel = Channel()
    flaky = replace(workspace, notices=Sometimes())
    with Postman(flaky, [channel], SystemClock(), every_s=0.01):
        wait_for(lambda: bool(channel.got))
    assert not away


def test_without_a_channel_nothing_runs_and_nothing_is_wrong(workspace: Workspace) -> None:
    with Postman(workspace, [], SystemClock()) as postman:
        assert postman.alive
