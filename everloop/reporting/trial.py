"""The page of a trial: where it stands, what people's answers say, and everything that happened to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from everloop.contracts.evaluation import CheckStatus, Decision
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import ExperimentFigures, RolloutRecord, TrialTally
from everloop.contracts.watching import WatchOutcome, standing
from everloop.reporting.charts import Forest, forest
from everloop.reporting.plots import Series, bars, line, whiskers
from everloop.reporting.report import filled
from everloop.reporting.svg import Caption
from everloop.reporting.wording import interval, number, percent, plural, short_day

_Z95 = 1.959964
_TONES = {
    Decision.CONTINUE: "good",
    Decision.PROMOTE: "good",
    Decision.HOLD: "wait",
    Decision.ROLLBACK: "bad",
}


def render_trial(spec: LoopSpec, outcome: WatchOutcome) -> str:
    """The page as one HTML document that loads nothing; the same outcome gives the same bytes."""
    figures = None if outcome.verdict is None else outcome.verdict.experiment
    checks = () if outcome.verdict is None else outcome.verdict.checks
    values = {
        "spec": spec,
        "o": outcome,
        "f": figures,
        "standing": "" if outcome.trial is None else standing(outcome.trial),
        "tone": "" if outcome.verdict is None else _TONES[outcome.verdict.decision],
        "found_checks": checks,
        "passed": sum(check.status is CheckStatus.PASSED for check in checks),
        "plots": tuple(plot for plot in _plots(outcome, figures) if plot),
        "forests": _forests(figures),
        "noticed": () if figures is None else noticed_rows(figures),
        "counts": tuple(_counted(tally) for tally in outcome.tallies),
    }
    return filled("trial.html.j2", values)


def _plots(outcome: WatchOutcome, figures: ExperimentFigures | None) -> tuple[Markup, ...]:
    return (
        known_effect(outcome),
        Markup("") if figures is None else daily_effect(figures),
        Markup("") if outcome.trial is None else traffic(outcome.trial, outcome.at),
        Markup("") if figures is None else people(figures),
    )


def known_effect(outcome: WatchOutcome) -> Markup:
    """The effect with its confidence sequence, as it was known at each day's end."""
    looks = [look for look in outcome.looks if math.isfinite(look.effect.value)]
    if not looks:
        return Markup("")
    begun = looks[0].at
    days = [(look.at - begun) / timedelta(days=1) for look in looks]
    series = Series(
        "effect",
        days,
        [look.effect.value for look in looks],
        [look.effect.low for look in looks],
        [look.effect.high for look in looks],
    )
    told = (
        f"Candidate − control per decision, with an interval that holds over all looks. Now: "
        f"{interval(looks[-1].effect)}."
    )
    caption = Caption("plot-known", "What is known of the effect", told)
    return line(caption, series, x_name="days since the first", zero=True)


def daily_effect(figures: ExperimentFigures) -> Markup:
    """Each day's own effect with its 95 % interval; a day says nothing of the others."""
    if not figures.days:
        return Markup("")
    values = [day.effect for day in figures.days]
    errors = [_Z95 * day.standard_error for day in figures.days]
    series = Series(
        "effect",
        list(range(len(values))),
        values,
        [value - error for value, error in zip(values, errors, strict=True)],
        [value + error for value, error in zip(values, errors, strict=True)],
    )
    told = (
        f"{plural(len(values), 'day')}; the whiskers are fixed-time 95 % intervals of one day. Drift "
        f"(CUSUM): {number(figures.cusum)}."
    )
    labels = [
        f"{short_day(datetime.fromisoformat(day.day).date())}, {day.percent:g} %"
        for day in figures.days
    ]
    return whiskers(Caption("plot-days", "Effect by day", told), labels, series)


def traffic(record: RolloutRecord, now: datetime) -> Markup:
    """Share of people who met the candidate, step by step."""
    if not record.history:
        return Markup("")
    begun = record.history[0].entered_at
    hours: list[float] = []
    shares: list[float] = []
    ends = [*(stay.entered_at for stay in record.history[1:]), max(now, record.entered_at)]
    for stay, end in zip(record.history, ends, strict=True):
        hours += [(moment - begun) / timedelta(hours=1) for moment in (stay.entered_at, end)]
        shares += [stay.traffic_percent] * 2
    told = "; ".join(
        f"{stay.state.replace('_', ' ')} at {stay.traffic_percent:g} % from "
        f"{stay.entered_at.astimezone(UTC):%d %b %H:%M}"
        for stay in record.history
    )
    caption = Caption("plot-traffic", "Traffic", f"{told}.")
    return line(caption, Series("traffic", hours, shares), x_name="hours", zero=True)


def people(figures: ExperimentFigures) -> Markup:
    """People who were met, by arm."""
    arms = sorted(figures.exposed.items())
    if not arms:
        return Markup("")
    told = ", ".join(f"{arm}: {plural(count, 'person', 'people')}" for arm, count in arms)
    caption = Caption("plot-people", "People in each arm", f"{told}.")
    return bars(caption, [arm for arm, _ in arms], [float(count) for _, count in arms])


def noticed_rows(figures: ExperimentFigures) -> tuple[tuple[str, str], ...]:
    """How many decisions of each arm were found strange, and how many a person rejected."""
    named = (("flagged", figures.flagged), ("rejected by a person", figures.rejected))
    return tuple(
        (
            f"{name}, {arm}",
            f"{found.decisions[arm]:,} of {plural(found.of[arm], 'decision')} "
            f"({percent(found.share(arm))})",
        )
        for name, found in named
        if found is not None
        for arm in ("candidate", "control")
    )


def _forests(figures: ExperimentFigures | None) -> tuple[tuple[str, Forest], ...]:
    if figures is None:
        return ()
    named = (("Guardrails", figures.guardrails), ("Segments", figures.segments))
    found: list[tuple[str, Forest]] = []
    for title, metrics in named:
        known = [m for m in metrics if math.isfinite(m.effect.value)]
        if known:
            rows = [(m.name, "bad" if m.held is False else "main", m.effect) for m in known]
            found.append((title, forest(rows, reference=0.0, signed=True)))
    arms = [("candidate", "main", figures.candidate), ("control", "baseline", figures.control)]
    if all(math.isfinite(e.value) for _, _, e in arms):
        found.insert(0, ("Reward per decision", forest(arms)))
    return tuple(found)


def _counted(tally: TrialTally) -> tuple[str, Sequence[tuple[str, str]]]:
    answered = tally.answered
    agreed = percent(tally.agreed / answered) if answered else "–"
    actions = sorted(tally.actions.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(
        f"{name} {percent(count / sum(tally.actions.values()))}" for name, count in actions
    )
    return f"{tally.phase}, worker {tally.worker}", (
        ("asked", f"{tally.asked:,}"),
        ("without an answer", f"{tally.failed:,}"),
        ("no distribution", f"{tally.invalid:,}"),
        ("not asked for want of time", f"{tally.dropped:,}"),
        ("agrees with the active model", agreed),
        ("actions", shown or "–"),
    )
