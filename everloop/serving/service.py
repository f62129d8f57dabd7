"""The parts of the running service, opened and closed together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.loop_spec import LoopSpec
from everloop.feedback.quality_crowd import Crowd
from everloop.privacy.health import HealthVault
from everloop.storage.sql.group_commit import GroupCommit
from everloop.wiring import Workspace

if TYPE_CHECKING:
    from everloop.serving.access.admission import Access
    from everloop.serving.consents import ConsentView
    from everloop.serving.decisions.engine import DecisionEngine
    from everloop.serving.door import Door
    from everloop.serving.limits import RateLimits
    from everloop.serving.metrics import RequestFigures
    from everloop.serving.metrics_exchange import MetricsExchange
    from everloop.serving.training.trigger import TrainingTrigger


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """How a service is run.

    Attributes:
        home: the workspace folder; ``None``: as the environment says.
        loops: shipped names or YAML files of the loops that it serves, at least one.
        queue_limit: records that may wait for a commit; beyond it requests are told to come back.
        linger_ms: how long a commit waits for company.
        requests_per_second, request_burst: token bucket of each tenant's records, in this process.
        session_per_second, session_burst: token bucket of each session's feedback.
        train: whether this process starts training by itself.
        workers: how many processes serve together.
        worker: the number of this one, from 0.
        metrics_folder: where several workers leave their figures for one another.
    """

    home: Path | str | None = None
    loops: tuple[str, ...] = ("companion",)
    queue_limit: int = 20_000
    linger_ms: float = 1.0
    requests_per_second: float = 50_000.0
    request_burst: float = 100_000.0
    session_per_second: float = 2.0
    session_burst: float = 20.0
    train: bool = True
    workers: int = 1
    worker: int = 0
    metrics_folder: Path | None = None

    def __post_init__(self) -> None:
        if not self.loops:
            raise ShouldFixArgument("The service has no loop to serve.", "Give --loop.")
        for name in (
            "queue_limit",
            "requests_per_second",
            "request_burst",
            "session_per_second",
            "session_burst",
        ):
            if not getattr(self, name) > 0:
                raise ShouldFixArgument(f"{name}={getattr(self, name)} is not above 0.")


@dataclass(slots=True)
class Service:
    """What routes work with; ``service_of(request)`` finds it."""

    config: ServiceConfig
    workspace: Workspace
    loops: Mapping[str, LoopSpec]
    sources: Mapping[str, str]
    """Loop name -> what ``--loop`` named: a shipped name or the path of a YAML file."""
    queue: GroupCommit
    door: Door
    access: Access
    limits: RateLimits
    consents: ConsentView
    vault: HealthVault
    decisions: DecisionEngine
    training: TrainingTrigger
    requests: RequestFigures
    exchange: MetricsExchange
    crowd: Crowd = field(default_factory=Crowd)

    def loop(self, name: str | None) -> LoopSpec:
        """The loop of that name; the only one when none is named."""
        if name is None and len(self.loops) == 1:
            return next(iter(self.loops.values()))
        if name is None:
            raise ShouldFixArgument(
                "loop is missing.", f"Name one of: {', '.join(sorted(self.loops))}."
            )
        if name not in self.loops:
            raise ShouldNameKnownId(
                f"This service has no loop {name!r}.", f"It has: {', '.join(sorted(self.loops))}."
            )
        return self.loops[name]


def service_of(request: Request) -> Service:
    """The service behind a request."""
    found: Service = request.app.state.service
    return found
