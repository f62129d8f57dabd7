"""The parts of the running service, opened and closed together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastapi import Request

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.loop_spec import LoopSpec
from everloop.feedback.quality_crowd import Crowd
from everloop.privacy.health import HealthVault
from everloop.serving.access.admission import Access
from everloop.serving.configuration import ServiceConfig
from everloop.serving.consents import ConsentView
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.door import Door
from everloop.serving.limits import RateLimits
from everloop.serving.metrics import RequestFigures
from everloop.serving.metrics_exchange import MetricsExchange
from everloop.serving.speaking.voices import Voices
from everloop.serving.synthetic.queue import SyntheticQueue
from everloop.serving.training.trigger import TrainingTrigger
from everloop.storage.sql.group_commit import GroupCommit
from everloop.wiring import Workspace


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
    synthetic: SyntheticQueue
    voices: Voices
    requests: RequestFigures
    exchange: MetricsExchange
    crowd: Crowd = field(default_factory=Crowd)
    threads: dict[str, Callable[[], bool]] = field(default_factory=dict)
    """What works beside the requests -> whether it still does."""
    complaints: dict[str, Callable[[], str]] = field(default_factory=dict)
    """Of those -> what does not go well although it works; empty where all does."""

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
