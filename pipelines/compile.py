"""Compile a graph to the one YAML file that runs on a laptop, in containers and on Kubeflow."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from kfp import compiler, dsl
from kfp.dsl.pipeline_context import Pipeline

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.platform import Platform
from pipelines import (
    adversarial_review,
    daily_learning,
    experiment,
    persona_adaptation,
    rollout_watch,
)
from pipelines.local_run import stage_of
from pipelines.platform_tasks import configure
from pipelines.source import code_sha256

GRAPHS = {
    daily_learning.NAME: daily_learning.daily_learning,
    rollout_watch.NAME: rollout_watch.rollout_watch,
    adversarial_review.NAME: adversarial_review.adversarial_review,
    experiment.NAME: experiment.experiment,
    persona_adaptation.NAME: persona_adaptation.persona_adaptation,
}

STAGES = {
    daily_learning.NAME: daily_learning.STAGES,
    rollout_watch.NAME: rollout_watch.STAGES,
    adversarial_review.NAME: adversarial_review.STAGES,
    experiment.NAME: experiment.STAGES,
    persona_adaptation.NAME: persona_adaptation.STAGES,
}
"""The stages of every graph, in the order they run."""


_TRACING = threading.RLock()  # kfp keeps the graph that it traces in a global


def graph(name: str) -> Any:
    """The graph of that name; ``ShouldFixArgument`` when there is none."""
    if name not in GRAPHS:
        raise ShouldFixArgument(f"There is no graph {name!r}.", f"Graphs: {', '.join(GRAPHS)}.")
    return GRAPHS[name]


def build(name: str, platform: Platform, defaults: Mapping[str, str] | None = None) -> Any:
    """The graph with a cluster's image and settings on each of its steps.

    Args:
        defaults: of the graph's parameters, in place of the graph's own, so that whoever starts a run in
            the UI finds them filled in. The platform's workspace and the code's checksum are, too.
    """
    plain = graph(name)
    filled = {"workspace": platform.workspace, "code": code_sha256()} | dict(defaults or {})
    wired = _configured(plain.pipeline_func, platform)
    parameters = inspect.signature(plain.pipeline_func).parameters.values()
    named = [p.replace(default=filled[p.name]) if p.name in filled else p for p in parameters]
    named.sort(key=lambda p: p.default is not inspect.Parameter.empty)
    wired.__signature__ = inspect.Signature(named)
    return dsl.pipeline(name=plain.name, description=plain.description)(wired)


def compile_graph(
    name: str,
    path: Path,
    platform: Platform | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Path:
    """Write the compiled graph; byte-identical for the same code, platform and defaults.

    With a platform the file holds a second document of what only Kubernetes honours. Runners on one machine
    leave that document aside: the same file runs there.

    Raises:
        ShouldFixArgument: there is no such graph, or defaults without a platform: the plain file is the
            same for everyone.
    """
    if platform is None and defaults:
        raise ShouldFixArgument(
            "Defaults belong to a file for a cluster.", "Name its platform file with --platform."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with _TRACING:
        made = graph(name) if platform is None else build(name, platform, defaults)
        compiler.Compiler().compile(made, str(path))
    return path


def form_defaults(name: str, known: Mapping[str, str]) -> dict[str, str]:
    """Of what is known, the defaults that a graph has a parameter for."""
    inputs = graph(name).component_spec.inputs
    return {key: value for key, value in known.items() if key in inputs}


def _configured(function: Callable[..., None], platform: Platform) -> Any:
    @wraps(function)
    def wired(*arguments: Any, **named: Any) -> None:
        signature: inspect.Signature = wired.__signature__  # type: ignore[attr-defined]
        function(**signature.bind(*arguments, **named).arguments)
        for task in Pipeline.get_default_pipeline().tasks.values():
            if task.container_spec is not None:
                configure(task, platform.needs_of(stage_of(task.name)))
                if not platform.caching:
                    task.set_caching_options(False)

    return wired
