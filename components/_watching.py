"""Rows of the watch graph's pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from everloop.contracts.rollouts import ExperimentFigures, RolloutRecord
from everloop.contracts.watching import WatchOutcome, standing
from everloop.reporting.trial import noticed_rows
from everloop.reporting.wording import interval

Told = tuple[str, Sequence[tuple[str, str]], Mapping[str, float], Sequence[str]]


def measured_rows(record: RolloutRecord | None, figures: ExperimentFigures | None) -> Told:
    """A measured trial, or that there is nothing to measure."""
    if record is None:
        return "nothing is on trial", (), {}, ()
    rows = [("candidate", record.candidate), ("state", standing(record))]
    if figures is None:
        return f"{standing(record)}: nobody has met it", rows, {}, ()
    primary = figures.primary
    rows += [
        ("candidate − control", interval(primary)),
        ("control", interval(figures.control)),
        ("candidate's mean", interval(figures.candidate)),
        *((f"people, {arm}", f"{count:,}") for arm, count in sorted(figures.exposed.items())),
        *((f"guardrail {g.name}", interval(g.effect)) for g in figures.guardrails),
        *noticed_rows(figures),
    ]
    told = {"effect": primary.value, "effect_low": primary.low, "effect_high": primary.high}
    return f"candidate − control: {interval(primary)}", rows, told, ()


def outcome_rows(found: WatchOutcome) -> Told:
    """The verdict with every check."""
    rows: list[tuple[str, str]] = []
    if found.trial is not None:
        rows += [("candidate", found.trial.candidate), ("state", standing(found.trial))]
    if found.verdict is not None:
        rows += [(f"{c.name}: {c.status}", c.reason) for c in found.verdict.checks]
        rows += [("alert", alert) for alert in found.verdict.alerts]
    traffic = 0.0 if found.trial is None else found.trial.traffic_percent
    return found.sentence, rows, {"traffic_percent": traffic}, ()
