"""What a finished run tells the monitors: a row of the table of runs, series, and drift."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.encoded_file import load_encoded
from everloop.contracts.errors import EverloopError, ShouldNameKnownId
from everloop.contracts.evaluation import Decision, Estimate
from everloop.contracts.monitoring import (
    DriftFigures,
    DriftStatus,
    Measurement,
    MetricSink,
    RunSummary,
)
from everloop.contracts.rollouts import POLICY, alias_of
from everloop.monitoring.drift import input_histograms
from everloop.reporting.evidence import DAILY, RunEvidence
from everloop.wiring import Monitors, Workspace, local_monitors, open_monitors
from rl.encoders import layout


def tell_monitors(evidence: RunEvidence, encoded: Any, workspace: Workspace) -> str:
    """Tell every monitor what a run came to; sentences on what could not be told, or nothing.

    A monitor that is away fails no night: the workspace's own files have the figures all the same.

    Args:
        evidence: the run's.
        encoded: the artifact of its encoded episodes; None where the run ended before.
        workspace: whose active model's input is compared with what it learned from.
    """
    try:
        monitors, problem = open_monitors(workspace.home), ""
    except EverloopError as refusal:
        monitors, problem = local_monitors(workspace.home), f"{refusal.message} {refusal.remedy}"
    said = (problem, *_told(evidence, encoded, workspace, monitors))
    return " ".join(dict.fromkeys(word for word in said if word))


def _told(
    evidence: RunEvidence, encoded: Any, workspace: Workspace, monitors: Monitors
) -> tuple[str, ...]:
    figures = dict(run_metrics(evidence))
    summary = RunSummary(
        run_id=_run_id(evidence),
        loop=evidence.spec.name,
        tenant=evidence.tenant,
        logical_date=evidence.logical_date,
        verdict=evidence.verdict.decision.value if evidence.verdict else "",
        parameters={name.replace(" ", "_"): value for name, value in evidence.lineage.items()},
        metrics=figures,
    )
    said = [_tried(partial(log.record, summary)) for log in monitors.experiments]
    drift, problems = _drift(evidence, encoded, workspace, monitors)
    measured = tuple(_measurements(evidence, figures, drift))
    said += [_tried(partial(_publish, sink, measured)) for sink in monitors.metrics]
    return (*said, *problems)


def run_metrics(evidence: RunEvidence) -> Iterator[tuple[str, float]]:
    """Name and value of each finite headline figure of a run; an estimate brings its interval and n."""
    found: list[tuple[str, float]] = []
    if evidence.manifest:
        found += [
            ("episodes", evidence.manifest.episodes),
            ("signals", evidence.manifest.signals),
            ("opted_out_people", evidence.manifest.exclusions.opted_out_people),
        ]
    if evidence.rewards:
        found += _estimate("reward_mean", evidence.rewards.mean)
        found += [
            ("rewarded_episodes", evidence.rewards.rewarded),
            ("anomaly_share", evidence.rewards.anomaly_share),
        ]
    if evidence.evaluation:
        found += _estimate("policy_difference", evidence.evaluation.difference)
        found += _estimate("policy_baseline", evidence.evaluation.baseline)
    if evidence.training:
        found += [("training_last_reward", evidence.training.last_reward)]
    if evidence.verdict:
        found += [("verdict_continue", evidence.verdict.decision is Decision.CONTINUE)]
    if evidence.budget:
        found += [
            ("privacy_epsilon_tonight", evidence.budget.epsilon_tonight),
            ("privacy_epsilon_period", evidence.budget.epsilon_period),
            ("privacy_nights_left", evidence.budget.nights_left),
        ]
    found += [(f"seconds_{stage.stage}", stage.seconds) for stage in evidence.stages]
    for name, value in found:
        if math.isfinite(value):
            yield name, float(value)


def _estimate(name: str, estimate: Estimate) -> list[tuple[str, float]]:
    return [
        (name, estimate.value),
        (f"{name}_low", estimate.low),
        (f"{name}_high", estimate.high),
        (f"{name}_n", estimate.n),
    ]


def _measurements(
    evidence: RunEvidence, figures: dict[str, float], drift: DriftFigures | None
) -> Iterator[Measurement]:
    midnight = datetime.combine(evidence.logical_date + timedelta(days=1), time(), tzinfo=UTC)
    at = evidence.manifest.known_until if evidence.manifest else midnight
    labels = {"loop": evidence.spec.name, "tenant": evidence.tenant}
    for name, value in figures.items():
        yield Measurement(name, value, at, labels)
    for field in drift.fields if drift else ():
        if field.status is DriftStatus.INSUFFICIENT:
            continue  # of few episodes a distance says little of drift and much of single people
        yield Measurement("input_drift", field.distance, at, labels | {"field": field.field})


def _drift(
    evidence: RunEvidence, encoded: Any, workspace: Workspace, monitors: Monitors
) -> tuple[DriftFigures | None, list[str]]:
    """What the active model met on the run's day, as the workspace's own monitor sees it."""
    if not encoded:
        return None, []
    episodes, problems = load_encoded(Path(encoded.path)), []
    spec, day, tenant = evidence.spec, evidence.logical_date, evidence.tenant
    everything = np.ones(len(episodes), dtype=np.bool_)
    if evidence.checkpoint:
        first = day - timedelta(days=spec.thresholds.window_days - 1)
        learned = input_histograms(
            episodes,
            layout(spec),
            everything,
            evidence.checkpoint.checkpoint_id,
            (first, day),
            spec.name,
            tenant,
        )
        problems += [_tried(partial(monitor.set_baseline, learned)) for monitor in monitors.drift]
    active, _ = workspace.registry.alias(spec.name, alias_of(POLICY), tenant)
    if not active:
        return None, problems
    met = input_histograms(
        episodes, layout(spec), _of_day(episodes, evidence), active, (day, day), spec.name, tenant
    )
    problems += [_tried(partial(monitor.observe, met)) for monitor in monitors.drift]
    return monitors.drift[0].figures(spec.name, active, day, day, tenant), problems


def _of_day(episodes: EncodedEpisodes, evidence: RunEvidence) -> Any:
    start = datetime.combine(evidence.logical_date, time(), tzinfo=UTC).timestamp()
    return (episodes.timestamp >= start) & (episodes.timestamp < start + 86_400.0)


def _publish(sink: MetricSink, measured: Sequence[Measurement]) -> str:
    return sink.publish(measured).why


def _tried(tell: Callable[[], str | None]) -> str:
    """What went wrong, or nothing; a model from before monitoring has no baseline, which is no fault."""
    try:
        return tell() or ""
    except ShouldNameKnownId:
        return ""
    except EverloopError as problem:
        return f"{problem.message} {problem.remedy}"


def _run_id(evidence: RunEvidence) -> str:
    graph = () if evidence.graph == DAILY else (evidence.graph,)
    return "-".join((evidence.spec.name, evidence.logical_date.isoformat(), *graph))
