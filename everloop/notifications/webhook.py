"""Notices to an HTTP endpoint, signed so that it can tell ours from anybody's.

The signature is HMAC-SHA-256 under the shared secret over ``<timestamp>.<body>``, in hexadecimal, as
``X-Everloop-Signature: v1=<hex>`` with ``X-Everloop-Timestamp: <seconds since the epoch>``. The timestamp
is that of the attempt, so that a receiver refuses old requests that somebody replays; ``X-Everloop-Notice``
is the same in every attempt, so that it can tell repetitions.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable

from everloop.contracts.notifications import Notice
from everloop.notifications.posting import post

TOLERANCE_S = 300
"""How old a request may be for ``verify``."""


class WebhookChannel:
    """Posts notices as JSON.

    Args:
        url: the endpoint.
        secret: shared with it.
        clock: seconds since the epoch.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._url, self._secret, self._clock = url, secret, clock

    def send(self, notice: Notice) -> None:
        """See ``NoticeChannel``."""
        body, timestamp = body_of(notice), str(int(self._clock()))
        post(
            self.name,
            self._url,
            body,
            {
                "Content-Type": "application/json",
                "X-Everloop-Notice": notice.notice_id,
                "X-Everloop-Timestamp": timestamp,
                "X-Everloop-Signature": signature(self._secret, timestamp, body),
            },
        )


def body_of(notice: Notice) -> bytes:
    """The notice as JSON; the same notice gives the same bytes."""
    document = {
        "notice_id": notice.notice_id,
        "kind": notice.kind.value,
        "tenant": notice.tenant,
        "loop": notice.loop,
        "title": notice.title,
        "body": notice.body,
        "at": notice.at.isoformat(),
        "facts": dict(notice.facts),
    }
    return json.dumps(document, sort_keys=True).encode()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``v1=`` and the HMAC in hexadecimal."""
    signed = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def verify(secret: str, timestamp: str, body: bytes, given: str, now: float) -> bool:
    """Whether a request is ours and fresh; what a receiver should do."""
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > TOLERANCE_S:
        return False
    return hmac.compare_digest(signature(secret, timestamp, body), given)
