"""The client of Google Cloud Storage, what of it is worth another try, and what its errors mean.

Credentials are the environment's (Application Default Credentials: workload identity on a cluster,
``gcloud auth application-default login`` on a laptop); there are no key files. Where
``STORAGE_EMULATOR_HOST`` names an emulator, the client asks that one, anonymously.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from google.api_core import exceptions as api
from google.api_core.client_info import ClientInfo
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests import RequestException

from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldFixArgument,
    ShouldProvideKey,
    ShouldRestoreArtefact,
    ShouldRetryLater,
    ShouldSlowDown,
)

RETRY: Retry = DEFAULT_RETRY.with_delay(initial=0.25, maximum=8.0, multiplier=2.0).with_timeout(
    60.0
)
"""Tries again for a minute, waiting a random time up to twice .25, .5, … 8 s: after 408, 429, 5xx and lost
connections, and after nothing else. Every request that writes says which generation it replaces, so that
one that arrived twice counts once."""
REQUEST_SECONDS = (10.0, 60.0)
"""To connect, and between two pieces of an answer."""

_PERMISSION = re.compile(r"storage\.[a-z]+\.[a-zA-Z]+")
_MESSAGE = re.compile(r'"message":\s*"([^"]+)"')
_REQUEST = re.compile(r"^[A-Z]+ https?://\S+ ")
_ROLE = "Grant the workload's service account roles/storage.objectUser on the bucket"
_LOGIN = (
    "On Google Cloud bind the workload to a service account (workload identity); elsewhere run "
    "`gcloud auth application-default login`."
)


class Superseded(Exception):
    """A write named a generation that is not the object's any longer."""


def open_client() -> Any:
    """A client with the environment's credentials.

    Raises:
        ShouldProvideKey: there are none.
    """
    agent = ClientInfo(user_agent=f"everloop/{version('everloop')}")  # type: ignore[no-untyped-call]
    with named("Google Cloud Storage"):
        client: Any = Client(project=None, client_info=agent)
    # It would ask for the bucket's settings beside the first request, from a thread that nobody waits for,
    # with a permission that a workspace need not have, to tell traces that nobody collects.
    client._bucket_metadata_cache = None  # noqa: SLF001
    return client


@contextmanager
def named(place: str, but: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Give errors of Google's libraries our names, once another try is not worth it.

    Args:
        place: what was asked, such as ``gs://bucket``.
        but: what the caller answers to itself.

    Raises:
        ShouldProvideKey: there are no credentials, or they are not taken.
        ShouldAskForScope: they lack a permission, or a retention policy holds the object.
        ShouldFixArgument: there is no such bucket.
        ShouldSlowDown: the quota is spent.
        ShouldRetryLater: it did not answer, or answered that it can't now.
        ShouldRestoreArtefact: what arrived is not what its checksum says.
        Superseded: an object has another generation than was said.
    """
    try:
        yield
    except but:
        raise
    except api.RetryError as problem:
        raise _ours(problem.cause, place) from problem
    except (
        api.GoogleAPICallError,
        auth.GoogleAuthError,
        RequestException,
        DataCorruption,
        ConnectionError,
    ) as problem:
        raise _ours(problem, place) from problem


def _ours(problem: BaseException | None, place: str) -> Exception:
    if isinstance(problem, api.PreconditionFailed):
        return Superseded(place)
    if isinstance(problem, auth.TransportError):
        return _unreachable(place, problem)
    if isinstance(problem, auth.GoogleAuthError):
        return ShouldProvideKey(f"There are no Google credentials for {place} ({problem}).", _LOGIN)
    if isinstance(problem, DataCorruption):
        return ShouldRestoreArtefact(
            f"What arrived from {place} is not what its checksum says.",
            "Repeat it, and check the network between here and Google Cloud if it recurs.",
        )
    if isinstance(problem, api.GoogleAPICallError):
        return _of_status(problem, place)
    return _unreachable(place, problem)


def _of_status(problem: api.GoogleAPICallError, place: str) -> EverloopError:
    said = _said(problem)
    if problem.code == 401:
        return ShouldProvideKey(f"{place} takes no such credentials: {said}.", _LOGIN)
    if problem.code == 403:
        return _forbidden(place, said, str(problem.message))
    if problem.code == 404:
        return ShouldFixArgument(
            f"There is no {place}, or not for these credentials: {said}.",
            "Make the bucket (infra/terraform does), or correct EVERLOOP_STORAGE_URL.",
        )
    if problem.code == 429:
        return ShouldSlowDown(
            f"{place} answers 429: {said}.", "Wait, or raise the project's quota.", 30.0
        )
    if problem.code in {408, 500, 502, 503, 504}:
        return ShouldRetryLater(
            f"{place} answered {problem.code} again and again: {said}.", "Repeat it later.", 30.0
        )
    return ShouldFixArgument(f"{place} answered {problem.code}: {said}.", "Correct what it names.")


def _said(problem: api.GoogleAPICallError) -> str:
    """The server's own sentence, without the request and without what encodes it."""
    text = str(problem.message)
    found = _MESSAGE.search(text)
    return (found[1] if found else _REQUEST.sub("", text)).rstrip(". ")


def _forbidden(place: str, said: str, whole: str) -> ShouldAskForScope:
    words = whole.lower()
    if "retention" in words or "on hold" in words:
        return ShouldAskForScope(
            f"{place} keeps objects from being deleted: {said}.",
            "Remove the retention policy or the hold: what people ask to be erased must go.",
        )
    found = _PERMISSION.search(whole)
    lacking = f" lacks {found[0]}" if found else " is refused"
    return ShouldAskForScope(f"This workload{lacking} on {place}: {said}.", f"{_ROLE}.")


def _unreachable(place: str, problem: BaseException | None) -> ShouldRetryLater:
    return ShouldRetryLater(
        f"{place} could not be reached ({type(problem).__name__}: {problem}).",
        "Check the network and STORAGE_EMULATOR_HOST, and repeat.",
        30.0,
    )
