"""What is told to dashboards of the outside: figures, runs and how people's situations have changed.

All of it is counts and aggregates for operators, computed from the raw log. It is exact in the workspace;
histograms that leave it for the operator's own cloud project hold no small cells.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from everloop.contracts.errors import ShouldFixArgument

_NAME = re.compile(r"[a-z][a-z0-9_]{0,79}")


def _require_name(owner: str, name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ShouldFixArgument(
            f"{owner} {name!r} is no name.",
            "Use small letters, digits and underscores, 80 at most.",
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure at one moment.

    Attributes:
        name: what was measured.
        value: finite.
        at: the moment that it is true of, with a zone; with name and labels it is its identity.
        labels: a few names with few values each.
    """

    name: str
    value: float
    at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_name("Measurement", self.name)
        for label in self.labels:
            _require_name(f"Measurement {self.name}: label", label)
        if not math.isfinite(self.value):
            raise ShouldFixArgument(
                f"Measurement {self.name}={self.value} is not finite.", "Leave it out."
            )
        if self.at.tzinfo is None:
            raise ShouldFixArgument(
                f"Measurement {self.name}: {self.at} has no time zone.", "Give UTC."
            )

    @property
    def series(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What later measurements of the same thing share."""
        return self.name, tuple(sorted(self.labels.items()))


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as one row of a table of experiments.

    Attributes:
        run_id: the same run again replaces its row.
        parameters: what it was asked.
        metrics: what came out; finite.
        verdict: continue, hold, …; empty where the gate was not asked.
    """

    run_id: str
    loop: str
    tenant: str
    logical_date: date
    verdict: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.run_id or "/" in self.run_id:
            raise ShouldFixArgument(f"Run {self.run_id!r} is no id.", "Give the run's id.")
        wrong = [name for name, value in self.metrics.items() if not math.isfinite(value)]
        if wrong:
            raise ShouldFixArgument(
                f"Run {self.run_id}: {wrong[0]} is not finite.", "Leave it out."
            )


class FieldKind(StrEnum):
    """How distances between two histograms of a field are measured."""

    NUMBER = "number"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """How often each value of a field, or each bin of a number, was seen.

    ``values``: names of a category's values, or centres of a number's bins, in [-1, 1], as text.
    """

    field: str
    kind: FieldKind
    values: tuple[str, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.counts) or not self.values:
            raise ShouldFixArgument(
                f"Field {self.field}: {len(self.values)} values and {len(self.counts)} counts.",
                "Give a count for each value, and at least one.",
            )
        if min(self.counts) < 0:
            raise ShouldFixArgument(f"Field {self.field} has a count below 0.", "Count from 0.")

    @property
    def total(self) -> int:
        """How many episodes had the field."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class InputHistograms:
    """What people's situations were like over some days, field by field: no row is anybody's.

    Attributes:
        model_version: whose input it is: what a model learned from, or what it met.
        first, last: the days, both included.
        episodes: how many there were.
    """

    loop: str
    tenant: str
    model_version: str
    first: date
    last: date
    episodes: int
    fields: tuple[FieldCounts, ...]

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ShouldFixArgument(
                f"Histograms of {self.loop} end on {self.last}, before {self.first}.", "Turn them."
            )
        names = [each.field for each in self.fields]
        if len(set(names)) != len(names):
            raise ShouldFixArgument(f"Histograms of {self.loop} name a field twice.", "Merge them.")


class DriftStatus(StrEnum):
    """``INSUFFICIENT``: too few episodes to tell."""

    STEADY = "steady"
    DRIFTED = "drifted"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, slots=True)
class FieldDrift:
    """How far a field's distribution has moved.

    ``distance``: Jensen-Shannon divergence (base 2) of numbers, largest difference of shares of
    categories, both in [0, 1]; ``limit`` where drift begins.
    """

    field: str
    distance: float
    limit: float
    baseline_n: int
    observed_n: int
    status: DriftStatus


@dataclass(frozen=True, slots=True)
class DriftFigures:
    """What a model met on some days, compared with what it learned from."""

    loop: str
    tenant: str
    model_version: str
    first: date
    last: date
    fields: tuple[FieldDrift, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Fields beyond their limit."""
        return tuple(f.field for f in self.fields if f.status is DriftStatus.DRIFTED)


@dataclass(frozen=True, slots=True)
class Published:
    """What became of measurements: how many are stored now, and how many could not be taken, and why."""

    stored: int
    left_out: int = 0
    why: str = ""


class MetricSink(Protocol):
    """Where figures go that dashboards draw.

    Constraints: idempotent: what was stored before under the same name, labels and moment stays, and
    counts as stored. What the sink can't take is left out and said, and the rest is stored. Not reachable
    within a minute: ``ShouldRetryLater``; not allowed: ``ShouldProvideKey``.
    """

    def publish(self, measurements: Sequence[Measurement]) -> Published: ...


class ExperimentLog(Protocol):
    """A table of runs with their parameters and metrics.

    Constraints: one row a run: recording it again replaces it. Errors as ``MetricSink``'s.
    """

    def record(self, run: RunSummary) -> None: ...

    def runs(self, loop: str, tenant: str = "default") -> tuple[RunSummary, ...]:
        """Newest logical date first."""


class DriftMonitor(Protocol):
    """Compares what a model meets with what it learned from.

    Constraints: a model has one baseline; another one under the same version is
    ``ShouldResolveConflict``, the same one changes nothing. An observation of the same days replaces the
    earlier one. A monitor outside the workspace is told of no baseline and no days with fewer episodes than
    a comparison takes, and has no figures of them. Errors as ``MetricSink``'s.
    """

    def set_baseline(self, learned_from: InputHistograms) -> None: ...

    def observe(self, met: InputHistograms) -> None:
        """``ShouldNameKnownId``: the model has no baseline."""

    def figures(
        self, loop: str, model_version: str, first: date, last: date, tenant: str = "default"
    ) -> DriftFigures | None:
        """What an observation came to; ``None`` where there is none, or it is not computed yet or was
        never told to a monitor outside."""
