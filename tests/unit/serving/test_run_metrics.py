"""When each loop's graphs last ended, for Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from everloop.contracts.models import RunRecord
from everloop.serving.run_metrics import AGE_S, RunCollector

MORNING = datetime(2026, 3, 29, 2, tzinfo=UTC)


def run(status: Any, hours: int, minutes: int | None = 5, loop: str = "coach") -> RunRecord:
    started = MORNING + timedelta(hours=hours)
    return RunRecord(
        run_id=f"{loop}-{hours}",
        pipeline="daily-learning",
        loop=loop,
        logical_date="2026-03-28",
        started_at=started,
        finished_at=None if minutes is None else started + timedelta(minutes=minutes),
        status=status,
        verdict="",
        parameters={},
        stages=(),
        report="",
    )


class Runs:
    def __init__(self, *runs: RunRecord) -> None:
        self.found = runs
        self.reads = 0

    def runs(self, loop: str | None = None, limit: int = 50) -> tuple[RunRecord, ...]:
        self.reads += 1
        return self.found[:limit]

    def run(self, run_id: str) -> RunRecord:
        raise NotImplementedError

    def save(self, run: RunRecord) -> None:
        raise NotImplementedError


def page(runs: Runs) -> str:
    registry = CollectorRegistry()
    registry.register(RunCollector(runs))
    return generate_latest(registry).decode()


def test_the_newest_run_of_each_outcome_is_told() -> None:
    found = page(
        Runs(
            run("running", 50, None),
            run("failed", 48, 1),
            run("succeeded", 24, 7),
            run("succeeded", 0, 3),
            run("succeeded", 1, 2, "other"),
        )
    )
    labels = 'graph="daily-learning",loop="coach"'
    ended = (MORNING + timedelta(hours=24, minutes=7)).timestamp()
    (line,) = [
        each
        for each in found.splitlines()
        if each.startswith(f'everloop_run_ended_timestamp_seconds{{{labels},status="succeeded"')
    ]
    assert float(line.split()[-1]) == ended
    assert f'everloop_run_seconds{{{labels},status="succeeded"}} 420.0' in found
    assert f'everloop_run_seconds{{{labels},status="failed"}} 60.0' in found
    assert 'loop="other"' in found
    assert 'status="running"' not in found


def test_runs_are_read_once_a_minute_and_never_to_register() -> None:
    runs, now = Runs(run("succeeded", 0)), [0.0]
    registry = CollectorRegistry()
    registry.register(RunCollector(runs, lambda: now[0]))
    assert runs.reads == 0
    for seconds in (0.0, AGE_S - 1, AGE_S + 1):
        now[0] = seconds
        generate_latest(registry)
    assert runs.reads == 2
