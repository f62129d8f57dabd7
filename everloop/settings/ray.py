"""Ray: which cluster trains, and its token."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey

RAY_AUTH_MODE = "RAY_AUTH_MODE"
RAY_AUTH_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 — a name
RAY_AUTH_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 — a name

RAY_ADDRESS = "EVERLOOP_RAY_ADDRESS"
RAY_RUNNERS = "EVERLOOP_RAY_RUNNERS"
RAY_LEARNERS = "EVERLOOP_RAY_LEARNERS"

_ADDRESS = re.compile(r"[^/\s:]+:\d{1,5}")


@dataclass(frozen=True, slots=True)
class RayWorkers:
    """Where the graph's training runs when it runs on Ray.

    Attributes:
        address: ``host:port`` of a running cluster's head; None starts Ray on the step's own machine.
        runners: remote workers that simulate; 0 simulates in the step.
        learners: remote workers that learn; 0 learns in the step.
    """

    address: str | None
    runners: int
    learners: int


def ray_workers() -> RayWorkers | None:
    """What the environment says of Ray; None: the step trains in its own process, without Ray.

    Raises:
        ShouldFixArgument: an address that is not ``host:port``, or no whole number of workers.
    """
    address = os.environ.get(RAY_ADDRESS, "").strip()
    if address and _ADDRESS.fullmatch(address) is None:
        raise ShouldFixArgument(
            f"{RAY_ADDRESS}={address!r} is no address of a Ray cluster.",
            "Set it to host:port, as in 10.0.0.5:6379, or leave it out.",
        )
    runners, learners = _workers(RAY_RUNNERS), _workers(RAY_LEARNERS)
    if not (address or runners or learners):
        return None
    return RayWorkers(address or None, runners, learners)


def _workers(name: str) -> int:
    text = os.environ.get(name, "").strip() or "0"
    if not text.isdecimal() or not text.isascii():
        raise ShouldFixArgument(
            f"{name}={text!r} is no number of workers.", "Set it to a whole number >= 0."
        )
    return int(text)


def check_ray_token() -> None:
    """See that the token which the environment promises to Ray is there, before Ray looks for it.

    Raises:
        ShouldFixArgument: ``RAY_AUTH_MODE`` is neither ``token`` nor ``disabled``.
        ShouldProvideKey: it is ``token``, and the file named for the token can't be read or is empty.
    """
    mode = os.environ.get(RAY_AUTH_MODE, "")
    if mode.lower() not in {"", "token", "disabled"}:
        raise ShouldFixArgument(
            f"{RAY_AUTH_MODE}={mode!r} is no mode of Ray's.", "Set it to token or to disabled."
        )
    named = os.environ.get(RAY_AUTH_TOKEN_PATH, "")
    if mode.lower() != "token" or os.environ.get(RAY_AUTH_TOKEN) or not named:
        return
    try:
        token = Path(named).read_text().strip()
    except OSError as problem:
        raise ShouldProvideKey(
            f"{RAY_AUTH_TOKEN_PATH} names {named}, which cannot be read ({problem.strerror}).",
            "Copy the cluster's token there, or name the file that holds it.",
        ) from None
    if not token:
        raise ShouldProvideKey(
            f"{RAY_AUTH_TOKEN_PATH} names {named}, which is empty.",
            "Copy the cluster's token there.",
        )
