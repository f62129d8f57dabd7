"""How Google's services are called: credentials of the place, bounded retries, errors of ours."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from google.api_core import exceptions
from google.api_core.retry import Retry, if_transient_error
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldProvideKey,
    ShouldRetryLater,
)

T = TypeVar("T")
TIMEOUT_S = 20.0
"""Of one attempt."""
RETRY = Retry(predicate=if_transient_error, initial=0.5, maximum=8.0, multiplier=2.0, timeout=60.0)
"""Exponential backoff with jitter, a minute in all."""


@contextmanager
def told(service: str, permission: str) -> Iterator[None]:
    """Turn what a service or the credentials answer into errors that name the fix.

    Args:
        service: its name in an error.
        permission: the role that the calls within need.
    """
    try:
        yield
    except EverloopError:
        raise
    except (DefaultCredentialsError, GoogleAuthError) as problem:
        raise ShouldProvideKey(
            f"{service} has no credentials of this process ({problem}).",
            "Run under a service account by workload identity, or log in with gcloud on a laptop.",
        ) from problem
    except (exceptions.Forbidden, exceptions.Unauthorized) as problem:
        raise ShouldProvideKey(
            f"{service} refuses this service account ({_said(problem)}).", f"Grant it {permission}."
        ) from problem
    except (exceptions.RetryError, exceptions.ServerError, exceptions.TooManyRequests) as problem:
        raise ShouldRetryLater(
            f"{service} did not answer within a minute ({_said(problem)}).", "Repeat later."
        ) from problem
    except exceptions.GoogleAPICallError as problem:
        raise ShouldFixArgument(
            f"{service} refuses what it was sent ({_said(problem)}).",
            "Check project, location and that the service is enabled.",
        ) from problem
    except concurrent.futures.TimeoutError as problem:
        raise ShouldRetryLater(
            f"{service} is still working after several minutes.", "Repeat later: it goes on."
        ) from problem
    except OSError as problem:
        raise ShouldRetryLater(
            f"{service} cannot be reached ({problem}).", "Check the network and repeat."
        ) from problem


def found(call: Callable[..., T], **arguments: Any) -> T | None:
    """What a call finds; ``None`` where the service knows nothing of that name."""
    try:
        return call(**arguments, retry=RETRY, timeout=TIMEOUT_S)
    except exceptions.NotFound:
        return None


def made(call: Callable[..., T], **arguments: Any) -> T | None:
    """What a call made; ``None`` where it is there already, as after a repetition."""
    try:
        return call(**arguments, retry=RETRY, timeout=TIMEOUT_S)
    except exceptions.Conflict as problem:
        if isinstance(problem, exceptions.Aborted):
            raise
        return None


def finished(operation: Any, within_s: float) -> None:
    """Wait for a long-running operation; its error is raised as a call's is."""
    operation.result(timeout=within_s)


def _said(problem: Exception) -> str:
    return str(getattr(problem, "message", "") or problem)[:300]
