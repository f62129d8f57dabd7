"""One HTTP POST, and which of its failures may be tried again."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from everloop.contracts.errors import ShouldFixArgument, ShouldRetryLater

TIMEOUT_S = 10.0
_TRANSIENT = {408, 409, 425, 429}
_LONGEST_WAIT_S = 3600.0


def post(name: str, url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Post a body; returns when the receiver answered 2xx. Redirects are not followed.

    Raises:
        ShouldRetryLater: no answer, 408, 409, 425, 429 or 5xx; ``retry_after`` as the receiver asks.
        ShouldFixArgument: any other answer, which would be the same again.
    """
    try:
        answer = httpx.post(url, content=body, headers=dict(headers), timeout=TIMEOUT_S)
    except httpx.HTTPError as problem:
        raise ShouldRetryLater(
            f"The {name} could not be reached ({type(problem).__name__}).", "It is tried again."
        ) from None
    except httpx.InvalidURL:
        raise ShouldFixArgument(f"The {name}'s address is no URL.", "Correct it.") from None
    if answer.is_success:
        return
    said = f"The {name} answered {answer.status_code}."
    if answer.status_code in _TRANSIENT or answer.is_server_error:
        raise ShouldRetryLater(said, "It is tried again.", _asked_wait(answer))
    raise ShouldFixArgument(said, "Check its address and its secret.")


def _asked_wait(answer: httpx.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return min(_LONGEST_WAIT_S, float(text)) if text.isdecimal() and int(text) > 0 else 1.0
