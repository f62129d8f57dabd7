"""What the page of metrics tells of trials and of the safety breaker."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry, generate_latest

from everloop.serving.decisions.serving import EngineState
from everloop.serving.decisions.stats import DecisionCounts
from everloop.serving.metrics import ServiceCollector


def state(tenant: str, **changes: Any) -> EngineState:
    values: dict[str, Any] = {
        "tenant": tenant,
        "loop": "coach",
        "active": None,
        "candidate": None,
        "standby": None,
        "active_checkpoint": None,
        "candidate_checkpoint": None,
        "generation": 0,
        "rollout_id": None,
        "traffic_percent": 0.0,
        "epsilon": 0.1,
        "episodes": 0,
    }
    return EngineState(**(values | changes))


@dataclass
class Decisions:
    found: tuple[EngineState, ...]
    totals: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)

    @property
    def watch(self) -> Any:
        tallies = SimpleNamespace(totals=lambda: self.totals)
        return SimpleNamespace(tallies=tallies, shadow=SimpleNamespace(waiting=7))

    def states(self) -> tuple[EngineState, ...]:
        return self.found

    def counts(self) -> DecisionCounts:
        return DecisionCounts({}, {}, {})


def page(decisions: Decisions) -> str:
    done = SimpleNamespace(commits=0, records=0, replayed=0, refused=0, failed=0, seconds=0.0)
    queue = SimpleNamespace(figures=done, waiting=0, wal_bytes=0)
    registry = CollectorRegistry()
    registry.register(ServiceCollector(cast("Any", queue), cast("Any", decisions), None))
    return generate_latest(registry).decode()


def test_trials_traffic_counts_and_breakers_are_told_without_naming_tenants() -> None:
    found = page(
        Decisions(
            (
                state("default", trial_state="started", traffic_percent=5.0, safety_open=True),
                state("acme", trial_state="started", traffic_percent=25.0, safety_open=True),
                state("zeta", trial_state="shadow"),
                state("quiet"),
            ),
            {("coach", "shadow"): {"asked": 12, "invalid": 1}, ("coach", "trial"): {"asked": 3}},
        )
    )
    for line in (
        'everloop_trials{loop="coach",state="started"} 2.0',
        'everloop_trials{loop="coach",state="shadow"} 1.0',
        'everloop_trial_traffic_percent{loop="coach"} 25.0',
        'everloop_safety_breakers_open{loop="coach"} 2.0',
        'everloop_trial_decisions_total{loop="coach",outcome="asked",phase="shadow"} 12.0',
        'everloop_trial_decisions_total{loop="coach",outcome="invalid",phase="shadow"} 1.0',
        'everloop_trial_decisions_total{loop="coach",outcome="asked",phase="trial"} 3.0',
        "everloop_shadow_waiting 7.0",
    ):
        assert line in found
    assert "acme" not in found


def test_a_closed_breaker_is_told_too() -> None:
    found = page(Decisions((state("default"),)))
    assert 'everloop_safety_breakers_open{loop="coach"} 0.0' in found
    assert "everloop_trials{" not in found
