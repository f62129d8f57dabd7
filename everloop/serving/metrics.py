"""What Prometheus reads: requests, commits, decisions, training, trust.

Nothing here is of one tenant: the page is open to whoever reaches the port.
"""

from __future__ import annotations

import time
from collections import Counter as Counting
from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everloop.contracts.service_ports import FeedbackStore
from everloop.serving.decisions.engine import DecisionEngine
from everloop.storage.sql.group_commit import GroupCommit

TRUST_TARGET = 4.2
OPT_OUT_TARGET = 0.02
_TRUST_AGE_S = 300.0
"""A million episodes take a second or two to look through."""
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class RequestFigures:
    """Counts and times of requests by route, method and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "everloop_request_seconds",
            "Time from a request's first byte to its answer's last",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.quarantined = Counter(
            "everloop_feedback_quarantined", "Feedback put in quarantine", registry=registry
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children.setdefault(key, self._seconds.labels(method, route, str(status)))
        child.observe(seconds)


class RequestMetrics:
    """ASGI middleware that feeds ``RequestFigures``."""

    def __init__(self, app: ASGIApp, figures: RequestFigures) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            # A client may name any method; each label value is kept for ever.
            method = scope["method"] if route != "unmatched" else "any"
            self._figures.observe(method, route, status, time.perf_counter() - started)


class ServiceCollector(Collector):
    """Figures that the service's parts keep themselves, read when the page is.

    Args:
        queue, decisions: this process's.
        feedback: where trust is read from, every five minutes; ``None`` in all workers but one, since
            these figures are everybody's.
    """

    def __init__(
        self, queue: GroupCommit, decisions: DecisionEngine, feedback: FeedbackStore | None
    ) -> None:
        self._queue = queue
        self._decisions = decisions
        self._feedback = feedback
        self._trust: list[Metric] = []
        self._trust_at = float("-inf")

    def collect(self) -> Iterator[Metric]:
        yield from self._ingest()
        yield from self._decided()
        yield from self._trials()
        yield from self._trust_figures()

    def _ingest(self) -> Iterator[Metric]:
        queue = self._queue
        done = queue.figures
        for name, meaning, value in (
            ("commits", "Commits of the ingest queue", done.commits),
            ("stored", "Records stored", done.records),
            ("replayed", "Records that were stored before", done.replayed),
            ("refused", "Requests that a commit refused (conflict, orphan)", done.refused),
            ("failed", "Requests that could not be stored", done.failed),
            ("commit_seconds", "Time within transactions", done.seconds),
        ):
            yield CounterMetricFamily(f"everloop_ingest_{name}", meaning, value=value)
        yield GaugeMetricFamily(
            "everloop_ingest_waiting", "Records that wait for a commit", value=queue.waiting
        )
        yield GaugeMetricFamily(
            "everloop_wal_bytes", "Size of SQLite's write-ahead log", value=queue.wal_bytes
        )

    def _decided(self) -> Iterator[Metric]:
        counts = self._decisions.counts()
        decided = CounterMetricFamily(
            "everloop_decisions",
            "Decisions made",
            labels=("loop", "arm", "model_version", "fallback"),
        )
        for label, count in counts.decisions.items():
            decided.add_metric(
                (label.loop, label.arm.value, label.model_version, label.fallback), count
            )
        yield decided
        for name, meaning, second, found in (
            (
                "model_load_failures",
                "Models that did not load",
                "checkpoint",
                counts.load_failures,
            ),
            (
                "breaker_openings",
                "Times a model was taken out",
                "model_version",
                counts.breaker_openings,
            ),
        ):
            family = CounterMetricFamily(f"everloop_{name}", meaning, labels=("loop", second))
            for key, count in found.items():
                family.add_metric(key, count)
            yield family

    def _trials(self) -> Iterator[Metric]:
        counted = CounterMetricFamily(
            "everloop_trial_decisions",
            "Decisions that candidates were asked for, unseen (shadow) or by people on trial",
            labels=("loop", "phase", "outcome"),
        )
        for (loop, phase), total in self._decisions.watch.tallies.totals().items():
            for outcome, n in total.items():
                counted.add_metric((loop, phase, outcome), n)
        yield counted
        trials: Counting[tuple[str, str]] = Counting()
        traffic: dict[str, float] = {}
        breakers: Counting[str] = Counting()
        for state in self._decisions.states():
            breakers[state.loop] += state.safety_open
            if state.trial_state:
                trials[state.loop, state.trial_state] += 1
                traffic[state.loop] = max(traffic.get(state.loop, 0.0), state.traffic_percent)
        on_trial = GaugeMetricFamily(
            "everloop_trials", "Candidates on trial, by tenant", labels=("loop", "state")
        )
        for key, n in trials.items():
            on_trial.add_metric(key, n)
        met = GaugeMetricFamily(
            "everloop_trial_traffic_percent",
            "Largest share of people who meet a candidate, the holdout aside",
            labels=("loop",),
        )
        for loop, percent in traffic.items():
            met.add_metric((loop,), percent)
        opened = GaugeMetricFamily(
            "everloop_safety_breakers_open", "Open safety breakers, by tenant", labels=("loop",)
        )
        for loop, n in breakers.items():
            opened.add_metric((loop,), n)
        waiting = GaugeMetricFamily(
            "everloop_shadow_waiting",
            "Questions that wait to be put to a candidate unseen",
            value=self._decisions.watch.shadow.waiting,
        )
        yield from (on_trial, met, opened, waiting)

    def _trust_figures(self) -> list[Metric]:
        now = time.monotonic()
        if self._feedback is not None and now - self._trust_at > _TRUST_AGE_S:
            self._trust = list(self._read_trust(self._feedback))
            self._trust_at = now
        return self._trust

    def _read_trust(self, feedback: FeedbackStore) -> Iterator[Metric]:
        trust = feedback.trust(datetime.now(UTC))
        figures: tuple[tuple[str, str, float | None], ...] = (
            ("trust_answers", "People who answered the trust survey", trust.trust_n),
            ("trust_mean", "Mean answer, 1 to 5", trust.trust_mean),
            ("trust_low", "Lower end of its 95 % interval", trust.trust_low),
            ("trust_high", "Upper end of its 95 % interval", trust.trust_high),
            ("trust_target", "What the mean should exceed", TRUST_TARGET),
            ("people", "People known", trust.people),
            ("opted_out_people", "People who withdrew from training", trust.opted_out),
            ("opt_out_rate", "Their share", trust.opt_out_rate),
            ("opt_out_low", "Lower end of its 95 % interval", trust.opt_out_low),
            ("opt_out_high", "Upper end of its 95 % interval", trust.opt_out_high),
            ("opt_out_target", "What the share should stay under", OPT_OUT_TARGET),
        )
        for name, meaning, value in figures:
            if value is not None:
                yield GaugeMetricFamily(f"everloop_{name}", meaning, value=value)
