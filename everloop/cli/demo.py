"""``everloop demo``: a tour of the loop on made-up people, day by day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.output import Json, notes, print_json, print_pairs, print_table
from everloop.cli.progress import Spinner

if TYPE_CHECKING:
    from everloop.contracts.demo import DemoDay, DemoTour

_DASH = "–"


def demo(
    days: Annotated[int, typer.Option(help="How many days to play.")] = 30,
    people: Annotated[
        int, typer.Option(help="How many people there are on the first day.")
    ] = 6_000,
    seed: Annotated[int, typer.Option(help="Seed of the people and of every draw.")] = 7,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override, e.g. --set training.iterations=60 (repeatable)."),
    ] = None,
    home: Annotated[
        str | None,
        typer.Option(help="The tour's own folder (default: .everloop-demo beside the workspace)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where the drawn page goes (default: HOME/tour.html).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Live with the loop for a month, on made-up people whose truth is known.

    Each day the people come, what serves decides with logged propensities, and their signals are stored
    by the ordinary ingest. Each night the loop validates and aggregates, fits the private user model
    under the real ledger, draws people who do not exist, trains a policy on them and judges it on people
    who were kept from learning. What the gate lets through decides from the next day on.

    The table shows, day by day: the true value per decision of what decided, how much of the possible
    gain that is, how well the user model tells acceptance apart with and without privacy, and the
    privacy spent by the person who has spent most, beside a pipeline that takes epsilon = 1 every night.

    Stopped or killed, the same command goes on after the last finished day with the same figures; more
    --days make the tour longer. Nothing is sent anywhere, and no other workspace is touched.
    """
    from everloop.reporting.demo import demo_page
    from everloop.sdk.demo import DemoPlan, play, tour_of
    from everloop.sdk.demo.journal import default_home
    from everloop.sdk.synthetic.output import put_bytes, require_place

    plan = DemoPlan(days, people, seed, tuple(settings or ()))
    place = Path(home).absolute() if home else default_home()
    if output is not None:
        require_place(output, overwrite=True)
    notes.print(
        f"demo · {plan.spec.name} · {days} days, {people:,} people, seed {seed} · {place}",
        soft_wrap=True,
    )
    notes.print(f"  settings of the tour: {', '.join(plan.overrides)}", soft_wrap=True)
    spinner = Spinner(notes)
    try:
        for day in play(plan, place, spinner.show):
            spinner.close()
            notes.print(_line(day), soft_wrap=True)
    finally:
        spinner.close()
    tour = tour_of(plan, place)
    page = output or place / "tour.html"
    put_bytes(demo_page(tour).encode(), page)
    if as_json:
        print_json(tour)
    else:
        _say(tour, page)


def _line(day: DemoDay) -> str:
    return (
        f"  day {day.number:>3}  value {day.value.value:.3f}  "
        f"ε {day.epsilon_period:.3f}  {sum(day.seconds.values()):5.1f}s  {day.verdict}: {day.reason}"
    )


def _say(tour: DemoTour, page: Path) -> None:
    shown = f"{tour.epsilon:g}"
    columns = (
        "day",
        "people",
        "decided by",
        "value",
        "best",
        "of the gain",
        "AUC",
        "without privacy",
        "ε tonight",
        "ε period",
        "ε seen",
        f"ε={shown} nightly",
        "verdict",
    )
    print_table("", columns, [_row(day) for day in tour.days])
    typer.echo()
    print_pairs(_meaning(tour) | {"page": str(page)})


def _row(day: DemoDay) -> Sequence[object]:
    return (
        day.number,
        f"{day.people:,} (+{day.arrived} −{day.left})",
        day.decided_by,
        f"{day.value.value:.3f} [{day.value.low:.3f}, {day.value.high:.3f}]",
        f"{day.best.value:.3f}",
        _known(day.gain_share, "{:.0%}"),
        _known(day.auc_private, "{:.3f}"),
        _known(day.auc_reference, "{:.3f}"),
        f"{day.epsilon_tonight:.4f}",
        f"{day.epsilon_period:.4f}",
        f"{day.epsilon_since_first_seen:.4f}",
        f"{day.epsilon_every_night:.2f}",
        day.verdict,
    )


def _meaning(tour: DemoTour) -> dict[str, str]:
    return {
        "value": "true reward per decision of what decided that day, its exploration included",
        "of the gain": "0 % is the policy that decides at first, 100 % the best possible one",
        "AUC": "how well acceptance is told apart for people who are kept from learning",
        "ε": f"of the person who has spent most, at δ = {tour.delta:g}; the budget is "
        f"{tour.epsilon:g} in any {tour.period_days} days",
        "verdict": "continue: tonight's policy decides from the next day on; hold: nothing changes",
    }


def _known(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else _DASH
