"""A Ray cluster to train on: where it is, what is asked of it, and how one is reached or started."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import logging
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory, gettempdir

import ray
from ray.exceptions import AuthenticationError

from everloop import settings
from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey, ShouldRetryLater
from rl.ppo.own_ray import OwnNode

ANSWERS_WITHIN_S = 5.0
"""A cluster whose head takes longer to accept a connection is not there; Ray itself waits for minutes."""

STARTS = 4
"""Times that Ray is started here before it is given up."""

LONGEST_PLACE = 30
"""Bytes of the folder that Ray's own may be in: 77 more go to a session's sockets."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where to train with Ray instead of in this process.

    Attributes:
        address: ``host:port`` of a running cluster's head; ``None`` starts one on this machine for the
            training and stops it after. A cluster that asks for a token gets Ray's own
            (``RAY_AUTH_MODE=token`` with ``RAY_AUTH_TOKEN_PATH`` or ``RAY_AUTH_TOKEN``).
        runners: remote runners that share the environments; 0 samples in the driver.
        learners: remote learners that share every minibatch; 0 learns in the driver.
    """

    address: str | None = None
    runners: int = 2
    learners: int = 0

    def __post_init__(self) -> None:
        for name in ("runners", "learners"):
            if getattr(self, name) < 0:
                raise ShouldFixArgument(
                    f"{name}={getattr(self, name)} is negative.", "Give a whole number >= 0."
                )
        if self.address is not None:
            _host_and_port(self.address)

    @property
    def cpus(self) -> int:
        """CPU shares that runners and learners occupy, at least one."""
        return max(1, self.runners + self.learners)


@contextmanager
def connected(address: str | None, cpus: int) -> Iterator[None]:
    """Ray, connected to a cluster with room for so many CPU shares; a process's own Ray is used as it is.

    Raises:
        ShouldRetryLater: nothing answers at the address.
        ShouldProvideKey: the cluster's token is missing or wrong.
        ShouldFixArgument: the cluster has fewer CPUs.
    """
    if ray.is_initialized():
        _require_room(cpus, "the running Ray")
        yield
        return
    settings.check_ray_token()
    room = ExitStack()
    if address is None:
        try:
            place = room.enter_context(
                TemporaryDirectory(prefix="ray-", dir=_short_place(), ignore_cleanup_errors=True)
            )
            room.callback(_start(cpus, place).stop)
        except BaseException:
            room.close()
            raise
    else:
        _require_listening(address)
        _join(address)
    try:
        _require_room(cpus, f"the cluster at {address or 'this machine'}")
        with last_words(
            f"error: The process that trained at {address or 'a Ray of its own'} is gone: killed, or ended "
            "by Ray because its node or the head died.\n  fix: See to the cluster, and repeat the command: "
            "it continues from the last checkpoint."
        ):
            yield
    finally:
        ray.shutdown()
        room.close()


def _short_place() -> str:
    """Where Ray's own folder goes: sockets lie in it, and their paths have 107 bytes at most."""
    place = gettempdir()
    return place if len(place.encode()) <= LONGEST_PLACE else "/tmp"  # noqa: S108 — always there


@contextmanager
def last_words(text: str) -> Iterator[None]:
    """Have ``text`` on stderr if this process vanishes within.

    When its node or head dies, Ray ends a driver from C++, where no exception and no exit handler is
    heard. A shell that waits for a line from this process outlives it.
    """
    with subprocess.Popen(  # noqa: S603 — the text is an argument, not a command
        ["/bin/sh", "-c", 'read -r line || printf "%s\\n" "$1" >&2', "sh", text],
        stdin=subprocess.PIPE,
        start_new_session=True,
    ) as waiting:
        try:
            yield
        finally:
            waiting.communicate(b"over\n")


def _start(cpus: int, place: str) -> OwnNode:
    """Start Ray here and join it."""
    for _ in range(STARTS):
        try:
            node = OwnNode(cpus, place)
        except Exception as met:  # Ray raises bare ones
            problem = met
            continue
        try:
            node.join()
        except Exception as met:
            ray.shutdown()
            node.stop()
            problem = met
            continue
        return node
    raise ShouldRetryLater(
        f"Ray did not start on this machine ({problem!s:.200}).",
        "It may be busy: repeat the command, it continues from the last checkpoint. See that the "
        "temporary folder has room.",
        30.0,
    ) from problem


def _join(address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except AuthenticationError as problem:
        raise ShouldProvideKey(
            f"The cluster at {address} refused the token ({problem.message:.200}).",
            "Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file with the cluster's token.",
        ) from problem
    except (ConnectionError, RuntimeError) as problem:
        raise ShouldProvideKey(
            f"The Ray cluster at {address} did not let this process in ({problem!s:.200}).",
            "If it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file that "
            "holds it; else see that the address is that of a head of this Ray and Python version.",
        ) from problem


def _require_listening(address: str) -> None:
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), timeout=ANSWERS_WITHIN_S).close()
    except OSError as problem:
        raise ShouldRetryLater(
            f"Nothing answers at {address} ({problem}).",
            "Start the cluster (ray start --head --port=…), or correct --address.",
        ) from problem


def _require_room(cpus: int, what: str) -> None:
    has = int(ray.cluster_resources().get("CPU", 0))
    if has < cpus:
        raise ShouldFixArgument(
            f"{what[0].upper()}{what[1:]} has {has} CPUs, but runners and learners need {cpus}.",
            "Ask for fewer runners or learners, or add nodes.",
        )


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536 or "/" in host:
        raise ShouldFixArgument(
            f"{address!r} is no address of a Ray cluster.", "Give host:port, as in 10.0.0.5:6379."
        )
    return host, int(port)
