"""Notices arrive as the receivers expect them, and a failure says whether to try again."""

from __future__ import annotations

import email
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldRetryLater
from everloop.contracts.notifications import ChannelConfig, Notice, NoticeKind
from everloop.notifications import email as by_email
from everloop.notifications import slack, webhook
from everloop.notifications.channels import channels_of
from tests.unit.notifications.receivers import endpoint, mailbox

NOTICE = Notice(
    key="rollback/r1",
    kind=NoticeKind.ROLLBACK,
    loop="walk",
    title="A candidate was rolled back: walk",
    body="The upper bound <0 & stays there.",
    at=datetime(2026, 3, 28, 12, tzinfo=UTC),
    facts={"rollout_id": "r1"},
)
SECRET = "sixteen or more characters"


def test_a_webhook_gets_json_signed_over_time_and_body() -> None:
    with endpoint() as receiver:
        webhook.WebhookChannel(receiver.url, SECRET, clock=lambda: 1_774_699_200.9).send(NOTICE)
    ((headers, body),) = receiver.requests
    expected = hmac.new(SECRET.encode(), b"1774699200." + body, hashlib.sha256).hexdigest()
    assert headers["x-everloop-signature"] == f"v1={expected}"
    assert headers["x-everloop-timestamp"] == "1774699200"
    assert headers["x-everloop-notice"] == NOTICE.notice_id
    told = json.loads(body)
    assert (told["kind"], told["title"], told["facts"]) == (
        "rollback",
        NOTICE.title,
        {"rollout_id": "r1"},
    )
    assert webhook.verify(
        SECRET, "1774699200", body, headers["x-everloop-signature"], 1_774_699_300
    )


@pytest.mark.parametrize("what", ["body", "secret", "time", "old", "future", "no number"])
def test_a_request_that_is_not_ours_or_not_fresh_does_not_verify(what: str) -> None:
    body, now = webhook.body_of(NOTICE), 1_774_699_200.0
    given = webhook.signature(SECRET, "1774699200", body)
    asked: dict[str, Any] = {
        "secret": SECRET,
        "timestamp": "1774699200",
        "body": body,
        "given": given,
        "now": now,
    }
    assert webhook.verify(**asked)
    wrong: dict[str, dict[str, Any]] = {
        "body": {"body": body + b" "},
        "secret": {"secret": SECRET + "x"},
        "time": {"timestamp": "1774699201"},
        "old": {"now": now + webhook.TOLERANCE_S + 1},
        "future": {"now": now - webhook.TOLERANCE_S - 1},
        "no number": {"timestamp": "now"},
    }
    assert not webhook.verify(**{**asked, **wrong[what]})


@pytest.mark.parametrize(
    ("status", "error", "wait"),
    [
        (500, ShouldRetryLater, 1.0),
        (503, ShouldRetryLater, 120.0),
        (429, ShouldRetryLater, 120.0),
        (404, ShouldFixArgument, None),
        (403, ShouldFixArgument, None),
        (302, ShouldFixArgument, None),
    ],
)
def test_a_status_says_whether_to_try_again(
    status: int, error: type[Exception], wait: float | None
) -> None:
    with endpoint() as receiver:
        headers = {"retry-after": "120", "location": receiver.url} if status != 500 else {}
        receiver.statuses.append((status, headers))
        with pytest.raises(error, match=str(status)) as raised:
            webhook.WebhookChannel(receiver.url, SECRET).send(NOTICE)
        assert len(receiver.requests) == 1
    assert getattr(raised.value, "retry_after", None) == wait


def test_no_receiver_is_tried_again_and_no_address_is_not() -> None:
    with endpoint() as receiver:
        gone = receiver.url
    with pytest.raises(ShouldRetryLater, match="reached"):
        webhook.WebhookChannel(gone, SECRET).send(NOTICE)
    with pytest.raises((ShouldFixArgument, ShouldRetryLater)):
        webhook.WebhookChannel("http://[", SECRET).send(NOTICE)


def test_slack_gets_text_that_cannot_become_a_link_or_overflow() -> None:
    with endpoint() as receiver:
        slack.SlackChannel(receiver.url).send(
            replace(NOTICE, title="<!channel> & co", body="x" * 5000)
        )
    told = json.loads(receiver.requests[0][1])
    assert told["text"] == "&lt;!channel&gt; &amp; co"
    texts = [b["text"] for b in told["blocks"] if b["type"] == "section"]
    assert texts[1]["type"] == "plain_text"
    assert all(len(text["text"]) <= 3000 for text in texts)


def test_a_letter_says_it_and_is_the_same_letter_when_repeated() -> None:
    with mailbox() as server:
        channel = by_email.EmailChannel(
            f"smtp://127.0.0.1:{server.port}", "loop@example.org", ("a@example.org", "b@x.org")
        )
        channel.send(NOTICE)
        channel.send(NOTICE)
    first, second = (email.message_from_string(text) for text in server.letters)
    assert first["Subject"] == "[everloop walk] A candidate was rolled back: walk"
    assert first["Message-ID"] == second["Message-ID"] == f"<{NOTICE.notice_id}@everloop.invalid>"
    assert "The upper bound <0 & stays there." in str(first.get_payload())


@pytest.mark.parametrize(
    ("answer", "error"),
    [("451 later", ShouldRetryLater), ("550 no such user", ShouldFixArgument)],
)
def test_refused_recipients_are_final_where_the_server_says_so(
    answer: str, error: type[Exception]
) -> None:
    with mailbox() as server:
        server.refuse["RCPT"] = answer
        with pytest.raises(error):
            by_email.EmailChannel(
                f"smtp://127.0.0.1:{server.port}", "l@example.org", ("a@example.org",)
            ).send(NOTICE)
    assert server.letters == []


def test_a_password_never_travels_without_tls() -> None:
    with mailbox() as server, pytest.raises(ShouldFixArgument, match="TLS"):
        by_email.EmailChannel(
            f"smtp://user:secret@127.0.0.1:{server.port}", "l@example.org", ("a@x.org",)
        ).send(NOTICE)
    assert "AUTH" not in server.commands


def test_channels_are_those_that_are_configured() -> None:
    assert channels_of(ChannelConfig()) == ()
    every = ChannelConfig(
        "https://h.example/x", SECRET, "https://s.example/x", "smtps://m.example", "f@x", ("t@x",)
    )
    assert [c.name for c in channels_of(every)] == ["webhook", "slack", "email"]
    assert "sixteen" not in repr(every)
    assert "s.example" not in repr(every)
