"""What Prometheus reads of runs: when each loop's graphs last ended, and how."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from everloop.contracts.ports import RunStore

AGE_S = 60.0
"""How old figures of runs may be."""
_RECENT = 200


class RunCollector(Collector):
    """The newest ended run of each loop, graph and outcome, of all tenants, among the last runs.

    Args:
        runs: where they are kept.
        clock: seconds that only grow.
    """

    def __init__(self, runs: RunStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._runs = runs
        self._clock = clock
        self._read: tuple[Metric, ...] = ()
        self._at = float("-inf")

    def describe(self) -> Iterator[Metric]:
        """The names, without reading anything: registration must not need the database."""
        yield _ended()
        yield _seconds()

    def collect(self) -> Iterator[Metric]:
        """Read anew at most once a minute."""
        if self._clock() - self._at > AGE_S:
            self._read = tuple(self._families())
            self._at = self._clock()
        yield from self._read

    def _families(self) -> Iterator[Metric]:
        ended, seconds = _ended(), _seconds()
        seen: set[tuple[str, str, str]] = set()
        for run in self._runs.runs(limit=_RECENT):
            key = (run.loop, run.pipeline, run.status)
            if run.finished_at is None or key in seen:
                continue
            seen.add(key)
            ended.add_metric(key, run.finished_at.timestamp())
            seconds.add_metric(key, (run.finished_at - run.started_at).total_seconds())
        yield ended
        yield seconds


def _ended() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "everloop_run_ended_timestamp_seconds",
        "When the newest run of a graph with this outcome ended, seconds since the epoch",
        labels=("loop", "graph", "status"),
    )


def _seconds() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "everloop_run_seconds", "How long that run took", labels=("loop", "graph", "status")
    )
