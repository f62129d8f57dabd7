"""Figures as files of a folder: what dashboards read without any service.

::

    measurements/2026-03-28.json     a day's measurements
    runs/<loop>/<tenant>/<run>.json  one row of the table of runs
    drift/<loop>/<tenant>/<model>/   baseline.json and one file for each observation
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date
from itertools import groupby
from pathlib import Path

from everloop.contracts import documents
from everloop.contracts.errors import ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.monitoring import (
    DriftFigures,
    InputHistograms,
    Measurement,
    Published,
    RunSummary,
)
from everloop.monitoring.drift import compare

_BASELINE = "baseline.json"


class FolderMetricSink:
    """``MetricSink`` in files of a day each.

    Args:
        root: the folder; made when it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root / "measurements"

    def publish(self, measurements: Sequence[Measurement]) -> Published:
        """See ``MetricSink``."""
        self._root.mkdir(parents=True, exist_ok=True)
        with _alone(self._root):
            ordered = sorted(measurements, key=_day)
            for day, found in groupby(ordered, key=_day):
                path = self._root / f"{day}.json"
                known = {(m.series, m.at): m for m in _stored(path)}
                for each in found:
                    known.setdefault((each.series, each.at), each)
                documents.write(tuple(known.values()), path, tuple[Measurement, ...])
        return Published(len(measurements))

    def measurements(self, day: date) -> tuple[Measurement, ...]:
        """What was measured on a day, UTC."""
        return _stored(self._root / f"{day}.json")


class FolderExperimentLog:
    """``ExperimentLog`` as a file for each run; ``root`` as ``FolderMetricSink``'s."""

    def __init__(self, root: Path) -> None:
        self._root = root / "runs"

    def record(self, run: RunSummary) -> None:
        """See ``ExperimentLog``."""
        documents.write(run, self._root / run.loop / run.tenant / f"{run.run_id}.json")

    def runs(self, loop: str, tenant: str = "default") -> tuple[RunSummary, ...]:
        """See ``ExperimentLog``."""
        found = [documents.read(RunSummary, p) for p in (self._root / loop / tenant).glob("*.json")]
        return tuple(sorted(found, key=lambda r: (r.logical_date, r.run_id), reverse=True))


class FolderDriftMonitor:
    """``DriftMonitor`` that compares here; ``root`` as ``FolderMetricSink``'s."""

    def __init__(self, root: Path) -> None:
        self._root = root / "drift"

    def set_baseline(self, learned_from: InputHistograms) -> None:
        """See ``DriftMonitor``."""
        folder = self._folder(learned_from.loop, learned_from.tenant, learned_from.model_version)
        path = folder / _BASELINE
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if path.exists():
                if documents.read(InputHistograms, path) != learned_from:
                    raise ShouldResolveConflict(
                        f"Model {learned_from.model_version} has another baseline.",
                        "Give another version to what learned from other data.",
                    )
                return
            documents.write(learned_from, path)

    def observe(self, met: InputHistograms) -> None:
        """See ``DriftMonitor``."""
        folder = self._folder(met.loop, met.tenant, met.model_version)
        path = folder / _BASELINE
        if not path.exists():
            raise ShouldNameKnownId(
                f"Model {met.model_version} has no baseline.", "Set what it learned from first."
            )
        figures = compare(documents.read(InputHistograms, path), met)
        documents.write(figures, folder / _name(met.first, met.last))

    def figures(
        self, loop: str, model_version: str, first: date, last: date, tenant: str = "default"
    ) -> DriftFigures | None:
        """See ``DriftMonitor``."""
        path = self._folder(loop, tenant, model_version) / _name(first, last)
        return documents.read(DriftFigures, path) if path.exists() else None

    def _folder(self, loop: str, tenant: str, model_version: str) -> Path:
        # A version is anybody's text; its digest is a folder's name.
        digest = hashlib.sha256(model_version.encode()).hexdigest()[:16]
        return self._root / loop / tenant / digest


def _name(first: date, last: date) -> str:
    return f"{first.isoformat()}_{last.isoformat()}.json"


def _day(measurement: Measurement) -> str:
    return measurement.at.astimezone(UTC).date().isoformat()


def _stored(path: Path) -> tuple[Measurement, ...]:
    return documents.read(tuple[Measurement, ...], path) if path.exists() else ()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
