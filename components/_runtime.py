"""kfp's decorators, wrapped once: our image, nothing installed at start, typed for mypy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kfp import dsl

from everloop import __version__

IMAGE = f"everloop-python:{__version__}"
"""Default image; ``pipelines.compile.build`` sets another on every task."""

SCHEDULED = dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER
"""Input of a step that Kubeflow (2.17 and later) fills with the moment the run was scheduled for, before
it looks into its cache. On a laptop it is empty, so that the local cache's keys stay the same."""


def component(function: Callable[..., Any]) -> Any:
    """Make a step of a function whose body imports what it needs.

    The image already holds kfp and our wheel, so nothing is installed when a task starts.
    """
    return dsl.component(function, base_image=IMAGE, install_kfp_package=False)


def pipeline(name: str, description: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a graph of a function that wires components."""

    def wrap(function: Callable[..., Any]) -> Any:
        return dsl.pipeline(name=name, description=description)(function)

    return wrap
