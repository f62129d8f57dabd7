"""Whether the steps of a graph run in containers on this machine, and what they are given."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument
from everloop.settings.journal import LEDGER_JOURNAL

IN_CONTAINERS = "EVERLOOP_IN_CONTAINERS"
IMAGE = "EVERLOOP_IMAGE"
CONTAINER_MEMORY = "EVERLOOP_CONTAINER_MEMORY"
CONTAINER_NETWORK = "EVERLOOP_CONTAINER_NETWORK"

_MEMORY = re.compile(r"[1-9]\d*[mg]")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,254}")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_OURS = ("EVERLOOP_", "RAY_AUTH_")
_ARITHMETIC = ("OMP_", "GOMP_", "OPENBLAS_", "MKL_", "ATEN_CPU_")
_CLIENTS = frozenset({"STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST"})
_NO_STEPS = ("EVERLOOP_KUBEFLOW_", "EVERLOOP_NOTIFY_", "EVERLOOP_OIDC_", "EVERLOOP_PLATFORM")
"""Whom the service lets in, whom it tells, and the cluster's token: no step reads them."""
_HERE = frozenset({"EVERLOOP_HOME", IN_CONTAINERS, IMAGE, CONTAINER_MEMORY, CONTAINER_NETWORK})
_REMOTE = (
    "EVERLOOP_DATABASE_URL",
    "EVERLOOP_STORAGE_URL",
    "EVERLOOP_BIGQUERY",
    "EVERLOOP_GOOGLE_PROJECT",
    "EVERLOOP_RAY_ADDRESS",
)


@dataclass(frozen=True, slots=True)
class Containers:
    """How each step's container is started.

    Attributes:
        image: what it is made of; empty: the image that the graph names.
        memory: its limit, as in ``512m`` or ``4g``; empty: none.
        network: ``none``, ``host`` or a network of the engine's.

    Raises:
        ShouldFixArgument: a value that no engine takes.
    """

    image: str = ""
    memory: str = ""
    network: str = "none"

    def __post_init__(self) -> None:
        if self.image and _IMAGE.fullmatch(self.image) is None:
            raise ShouldFixArgument(
                f"{self.image!r} is no name of an image.", "Give it as name:tag or name@sha256:…."
            )
        if self.memory and _MEMORY.fullmatch(self.memory) is None:
            raise ShouldFixArgument(
                f"{self.memory!r} is no amount of memory.", "Give it as 512m or 4g."
            )
        if _NETWORK.fullmatch(self.network) is None:
            raise ShouldFixArgument(
                f"{self.network!r} is no network.", "Give none, host or the name of a network."
            )


def containers() -> Containers | None:
    """What the environment says; None: steps are processes of this machine.

    Raises:
        ShouldFixArgument: as ``Containers`` does, or a switch that is neither 0 nor 1.
    """
    switch = os.environ.get(IN_CONTAINERS, "") or "0"
    if switch not in {"0", "1"}:
        raise ShouldFixArgument(f"{IN_CONTAINERS}={switch!r} is no switch.", "Set it to 0 or 1.")
    return container_defaults() if switch == "1" else None


def container_defaults() -> Containers:
    """The environment's image, memory and network, whether or not its switch is on."""
    return Containers(
        image=os.environ.get(IMAGE, ""),
        memory=os.environ.get(CONTAINER_MEMORY, ""),
        network=os.environ.get(CONTAINER_NETWORK, "") or "none",
    )


def carried() -> dict[str, str]:
    """The variables that a step in a container needs: ours, with their secrets, and the clients'.

    Those that choose kernels and threads of the linear algebra go along, too: other ones give other last
    bits, and training makes another policy of them.
    What names a place of this machine, or the containers themselves, stays behind.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if (name.startswith((*_OURS, *_ARITHMETIC)) or name in _CLIENTS)
        and name not in _HERE
        and not name.startswith(_NO_STEPS)
    }


def engine_address() -> str:
    """Where the container engine is asked for."""
    return os.environ.get("DOCKER_HOST", "") or "/var/run/docker.sock"


def reached() -> tuple[str, ...]:
    """Names of the variables in the environment that put something behind a network."""
    named = tuple(name for name in _REMOTE if os.environ.get(name))
    journal = os.environ.get(LEDGER_JOURNAL, "")
    return (*named, LEDGER_JOURNAL) if journal.startswith("gs://") else named


def other_folders() -> tuple[Path, ...]:
    """Folders outside the workspace that steps write to: the spending journal's, if it is one."""
    journal = os.environ.get(LEDGER_JOURNAL, "")
    return () if not journal or journal.startswith("gs://") else (Path(journal).absolute(),)
