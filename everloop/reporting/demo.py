"""The page of a tour: what was earned, what was learned and what it cost, day by day."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from everloop.contracts.demo import DemoDay, DemoTour
from everloop.reporting import wording
from everloop.reporting.plots import Series, lines
from everloop.reporting.report import filled
from everloop.reporting.svg import Caption

Pick = Callable[[DemoDay], float]


def demo_page(tour: DemoTour) -> str:
    """The tour as one HTML document that loads nothing; the same tour gives the same bytes."""
    last = tour.days[-1] if tour.days else None
    values = {
        "tour": tour,
        "last": last,
        "plots": (value_by_day(tour), accuracy_by_day(tour), epsilon_by_day(tour)),
    }
    return filled("demo.html.j2", values)


def value_by_day(tour: DemoTour) -> Markup:
    """True reward per decision of what decided, between the first and the best possible policy."""
    if not tour.days:
        return Markup("")
    last = tour.days[-1]
    served = _series(
        tour,
        "what decided",
        lambda day: day.value.value,
        lambda day: day.value.low,
        lambda day: day.value.high,
    )
    best = _series(tour, "best possible", lambda day: day.best.value)
    first = _series(tour, "the first policy", lambda day: day.first.value)
    description = (
        f"True reward per decision, exploration included. On day {last.number}: "
        f"{wording.interval(last.value)} of {wording.number(last.best.value)} possible, "
        f"{wording.number(last.first.value)} to begin with"
        f"{_reached(last)}."
    )
    return lines(
        Caption("plot-value", "Value by day", description),
        ((served, "main"), (best, "third"), (first, "baseline")),
        x_name="day",
    )


def accuracy_by_day(tour: DemoTour) -> Markup:
    """What privacy costs in accuracy; nothing where no night fitted a user model."""
    fitted = [day for day in tour.days if math.isfinite(day.auc_private)]
    if not fitted:
        return Markup("")
    last = fitted[-1]
    share = last.auc_private / last.auc_reference
    description = (
        "How well acceptance is told apart (area under the ROC curve; 0.5 is chance) for people who "
        f"are kept from learning. After day {last.number}: {wording.number(last.auc_private)} private, "
        f"{wording.number(last.auc_reference)} without privacy, a share of {wording.percent(share)}."
    )
    return lines(
        Caption("plot-auc", "Accuracy of the user model", description),
        (
            (_series(tour, "private", lambda day: day.auc_private), "main"),
            (_series(tour, "without privacy", lambda day: day.auc_reference), "baseline"),
        ),
        x_name="day",
    )


def epsilon_by_day(tour: DemoTour) -> Markup:
    """What the person who has spent most has lost, beside a budget that starts anew every night."""
    if not tour.days:
        return Markup("")
    last = tour.days[-1]
    description = (
        f"Of the person who has spent most, in {tour.period_days} days at δ = {tour.delta:g}. After "
        f"day {last.number}: ε = {wording.number(last.epsilon_period)} of "
        f"{wording.number(tour.epsilon)}; pipelines that take ε = {wording.number(tour.epsilon)} "
        f"every night would stand at {wording.number(last.epsilon_every_night)}."
    )
    nightly = f"ε = {wording.number(tour.epsilon)} every night"
    return lines(
        Caption("plot-epsilon", "Privacy spent", description),
        (
            (_series(tour, "this loop", lambda day: day.epsilon_period), "main"),
            (_series(tour, nightly, lambda day: day.epsilon_every_night), "third"),
        ),
        x_name="day",
        zero=True,
    )


def _series(
    tour: DemoTour, name: str, value: Pick, low: Pick | None = None, high: Pick | None = None
) -> Series:
    def of(pick: Pick | None) -> Sequence[float]:
        return [pick(day) for day in tour.days] if pick else ()

    return Series(name, [float(day.number) for day in tour.days], of(value), of(low), of(high))


def _reached(day: DemoDay) -> str:
    share = day.gain_share
    return f"; {wording.percent(share)} of what can be gained" if math.isfinite(share) else ""
