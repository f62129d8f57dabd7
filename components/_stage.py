"""What every step leaves beside its result: a page, metrics, a one-line summary and its seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components import _garbage
from components._clock import CLOCK
from everloop.contracts.documents import write_atomically
from everloop.reporting.report import stage_page

_garbage.importing()  # a step imports this first, and what it needs next


@dataclass
class Stage:
    """Filled in by a step's body; written when the body ends without an error."""

    title: str
    summary: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    plots: tuple[str, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    page: str = ""

    def says(
        self,
        summary: str,
        rows: Sequence[tuple[str, str]] = (),
        metrics: Mapping[str, float] | None = None,
        plots: Sequence[str] = (),
        page: str = "",
    ) -> None:
        """Set the summary shown in progress displays and the content of the page.

        Args:
            summary: one line, the stage's result in words.
            rows: (name, value) pairs of the page's table.
            metrics: finite figures for the KFP metrics artifact; others are left out.
            plots: inline SVG.
            page: a whole HTML page instead of the standard one.
        """
        self.summary, self.rows, self.plots, self.page = summary, tuple(rows), tuple(plots), page
        self.metrics = {
            name: float(value) for name, value in (metrics or {}).items() if math.isfinite(value)
        }


@contextmanager
def stage(title: str, result: Any, page: Any, metrics: Any) -> Iterator[Stage]:
    """Time a step and write its page and metrics beside its result.

    Args:
        title: the stage's name.
        result: the step's main output artifact; its metadata gets ``summary`` and ``seconds``.
        page: an HTML output artifact.
        metrics: a Metrics output artifact.
    """
    told = Stage(title)
    _garbage.working()
    yield told
    seconds = CLOCK.lap()
    result.metadata.update({"stage": title, "summary": told.summary, "seconds": round(seconds, 3)})
    result.metadata.update({f"metric_{name}": value for name, value in told.metrics.items()})
    html = told.page or stage_page(title, told.summary, told.rows, told.plots)
    write_atomically(html.encode(), Path(page.path))
    metrics.metadata.update(told.metrics)
    # kfp's cache never hits when a Metrics output has no file.
    write_atomically(json.dumps(told.metrics, sort_keys=True).encode(), Path(metrics.path))
