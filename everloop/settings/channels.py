"""Where people are told of what happened."""

from __future__ import annotations

import os

from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey
from everloop.contracts.notifications import ChannelConfig

NOTIFY_WEBHOOK_URL = "EVERLOOP_NOTIFY_WEBHOOK_URL"
NOTIFY_WEBHOOK_SECRET = "EVERLOOP_NOTIFY_WEBHOOK_SECRET"  # noqa: S105 — a name
NOTIFY_SLACK_URL = "EVERLOOP_NOTIFY_SLACK_URL"
NOTIFY_SMTP_URL = "EVERLOOP_NOTIFY_SMTP_URL"
NOTIFY_MAIL_FROM = "EVERLOOP_NOTIFY_MAIL_FROM"
NOTIFY_MAIL_TO = "EVERLOOP_NOTIFY_MAIL_TO"
MIN_SECRET_CHARACTERS = 16


def notifications() -> ChannelConfig:
    """Where the environment says that people are told.

    Raises:
        ShouldFixArgument: an address lacks what it needs.
        ShouldProvideKey: a webhook is named without a secret of at least 16 characters.
    """
    webhook, slack, smtp = (
        os.environ.get(name, "") for name in (NOTIFY_WEBHOOK_URL, NOTIFY_SLACK_URL, NOTIFY_SMTP_URL)
    )
    secret = os.environ.get(NOTIFY_WEBHOOK_SECRET, "")
    for name, url in ((NOTIFY_WEBHOOK_URL, webhook), (NOTIFY_SLACK_URL, slack)):
        if url and not url.startswith(("https://", "http://")):
            raise ShouldFixArgument(f"{name} is no http(s) address.", "Give a URL.")
    if webhook and len(secret) < MIN_SECRET_CHARACTERS:
        raise ShouldProvideKey(
            f"{NOTIFY_WEBHOOK_SECRET} has {len(secret)} characters.",
            f"Give {MIN_SECRET_CHARACTERS} or more, the same as the receiver checks with.",
        )
    sender = os.environ.get(NOTIFY_MAIL_FROM, "")
    recipients = _recipients(os.environ.get(NOTIFY_MAIL_TO, ""))
    if smtp and not (smtp.startswith(("smtp://", "smtps://")) and sender and recipients):
        raise ShouldFixArgument(
            f"{NOTIFY_SMTP_URL} needs smtp:// or smtps://, {NOTIFY_MAIL_FROM} and {NOTIFY_MAIL_TO}.",
            "Set all three, or none.",
        )
    return ChannelConfig(webhook, secret, slack, smtp, sender, recipients)


def _recipients(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
