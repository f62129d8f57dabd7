"""What can go wrong between us and Kubeflow, as our errors; and what may be tried again."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from kfp_server_api import ApiException
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    SSLError,
)

from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldAuthenticate,
    ShouldFixArgument,
    ShouldFixPlatform,
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldRetryLater,
)

T = TypeVar("T")
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_TOLD = 300
Transport = (ApiException, HTTPError, ValueError)


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a call is made, and the pauses between: exponential with jitter.

    Attributes:
        most: calls in all, >= 1.
        first_s, longest_s: the first pause's upper bound and every pause's, seconds.
        sleep: waits; tests replace it.
    """

    most: int = 5
    first_s: float = 0.5
    longest_s: float = 8.0
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if self.most < 1 or not 0 <= self.first_s <= self.longest_s:
            raise ShouldFixArgument(
                f"{self.most} attempts with pauses of {self.first_s} to {self.longest_s} s.",
                "Give at least one attempt and pauses that do not shrink.",
            )

    def pause(self, attempt: int) -> None:
        """Wait after a failed attempt, counted from 0."""
        bound = min(self.longest_s, self.first_s * 2**attempt)
        self.sleep(bound * random.uniform(0.5, 1.0))


class Caller:
    """Calls Kubeflow's API and answers with our errors.

    Args:
        host: its address, which errors name.
        attempts: how often a call is made.
    """

    def __init__(self, host: str, attempts: Attempts) -> None:
        self._host = host
        self._attempts = attempts

    def rest(self, seconds: float) -> None:
        """Wait."""
        self._attempts.sleep(seconds)

    def again(self, what: str, call: Callable[[], T]) -> T:
        """A call that may be repeated, such as a question: it is, while the failure may pass."""
        for attempt in range(self._attempts.most):
            try:
                return call()
            except Transport as problem:
                if attempt + 1 == self._attempts.most or not may_pass(problem):
                    raise explained(problem, what, self._host) from None
                self._attempts.pause(attempt)
        raise AssertionError  # most >= 1

    def once(self, what: str, look: Callable[[], T | None], make: Callable[[], T]) -> T:
        """Make something that must not be made twice.

        Kubeflow may have accepted a request whose answer was lost: before it is sent again, and when its
        name is taken, what is there is looked up.
        """
        for attempt in range(self._attempts.most):
            try:
                return make()
            except Transport as problem:
                taken = isinstance(problem, ApiException) and problem.status == 409
                last = attempt + 1 == self._attempts.most
                if not taken and not may_pass(problem):
                    raise explained(problem, what, self._host) from None
                if not taken:
                    self._attempts.pause(attempt)
                found = look()
                if found is not None:
                    return found
                if last or taken:
                    raise explained(problem, what, self._host) from None
        raise AssertionError  # most >= 1


def may_pass(problem: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(problem, ApiException):
        return problem.status in _AGAIN
    return isinstance(problem, HTTPError) and not _is_tls(problem)


def explained(problem: Exception, what: str, host: str) -> EverloopError:
    """A failure in our words: what was being done, what could not be reached, and the fix."""
    if isinstance(problem, ApiException):
        return _answered(problem, what, host)
    if isinstance(problem, HTTPError):
        return _unreached(problem, what, host)
    return ShouldFixPlatform(
        f"{what}: {host} did not answer as Kubeflow Pipelines does ({str(problem)[:_TOLD]}).",
        "Check host in the platform file; it often ends in /pipeline.",
    )


def _answered(problem: ApiException, what: str, host: str) -> EverloopError:
    said = answer_of(problem)
    kinds: dict[int, tuple[type[EverloopError], str]] = {
        400: (ShouldFixArgument, "Correct what it names."),
        401: (
            ShouldAuthenticate,
            "Set EVERLOOP_KUBEFLOW_TOKEN to a valid token, or token_path in the platform file.",
        ),
        403: (
            ShouldAskForScope,
            "Ask for access to the namespace in the platform file, or correct its name.",
        ),
        404: (ShouldNameKnownId, "Check its name, and host and namespace in the platform file."),
        409: (ShouldResolveConflict, "Delete or rename what has the name, then try again."),
    }
    if problem.status == 0:
        return _tls(what, host, said)
    if 300 <= problem.status < 400:
        return ShouldAuthenticate(
            f"{what}: {host} sends to its login page (HTTP {problem.status}).",
            "Set EVERLOOP_KUBEFLOW_TOKEN to a valid token, or token_path in the platform file.",
        )
    if problem.status in kinds:
        kind, remedy = kinds[problem.status]
        return kind(f"{what}: {host} answers {problem.status}: {said}.", remedy)
    return ShouldRetryLater(
        f"{what}: {host} answers {problem.status}: {said}.",
        "Try again later; if it stays, look at the pods of Kubeflow's API server.",
        30.0,
    )


def _unreached(problem: HTTPError, what: str, host: str) -> EverloopError:
    reason = problem.reason if isinstance(problem, MaxRetryError) and problem.reason else problem
    if _is_tls(problem):
        return _tls(what, host, str(reason))
    not_there = isinstance(reason, NewConnectionError | ConnectTimeoutError)
    verb = "cannot be reached" if not_there else "did not answer"
    told = str(reason).rpartition(": ")[2][:_TOLD]
    return ShouldRetryLater(
        f"{what}: {host} {verb} ({told}).",
        "Check host in the platform file, and that this machine may reach it (VPN, port-forward).",
        30.0,
    )


def _tls(what: str, host: str, said: str) -> EverloopError:
    return ShouldFixPlatform(
        f"{what}: the certificate of {host} is not trusted ({said[:_TOLD]}).",
        "Name the file of your certificate authority as ca_file in the platform file.",
    )


def _is_tls(problem: HTTPError) -> bool:
    reason = problem.reason if isinstance(problem, MaxRetryError) else problem
    return isinstance(reason, SSLError)


def answer_of(problem: Any) -> str:
    """What a generated client's refusal says of itself: the answer's own message, shortened."""
    body = problem.body or b""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        document = json.loads(text)
    except ValueError:
        document = {}
    message = document.get("message") if isinstance(document, dict) else None
    return str(message or problem.reason or "no reason given").strip().rstrip(".")[:_TOLD]
