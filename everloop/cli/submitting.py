"""``everloop submit``: a graph on a Kubeflow cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.output import Json, Tenant, complain, notes, print_json, print_pairs
from everloop.cli.progress import StageDisplay
from everloop.contracts.errors import (
    ShouldAskForScope,
    ShouldAuthenticate,
    ShouldFixArgument,
    ShouldRetryLater,
)

if TYPE_CHECKING:
    from everloop.contracts.platform import Platform
    from everloop.sdk.kubeflow.questions import Question
    from everloop.sdk.kubeflow.records import ClusterRun

UNREACHED = 5
"""Exit code: Kubeflow did not answer, or did not let us in."""

Unheard = (ShouldRetryLater, ShouldAuthenticate, ShouldAskForScope)
"""What passes, or is put right elsewhere: the same command continues then."""

PlatformFile = Annotated[
    Path | None,
    typer.Option(
        "--platform",
        help="The cluster's file (default: EVERLOOP_PLATFORM); infra/kubeflow/platform.yaml is an example.",
    ),
]
Loop = Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")]
Graph = Annotated[str, typer.Option(help="The graph, see `everloop compile`.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override, e.g. --set training.iterations=60 (repeatable)."),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter", help="A parameter of the graph, e.g. --parameter refresh=again (repeatable)."
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Write the graph and print the request; contact nothing."),
]
Output = Annotated[Path, typer.Option(help="With --dry-run: folder for <graph>.yaml.")]


def submit(
    loop: Loop,
    platform: PlatformFile = None,
    day: Annotated[
        str, typer.Option("--date", help="The day to learn for, YYYY-MM-DD; the last that ended.")
    ] = "",
    graph: Graph = "daily-learning",
    settings: Settings = None,
    parameter: Parameters = None,
    tenant: Tenant = "default",
    intraday: Annotated[
        bool, typer.Option("--intraday", help="Allow today: learn from what has happened so far.")
    ] = False,
    job: Annotated[
        str,
        typer.Option(
            help="Name the run after this id, not after code and settings: whoever gives the id again "
            "finds the run, one that was cancelled, too."
        ),
    ] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the run; exit with 1 if it does not succeed.")
    ] = False,
    poll: Annotated[
        float, typer.Option(help="With --wait: seconds between two looks.", min=0.05)
    ] = 10.0,
    dry_run: DryRun = False,
    output: Output = Path(),
    as_json: Json = False,
) -> None:
    """Run a graph on Kubeflow: upload it, start it, and follow it if asked to.

    The graph is compiled with the image and the settings of the platform file and uploaded as a version
    named after the code; the same code is uploaded once. The same question is one run: repeat the command
    after an interruption, and the run that is under way is found and followed. After a run that failed
    another attempt is started; steps that had paid from the privacy budget do not pay again.

    Set EVERLOOP_KUBEFLOW_TOKEN if the address asks for a token. Exits with 0 when the run is submitted, or
    with --wait when it succeeded; with 1 when it failed, 2 when it was refused, and 5 when Kubeflow did not
    answer or let nobody in: the same command again continues. A run that was submitted goes on meanwhile.
    """
    from everloop.sdk.kubeflow.submitting import opened_platform
    from everloop.sdk.kubeflow.submitting import submit as start

    place = opened_platform(platform)
    question = question_of(loop, graph, tenant, settings, parameter, intraday, job)
    if dry_run:
        _preview(question, place, day, output)
        return
    display = StageDisplay(notes)
    submitted: list[ClusterRun] = []

    def told(run: ClusterRun) -> None:
        submitted.append(run)
        if wait:
            notes.print(f"  run {run.run_id}  {run.url}", soft_wrap=True)

    notes.print(f"{graph} · {loop} · {day or 'the last day that ended'} · {place.host}")
    try:
        run = start(
            loop,
            day,
            platform=place,
            graph=graph,
            tenant=tenant,
            settings=question.settings,
            parameters=dict(question.extra),
            wait=wait,
            on_event=display,
            poll_s=poll,
            intraday=intraday,
            job=job,
            on_submitted=told,
        )
    except Unheard as problem:
        display.close()
        complain(problem)
        if submitted:
            _say(submitted[0], as_json)
        sys.exit(UNREACHED)
    finally:
        display.close()
    _say(run, as_json)
    sys.exit(1 if wait and run.state != "SUCCEEDED" else 0)


def question_of(
    loop: str,
    graph: str,
    tenant: str,
    settings: list[str] | None,
    parameters: list[str] | None,
    intraday: bool = False,
    job: str = "",
) -> Question:
    """What the options ask."""
    from everloop.sdk.kubeflow.questions import Question

    pairs = []
    for text in parameters or ():
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise ShouldFixArgument(
                f"--parameter {text!r} names nothing.", "Give it as --parameter NAME=VALUE."
            )
        pairs.append((name, value))
    return Question(loop, graph, tenant, tuple(settings or ()), tuple(pairs), intraday, job)


def _preview(question: Question, platform: Platform, day: str, output: Path) -> None:
    from everloop.sdk.kubeflow.questions import run_request
    from everloop.sdk.kubeflow.submitting import day_text

    asked = run_request(question, platform, day_text(day), output)
    print_json(
        {
            "host": platform.host,
            "namespace": platform.namespace,
            "experiment": platform.experiment,
            "pipeline": asked.graph,
            "version": asked.version,
            "package": str(asked.package),
            "run": asked.name,
            "service_account": platform.service_account,
            "pipeline_root": platform.pipeline_root,
            "parameters": dict(asked.parameters),
        }
    )


def _say(run: ClusterRun, as_json: bool) -> None:
    if as_json:
        print_json(run)
        return
    found = "" if run.new else " (submitted before)"
    typer.echo(f"{run.name}: {run.state.lower()}{found}")
    shown = {"run": run.run_id, "look": run.url}
    if run.error:
        shown["error"] = run.error
    print_pairs(shown)
