"""One page of metrics for several workers.

Every worker writes its page beside the others' each second; whoever is asked reads them all. Samples
carry the worker's number, and sums are Prometheus's to make.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from everloop.contracts import documents

FRESH_S = 15.0
"""A page older than this is of a worker that has ended."""

_PUBLISH_S = 1.0
_log = logging.getLogger(__name__)


class MetricsExchange:
    """The page of one worker among several.

    Args:
        registry: this worker's figures.
        folder: where the workers leave their pages; ``None`` where there is one worker.
        worker: this worker's number.
    """

    def __init__(self, registry: CollectorRegistry, folder: Path | None, worker: int) -> None:
        self._registry = registry
        self._folder = folder
        self._worker = worker
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def alone(self) -> bool:
        """Whether there is no other worker to tell."""
        return self._folder is None

    def publish(self) -> None:
        """Leave this worker's page for the others."""
        if self._folder is not None:
            page = generate_latest(self._registry)
            documents.write_atomically(page, self._folder / f"{self._worker}.prom")

    def page(self) -> bytes:
        """Everybody's figures in Prometheus's text format."""
        if self._folder is None:
            return generate_latest(self._registry)
        self.publish()
        merged = CollectorRegistry(auto_describe=False)
        merged.register(_Pages(self._fresh()))
        return generate_latest(merged)

    def _fresh(self) -> dict[str, str]:
        pages = {}
        for path in sorted(self._folder.glob("*.prom")) if self._folder else ():
            try:
                if time.time() - path.stat().st_mtime < FRESH_S:
                    pages[path.stem] = path.read_text()
            except FileNotFoundError:
                continue
        return pages


@contextmanager
def publishing(exchange: MetricsExchange) -> Iterator[Callable[[], bool]]:
    """Keep a worker's page fresh for the others; gives what says whether that goes on."""
    if exchange.alone:
        yield lambda: True
        return
    stop = threading.Event()

    def publish() -> None:
        failing = False
        while not stop.wait(_PUBLISH_S):
            try:
                exchange.publish()
                failing = False
            except Exception:
                if not failing:
                    _log.exception("The page of metrics cannot be written; trying again.")
                failing = True

    thread = threading.Thread(target=publish, name="everloop-metrics", daemon=True)
    thread.start()
    try:
        yield thread.is_alive
    finally:
        stop.set()
        thread.join()


class _Pages(Collector):
    def __init__(self, pages: dict[str, str]) -> None:
        self._pages = pages

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for worker, page in self._pages.items():
            for family in text_string_to_metric_families(page):
                into = merged.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    into.samples.append(sample._replace(labels={**sample.labels, "worker": worker}))
        yield from _ordered(merged.values())


def _ordered(families: Iterable[Metric]) -> Iterable[Metric]:
    return sorted(families, key=lambda family: family.name)
