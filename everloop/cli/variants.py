"""``everloop variants``: personas and prompts on trial."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.output import Home, Json, Tenant, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from everloop.contracts.evaluation import Estimate
    from everloop.contracts.rollouts import SampleRatio
    from everloop.contracts.variants import VariantExperiment
    from everloop.rollout.variants.winner import VariantVerdict

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Try variants of a persona or a prompt on people, and promote the winner.\n\n"
        "everloop variants start --loop companion --base guide "
        "--variant warm=50 --change 'warm={\"warmth\": 0.8}'"
    ),
    rich_markup_mode=None,
)

Id = Annotated[str, typer.Argument(help="The experiment's id.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the experiment.")]


@app.command()
def start(
    loop: Annotated[str, typer.Option(help="The loop.")],
    base: Annotated[str, typer.Option(help="The persona that people meet today.")],
    variant: Annotated[
        list[str], typer.Option(help="A variant and its percent of people, as NAME=PERCENT.")
    ],
    change: Annotated[
        list[str] | None,
        typer.Option(help="What a variant changes, as NAME=JSON; a variant may come without."),
    ] = None,
    subject: Annotated[str, typer.Option(help="persona or prompt.")] = "persona",
    alpha: Annotated[float, typer.Option(help="Error over all looks.")] = 0.05,
    min_people: Annotated[int, typer.Option(help="Of each variant before anything decides.")] = 100,
    max_days: Annotated[int, typer.Option(help="After so many it stops as undecided.")] = 28,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Start a trial; the base gets the share that the variants leave."""
    import json

    from everloop.cli.operator import operator
    from everloop.contracts.errors import ShouldFixArgument
    from everloop.loops import load
    from everloop.sdk import variants
    from everloop.wiring import open_workspace

    changes = dict(_pair(text, "--change") for text in change or [])
    shares: dict[str, float] = {}
    for text in variant:
        name, number = _pair(text, "--variant")
        try:
            shares[name] = float(number)
        except ValueError:
            raise ShouldFixArgument(
                f"--variant {text!r}: {number!r} is no number.", "Give NAME=PERCENT."
            ) from None
    unknown = sorted(set(changes) - set(shares))
    if unknown:
        raise ShouldFixArgument(
            f"--change names {unknown[0]!r}, which is no --variant.", "Name the variant's share."
        )
    modifications = {}
    for name in shares:
        try:
            modifications[name] = json.loads(changes.get(name, "{}"))
        except json.JSONDecodeError as problem:
            raise ShouldFixArgument(f"--change {name}: {problem}.", "Give a JSON object.") from None
        if not isinstance(modifications[name], dict):
            raise ShouldFixArgument(f"--change {name} is no JSON object.", "Give {...}.")
    made = variants.start(
        open_workspace(home),
        load(loop).name,
        base,
        modifications,
        shares=shares,
        subject=subject,
        alpha=alpha,
        min_people=min_people,
        max_days=max_days,
        actor=operator(),
        tenant=tenant,
    )
    _show(made, None, as_json)


@app.command("list")
def list_experiments(
    loop: Annotated[str, typer.Option(help="Only this loop.")] = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List trials of variants, newest first."""
    from everloop.wiring import open_workspace

    found = open_workspace(home).variants.experiments(loop or None, tenant)
    if as_json:
        print_json(list(found))
        return
    rows = [
        (
            e.experiment_id,
            e.loop,
            e.variants[0].base_persona_id,
            ", ".join(f"{v.variant_id} {v.traffic_percentage:g} %" for v in e.variants),
            e.state,
            e.winner,
        )
        for e in found
    ]
    print_table("", ("experiment", "loop", "base", "variants", "state", "winner"), rows)


@app.command()
def show(
    experiment_id: Id, tenant: Tenant = "default", home: Home = None, as_json: Json = False
) -> None:
    """Show what feedback says of each variant; changes nothing."""
    from everloop.sdk import variants
    from everloop.wiring import open_workspace

    _show(*variants.judged(open_workspace(home), experiment_id, tenant), as_json)


@app.command()
def judge(
    experiment_id: Id, tenant: Tenant = "default", home: Home = None, as_json: Json = False
) -> None:
    """Promote the winner, or stop, where one of them is established; may be asked at any time."""
    from everloop.cli.operator import operator
    from everloop.sdk import variants
    from everloop.wiring import open_workspace

    _show(*variants.settle(open_workspace(home), experiment_id, operator(), tenant), as_json)


@app.command()
def stop(
    experiment_id: Id,
    reason: Reason,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End a trial by hand: everybody meets the base."""
    from everloop.cli.operator import operator
    from everloop.sdk import variants
    from everloop.wiring import open_workspace

    ended = variants.stop(open_workspace(home), experiment_id, reason, operator(), tenant)
    _show(ended, None, as_json)


@app.command()
def promote(
    experiment_id: Id,
    variant: Annotated[str, typer.Option(help="Whom everybody is to meet.")],
    reason: Reason,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End a trial by hand: everybody meets one variant."""
    from everloop.cli.operator import operator
    from everloop.sdk import variants
    from everloop.wiring import open_workspace

    ended = variants.promote(
        open_workspace(home), experiment_id, variant, reason, operator(), tenant
    )
    _show(ended, None, as_json)


def _pair(text: str, option: str) -> tuple[str, str]:
    from everloop.contracts.errors import ShouldFixArgument

    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise ShouldFixArgument(f"{option} {text!r} is no NAME=VALUE.", "Give NAME=VALUE.")
    return name, value


def _show(experiment: VariantExperiment, verdict: VariantVerdict | None, as_json: bool) -> None:
    if as_json:
        print_json(experiment)
        return
    told = {
        "experiment": experiment.experiment_id,
        "state": experiment.state,
        "winner": experiment.winner,
        "verdict": verdict.reason if verdict else experiment.reason,
        "people": _met(verdict.ratio) if verdict and verdict.ratio else "",
    }
    print_pairs({name: value for name, value in told.items() if value})
    rows = [
        (
            v.variant_id,
            f"{v.traffic_percentage:g} %",
            v.metrics.people,
            v.metrics.feedback,
            _figure(v.metrics.rating),
            _figure(v.metrics.difference),
            _figure(v.metrics.response),
            _figure(v.metrics.response_difference),
        )
        for v in experiment.variants
    ]
    heads = (
        "variant",
        "share",
        "people",
        "judgements",
        "rating",
        "difference",
        "answered",
        "to base",
    )
    print_table("", heads, rows)


def _met(ratio: SampleRatio) -> str:
    told = "in other shares than asked for" if ratio.mismatch else "in the shares asked for"
    shown = ", ".join(
        f"{name} {count} of {ratio.expected[name]:.0f}" for name, count in ratio.observed.items()
    )
    return f"{told} ({shown} expected)"


def _figure(found: Estimate | None) -> str:
    if found is None or math.isnan(found.value):
        return "—"
    if math.isnan(found.low):
        return f"{found.value:+.3f}"
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
