"""Opens the parts of the service in their order, and closes them in the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta

from prometheus_client import CollectorRegistry

from everloop import settings
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from everloop.notifications.channels import channels_of
from everloop.serving.access.admission import Access
from everloop.serving.configuration import ServiceConfig
from everloop.serving.consents import ConsentView
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.door import Door
from everloop.serving.guard import TrialGuard
from everloop.serving.limits import RateLimits
from everloop.serving.metrics import RequestFigures, ServiceCollector
from everloop.serving.metrics_exchange import MetricsExchange, publishing
from everloop.serving.personas.teaching import PersonaCollector, PersonaTeacher, voices_of
from everloop.serving.postman import Postman
from everloop.serving.retention import Retention
from everloop.serving.run_metrics import RunCollector
from everloop.serving.service import Service
from everloop.serving.speaking.voices import Voices
from everloop.serving.synthetic.queue import SyntheticQueue
from everloop.serving.training.trigger import TrainingTrigger
from everloop.storage.local.clock import SystemClock
from everloop.wiring import open_ingest, open_workspace


@contextlib.contextmanager
def opened(config: ServiceConfig) -> Iterator[Service]:
    """A running service; what was acknowledged is stored before this returns.

    Raises:
        ShouldInitWorkspace, ShouldProvideKey: there is no workspace, or its keys are missing.
        ShouldFixLoopSpec, ShouldFixArgument: a loop is malformed or named twice.
    """
    workspace = open_workspace(config.home)
    loops, sources = _loops(config)
    clock = SystemClock()
    with contextlib.ExitStack() as closing:
        queue = open_ingest(workspace, config.queue_limit, config.linger_ms / 1000)
        closing.callback(queue.close)
        consents = closing.enter_context(ConsentView(workspace.log))
        decisions = DecisionEngine(workspace, loops, clock)
        decisions.start()
        closing.callback(decisions.close)
        closing.enter_context(TrialGuard(workspace, loops, decisions, clock))
        keep = timedelta(days=config.decision_days)
        retention = Retention(workspace.decisions, workspace.audit, clock, keep)
        closing.enter_context(retention)
        channels = channels_of(settings.notifications())
        teacher = closing.enter_context(
            PersonaTeacher(
                workspace.teaching,
                workspace.personas,
                voices_of(loops),
                clock,
                works=config.worker == 0,
            )
        )
        postman = closing.enter_context(Postman(workspace, channels, clock))
        training = TrainingTrigger(
            workspace, loops, sources, clock, platform=settings.platform_file()
        )
        if config.train:
            training.start()
            closing.callback(training.close)
        synthetic = SyntheticQueue(workspace, sources, clock)
        if config.train:
            synthetic.start()
            closing.callback(synthetic.close)
        voices = closing.enter_context(Voices(workspace))
        registry = CollectorRegistry()
        service = Service(
            config=config,
            workspace=workspace,
            loops=loops,
            sources=sources,
            queue=queue,
            door=Door(queue),
            access=Access(workspace.keys, settings.oidc(), clock),
            limits=RateLimits(config),
            consents=consents,
            vault=workspace.vault,
            decisions=decisions,
            training=training,
            synthetic=synthetic,
            voices=voices,
            requests=RequestFigures(registry),
            exchange=MetricsExchange(registry, config.metrics_folder, config.worker),
        )
        first = config.worker == 0
        registry.register(ServiceCollector(queue, decisions, workspace.feedback if first else None))
        if first:
            registry.register(RunCollector(workspace.runs))
            registry.register(PersonaCollector(teacher))
        published = closing.enter_context(publishing(service.exchange))
        service.threads.update(
            consents=lambda: consents.alive,
            models=lambda: decisions.alive,
            retention=lambda: retention.alive,
            notices=lambda: postman.alive,
            personas=lambda: teacher.alive,
            training=lambda: training.alive,
            synthetic=lambda: synthetic.alive,
            metrics=published,
        )
        service.complaints["personas"] = lambda: _stuck(teacher)
        yield service


def _stuck(teacher: PersonaTeacher) -> str:
    return f"{teacher.stuck} personas do not hear all of their feedback" if teacher.stuck else ""


def _loops(config: ServiceConfig) -> tuple[Mapping[str, LoopSpec], Mapping[str, str]]:
    loops: dict[str, LoopSpec] = {}
    sources: dict[str, str] = {}
    for source in config.loops:
        spec = load(source)
        if spec.name in loops:
            raise ShouldFixArgument(
                f"Loop {spec.name!r} is named twice ({sources[spec.name]}, {source}).",
                "Give each loop its own name.",
            )
        loops[spec.name], sources[spec.name] = spec, source
    return loops, sources
