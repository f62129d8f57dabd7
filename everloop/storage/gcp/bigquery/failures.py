"""What BigQuery's errors mean, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.bigquery.retry import DEFAULT_RETRY
from requests import RequestException

from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldFixArgument,
    ShouldFixInput,
    ShouldProvideKey,
    ShouldRetryLater,
    ShouldSlowDown,
)

_LOGIN = (
    "On Google Cloud bind the workload to a service account (workload identity); elsewhere run "
    "`gcloud auth application-default login`."
)
_ROLES = (
    "Grant its service account roles/bigquery.dataEditor on the dataset, and roles/bigquery.jobUser and "
    "roles/bigquery.readSessionUser on the project."
)
_BUSY = frozenset({"quotaExceeded", "rateLimitExceeded"})
_LATER = frozenset({408, 500, 502, 503, 504})


class TableGone(Exception):
    """A table was dropped while it was needed."""


class NotCommitted(Exception):
    """A statement took no effect: another process was first, or its transaction was given up."""


def retrying(seconds: float) -> Any:
    """Google's own choice of what to try again, with exponential backoff and jitter, bounded.

    Args:
        seconds: how long to go on.
    """
    return DEFAULT_RETRY.with_delay(initial=0.25, maximum=8.0, multiplier=2.0).with_timeout(seconds)


@contextmanager
def named(place: str, limit: int) -> Iterator[None]:
    """Give errors of Google's libraries our names.

    Args:
        place: ``project.dataset``.
        limit: bytes that a statement may read.

    Raises:
        ShouldProvideKey: there are no credentials, or they are not taken.
        ShouldAskForScope: they lack a permission.
        ShouldFixArgument: there is no such dataset, or a statement would read more than it may.
        ShouldFixInput: the statement refused what it read.
        ShouldSlowDown: a quota is spent.
        ShouldRetryLater: it did not answer, or answered that it can't now.
        TableGone: a table of the dataset is not there.
    """
    try:
        yield
    except api.RetryError as problem:
        raise _ours(problem.cause, place, limit) from problem
    except (
        api.GoogleAPICallError,
        auth.GoogleAuthError,
        RequestException,
        ConnectionError,
    ) as problem:
        raise _ours(problem, place, limit) from problem


def _ours(problem: BaseException | None, place: str, limit: int) -> Exception:
    if isinstance(problem, auth.GoogleAuthError) and not isinstance(problem, auth.TransportError):
        return ShouldProvideKey(f"There are no Google credentials for {place} ({problem}).", _LOGIN)
    if isinstance(problem, api.GoogleAPICallError):
        return _answered(problem, place, limit)
    return ShouldRetryLater(
        f"BigQuery could not be reached for {place} ({type(problem).__name__}: {problem}).",
        "Check the network and BIGQUERY_EMULATOR_HOST, and repeat.",
        30.0,
    )


def reason_of(problem: api.GoogleAPICallError) -> str:
    """BigQuery's own word for an error; empty where it gave none."""
    errors = [error for error in problem.errors or () if isinstance(error, dict)]
    return str(errors[0].get("reason", "")) if errors else ""


def _answered(problem: api.GoogleAPICallError, place: str, limit: int) -> Exception:
    said, reason = str(problem.message), reason_of(problem)
    if "bytesBilledLimitExceeded" in reason or "limit for bytes billed" in said:
        return ShouldFixArgument(
            f"A statement on {place} would read more than {limit:,} bytes: {said}.",
            "Give a shorter window, or raise EVERLOOP_BIGQUERY_MAX_BYTES.",
        )
    if reason in _BUSY or problem.code == 429:
        return ShouldSlowDown(
            f"{place} is over a quota: {said}.", "Wait, or raise the project's quota.", 60.0
        )
    if problem.code == 404:
        return _missing(place, said)
    if problem.code == 401:
        return ShouldProvideKey(f"{place} takes no such credentials: {said}.", _LOGIN)
    if problem.code == 403:
        return ShouldAskForScope(f"This workload may not use {place}: {said}.", _ROLES)
    return _refused(place, said, problem.code)


def _missing(place: str, said: str) -> Exception:
    if "Table" in said:
        return TableGone(said)
    return ShouldFixArgument(
        f"There is no {place}, or not at that location: {said}.",
        "Make the dataset (infra/terraform does), or correct EVERLOOP_BIGQUERY and "
        "EVERLOOP_GOOGLE_LOCATION.",
    )


def _refused(place: str, said: str, code: int | None) -> EverloopError:
    if code in _LATER:
        return ShouldRetryLater(
            f"{place} answered {code} for minutes: {said}.", "Repeat it later.", 30.0
        )
    return ShouldFixInput(f"A statement on {place} was refused: {said}.", "Correct what it names.")
