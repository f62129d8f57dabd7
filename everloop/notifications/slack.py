"""Notices to a Slack channel, by an incoming webhook."""

from __future__ import annotations

import json

from everloop.contracts.notifications import Notice
from everloop.notifications.posting import post

_LONGEST = 2900
"""Slack refuses a section of more than 3,000 characters."""


class SlackChannel:
    """Posts notices as a title and a paragraph.

    Args:
        url: the incoming webhook, which is a secret.
    """

    name = "slack"

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, notice: Notice) -> None:
        """See ``NoticeChannel``."""
        post(self.name, self._url, message(notice), {"Content-Type": "application/json"})


def message(notice: Notice) -> bytes:
    """Slack's JSON; ``&``, ``<`` and ``>`` are escaped as Slack asks, so that no text becomes a link."""
    body = notice.body if len(notice.body) <= _LONGEST else notice.body[: _LONGEST - 1] + "…"
    facts = ", ".join(f"{name}: {value}" for name, value in sorted(notice.facts.items()))
    told = f"{notice.loop} · {notice.kind.value.replace('_', ' ')} · {notice.notice_id[:8]}"
    context = f"{told} · {facts}" if facts else told
    document = {
        "text": _escaped(notice.title),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": f"*{_escaped(notice.title)}*"}},
            {"type": "section", "text": {"type": "plain_text", "text": body or notice.title}},
            {
                "type": "context",
                "elements": [{"type": "plain_text", "text": context[:_LONGEST]}],
            },
        ],
    }
    return json.dumps(document).encode()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
