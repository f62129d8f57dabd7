"""``everloop notify``."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop.cli.app import app
from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey
from everloop.contracts.notifications import Notice, NoticeKind
from everloop.sdk.notifying import outbox, queue, tell
from everloop.settings import initialise
from everloop.wiring import Workspace, open_workspace
from tests.log_records import NOON
from tests.unit.notifications.receivers import endpoint

NOTICE = Notice("hold/r1", NoticeKind.HOLD, "walk", "The gate holds a candidate", "No data.", NOON)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def configure(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("EVERLOOP_NOTIFY_WEBHOOK_URL", url)
    monkeypatch.setenv("EVERLOOP_NOTIFY_WEBHOOK_SECRET", "sixteen characters and more")


def test_without_a_channel_a_test_says_what_to_set() -> None:
    ended = CliRunner().invoke(app, ["notify", "test"])
    assert isinstance(ended.exception, ShouldFixArgument)
    assert "EVERLOOP_NOTIFY_WEBHOOK_URL" in ended.exception.remedy


def test_a_test_tells_each_channel_s_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint() as receiver:
        configure(monkeypatch, receiver.url)
        assert CliRunner().invoke(app, ["notify", "test"]).exit_code == 0
        receiver.statuses.append((404, {}))
        refused = CliRunner().invoke(app, ["notify", "test"])
    assert refused.exit_code == 1
    assert "404" in refused.output


def test_what_is_told_is_sent_once_and_listed(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    with endpoint() as receiver:
        configure(monkeypatch, receiver.url)
        assert tell(workspace, NOTICE, None).sent == 1
        assert tell(workspace, NOTICE).sent == 0
        assert len(receiver.requests) == 1
    listed = CliRunner().invoke(app, ["notify", "list", "--home", str(workspace.home)])
    assert "The gate holds a candidate" in listed.output
    assert "sent" in listed.output


def test_what_could_not_be_sent_is_delivered_later(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    with endpoint() as receiver:
        configure(monkeypatch, receiver.url)
        assert queue(workspace, NOTICE) == 1
        asked = ["notify", "deliver", "--home", str(workspace.home)]
        assert CliRunner().invoke(app, asked).exit_code == 0
        assert len(receiver.requests) == 1
    assert [q.state for q in outbox(workspace)] == ["sent"]


def test_a_command_without_a_channel_leaves_what_waits_to_those_who_have_one(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    with endpoint() as receiver:
        configure(monkeypatch, receiver.url)
        assert queue(workspace, NOTICE) == 1
        monkeypatch.delenv("EVERLOOP_NOTIFY_WEBHOOK_URL")
        asked = ["notify", "deliver", "--home", str(workspace.home)]
        assert CliRunner().invoke(app, asked).exit_code == 0
        assert [q.state for q in outbox(workspace)] == ["queued"]
        configure(monkeypatch, receiver.url)
        assert tell(workspace).sent == 1


def test_without_a_channel_nothing_piles_up(workspace: Workspace) -> None:
    assert queue(workspace, NOTICE) == 0
    assert outbox(workspace) == ()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("EVERLOOP_NOTIFY_WEBHOOK_URL", "ftp://h", ShouldFixArgument),
        ("EVERLOOP_NOTIFY_WEBHOOK_URL", "https://h", ShouldProvideKey),
        ("EVERLOOP_NOTIFY_SLACK_URL", "hooks", ShouldFixArgument),
        ("EVERLOOP_NOTIFY_SMTP_URL", "smtp://h", ShouldFixArgument),
    ],
)
def test_half_a_configuration_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, error: type[Exception]
) -> None:
    monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(app, ["notify", "test"])
    assert isinstance(ended.exception, error)
    assert "EVERLOOP_NOTIFY" in str(ended.exception)
