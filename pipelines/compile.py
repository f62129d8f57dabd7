"""Compile a graph to the one YAML file that runs on a laptop, in containers and on Kubeflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfp import compiler

from everloop.contracts.errors import ShouldFixArgument
from pipelines import adversarial_review, daily_learning, rollout_watch

GRAPHS = {
    daily_learning.NAME: daily_learning.daily_learning,
    rollout_watch.NAME: rollout_watch.rollout_watch,
    adversarial_review.NAME: adversarial_review.adversarial_review,
}


def graph(name: str) -> Any:
    """The graph of that name; ``ShouldFixArgument`` when there is none."""
    if name not in GRAPHS:
        raise ShouldFixArgument(f"There is no graph {name!r}.", f"Graphs: {', '.join(GRAPHS)}.")
    return GRAPHS[name]


def compile_graph(name: str, path: Path) -> Path:
    """Write the compiled graph; byte-identical for the same code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(graph(name), str(path))
    return path
