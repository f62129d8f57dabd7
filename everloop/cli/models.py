"""``everloop models``: which models there are, what was measured of each, and which one serves."""

from __future__ import annotations

from typing import Annotated

import typer

from everloop.cli.operator import operator
from everloop.cli.output import Home, Json, Tenant, print_json, print_pairs, print_table
from everloop.contracts.models import ModelType

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, judge, deploy and withdraw trained models.",
)

Loop = Annotated[str | None, typer.Option(help="Of this loop alone, by name.")]


@app.command("list")
def list_models(
    loop: Loop = None,
    kind: Annotated[ModelType | None, typer.Option("--type", help="Of this kind alone.")] = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every registered model, newest first within its loop."""
    from everloop.serving.models.listing import models_of
    from everloop.wiring import open_workspace

    workspace = open_workspace(home)
    loops = workspace.registry.loops(tenant) if loop is None else (loop,)
    found = models_of(workspace, loops, tenant, kind)
    if as_json:
        print_json([model.model_dump(mode="json") for model in found])
        return
    rows = [
        (
            model.checkpoint_id,
            *(() if loop else (model.loop,)),
            model.model_type,
            model.version,
            model.verdict,
            ", ".join(model.aliases) or "-",
            f"{model.training_date:%Y-%m-%d %H:%M}",
            _signed(model.performance_metrics.get("difference")),
        )
        for model in found
    ]
    names = ("type", "version", "verdict", "alias", "trained", "difference")
    print_table("", ("checkpoint", *(() if loop else ("loop",)), *names), rows)


@app.command()
def deploy(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint's id.")],
    reason: Annotated[str, typer.Option(help="Why; goes into the deployment log.")],
    expected_generation: Annotated[
        int | None, typer.Option(min=0, help="Refuse when something else was deployed meanwhile.")
    ] = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a model what serves its loop, among its kind; a running service follows within seconds.

    Refused for a model that the gate held, that was trained on the raw log, or whose files are damaged.
    """
    from everloop.serving.models.deploying import deploy as put_into_service
    from everloop.wiring import open_workspace

    workspace = open_workspace(home)
    made = put_into_service(workspace, checkpoint, tenant, reason, operator(), expected_generation)
    if as_json:
        print_json(made)
        return
    own = made.model_type is ModelType.INTERVENTION
    of = made.loop if own else f"{made.loop} as its {made.model_type} model"
    typer.echo(f"{made.version} serves {of} (generation {made.generation})")
    if made.previous and made.previous != made.checkpoint_id:
        typer.echo(f"  before   {made.previous}")
    if made.ended_rollout:
        typer.echo(f"  trial    {made.ended_rollout.rollout_id} ended")


@app.command()
def back(
    loop: Annotated[str, typer.Argument(help="Name of a loop.")],
    reason: Annotated[str, typer.Option(help="Why; goes into the deployment log.")],
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let what served a loop before serve it again, every model at once; every worker follows with its
    next decision.

    What was taken away earlier is passed over. A candidate is taken off its trial by rollout rollback.
    """
    from everloop.serving.models.deploying import go_back
    from everloop.wiring import open_workspace

    made = go_back(open_workspace(home), loop, tenant, reason, operator())
    if as_json:
        print_json(made)
        return
    typer.echo(f"deployment {made.deployment_id} serves {made.loop} again")
    for role, checkpoint_id in sorted(made.serves.items()):
        typer.echo(f"  {role:<9}{checkpoint_id or 'nothing'}")


@app.command()
def metrics(
    model: Annotated[str, typer.Argument(help="A checkpoint's id.")],
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What was measured of a model: its figures, its evaluation and the gate's reasons."""
    from everloop.serving.models import shown
    from everloop.serving.models.figures import figures_of
    from everloop.serving.models.finding import checkpoint_of
    from everloop.wiring import open_workspace

    workspace = open_workspace(home)
    found = shown.metrics(figures_of(workspace, checkpoint_of(workspace, model, tenant)))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    pairs: dict[str, object] = {
        "checkpoint": found.checkpoint_id,
        "type": found.model_type,
        "version": found.version,
        "trained": f"{found.training_date:%Y-%m-%d %H:%M} UTC",
        "serves": "yes" if found.active else "no",
        "decisions": f"{found.decisions:,}",
        "run": found.run_id or "not known any more",
        "verdict": found.verdict,
    }
    pairs |= {"reason": found.reasons[0]} if found.reasons else {}
    print_pairs(pairs | {n: f"{v:.4g}" for n, v in sorted(found.performance_metrics.items())})


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
