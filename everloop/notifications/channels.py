"""The channels that a configuration names."""

from __future__ import annotations

from everloop.contracts.notifications import ChannelConfig, NoticeChannel
from everloop.notifications.email import EmailChannel
from everloop.notifications.slack import SlackChannel
from everloop.notifications.webhook import WebhookChannel


def channels_of(config: ChannelConfig) -> tuple[NoticeChannel, ...]:
    """One channel per address that is set; none where nothing is."""
    found: list[NoticeChannel] = []
    if config.webhook_url:
        found.append(WebhookChannel(config.webhook_url, config.webhook_secret))
    if config.slack_url:
        found.append(SlackChannel(config.slack_url))
    if config.smtp_url:
        found.append(EmailChannel(config.smtp_url, config.mail_from, config.mail_to))
    return tuple(found)
