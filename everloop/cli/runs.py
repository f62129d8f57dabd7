"""``everloop runs``: what was run, what came of it, and what changed between two runs."""

from __future__ import annotations

from typing import Annotated

import typer

from everloop.cli.output import Home, Json, print_json, print_pairs, print_table
from everloop.contracts.models import RunRecord

app = typer.Typer(no_args_is_help=True, help="Look at finished runs.", rich_markup_mode=None)

RunId = Annotated[str, typer.Argument(help="A run's id, from `everloop runs list`.")]


@app.command("list")
def list_runs(
    loop: Annotated[str, typer.Option(help="Only this loop.")] = "",
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    from everloop.wiring import open_workspace

    found = open_workspace(home).runs.runs(loop or None, limit)
    if as_json:
        print_json(list(found))
        return
    rows = [(run.run_id, run.logical_date, run.status, _in_brief(run)) for run in found]
    print_table("", ("run", "date", "status", "verdict"), rows)


@app.command()
def show(run_id: RunId, home: Home = None, as_json: Json = False) -> None:
    """Show one run: its stages with durations and results, its verdict and its report."""
    from everloop.wiring import open_workspace

    run = open_workspace(home).runs.run(run_id)
    if as_json:
        print_json(run)
        return
    print_pairs(
        {
            "run": run.run_id,
            "loop": f"{run.loop} (tenant {run.tenant})",
            "date": run.logical_date,
            "status": run.status,
            "verdict": run.verdict,
            "started": run.started_at.isoformat(timespec="seconds"),
            "finished": run.finished_at.isoformat(timespec="seconds") if run.finished_at else "—",
            "report": run.report or "—",
        }
    )
    rows = [(s.stage, s.outcome, f"{s.seconds:.1f}", s.summary) for s in run.stages]
    print_table("", ("stage", "outcome", "seconds", "result"), rows)


@app.command()
def diff(first: RunId, second: RunId, home: Home = None, as_json: Json = False) -> None:
    """Compare two runs: parameters, stage results and figures that differ."""
    from everloop.wiring import open_workspace

    store = open_workspace(home).runs
    rows = differences(store.run(first), store.run(second))
    if as_json:
        print_json([{"what": what, "first": a, "second": b} for what, a, b in rows])
    elif rows:
        print_table("", ("what", first, second), rows)
    else:
        typer.echo("The runs do not differ.")


def differences(first: RunRecord, second: RunRecord) -> list[tuple[str, str, str]]:
    """(what, in the first, in the second) for everything that differs but times."""
    rows: list[tuple[str, str, str]] = []

    def compare(what: str, a: object, b: object) -> None:
        if a != b:
            rows.append((what, _short(str(a)), _short(str(b))))

    for name in ("loop", "logical_date", "tenant", "status", "verdict"):
        compare(name, getattr(first, name), getattr(second, name))
    for name in sorted(set(first.parameters) | set(second.parameters)):
        compare(
            f"parameter {name}", first.parameters.get(name, "—"), second.parameters.get(name, "—")
        )
    ours = {stage.stage: stage for stage in first.stages}
    theirs = {stage.stage: stage for stage in second.stages}
    for name in dict.fromkeys([*ours, *theirs]):
        a, b = ours.get(name), theirs.get(name)
        compare(f"{name}", a.summary if a else "—", b.summary if b else "—")
        figures = (a.metrics if a else {}, b.metrics if b else {})
        for metric in sorted((set(figures[0]) | set(figures[1])) - {"compute_seconds"}):
            compare(f"{name}.{metric}", figures[0].get(metric, "—"), figures[1].get(metric, "—"))
    return rows


def _in_brief(run: RunRecord) -> str:
    """The decision alone; of a failed run its error, cut short."""
    if run.status == "succeeded":
        return run.verdict.partition(":")[0]
    return _short(run.verdict, 60)


def _short(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
