"""``everloop train policy --on …``: a training elsewhere, as a manifest written or a job submitted."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from everloop.cli.output import notes, print_json, print_pairs
from everloop.cli.progress import Spinner
from everloop.contracts.errors import ShouldFixArgument

if TYPE_CHECKING:
    from everloop.contracts.placements import AtAddress, CloudRun, KubeRay, Local
    from everloop.sdk.placements.progress import JobState
    from everloop.sdk.placements.training import PlacedTraining

HOUR = 3600


class Where(StrEnum):
    HERE = "here"
    KUBERAY = "kuberay"
    CLOUD_RUN = "cloud_run"


On = Annotated[
    Where,
    typer.Option(
        "--on",
        help="Where it trains: here (this machine, or --address), as a RayJob of KubeRay, or as a Cloud "
        "Run job; for both, --placement, and --write or --submit.",
    ),
]
PlacementFile = Annotated[
    Path | None,
    typer.Option(
        "--placement",
        metavar="FILE",
        help="Terms of the job: image, resources, GPU, account, secrets; see infra/ray/.",
    ),
]
Write = Annotated[
    str,
    typer.Option("--write", metavar="FILE", help="Write the job's manifest (- for stdout)."),
]
Submit = Annotated[
    bool,
    typer.Option("--submit", help="Submit the job, wait for its end, and bring the policy here."),
]
Wait = Annotated[
    float, typer.Option("--wait", min=0.01, help="With --submit: hours to wait; the job goes on.")
]
DeleteIfInterrupted = Annotated[
    bool,
    typer.Option("--delete-if-interrupted", help="With --submit: Ctrl-C ends the job, too."),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        help="With --submit: kubeconfig of the cluster (default: kubectl's).", exists=True
    ),
]
Context = Annotated[str, typer.Option(help="With --submit: context of the kubeconfig.")]


def placement_for(on: Where, file: Path | None, write: str, submit: bool) -> KubeRay | CloudRun:
    """The terms of a job elsewhere.

    Raises:
        ShouldFixArgument: the options do not fit one another.
        ShouldFixPlatform: listing the file's problems.
    """
    from everloop.contracts.placements import CloudRun, KubeRay
    from everloop.sdk.placements.file import EXAMPLES, load_placement

    if file is None:
        raise ShouldFixArgument(
            f"--on {on.value} needs terms.", f"Give --placement FILE; start from {EXAMPLES}."
        )
    if bool(write) == submit:
        raise ShouldFixArgument(
            f"--on {on.value} can be written or submitted.", "Give one of --write and --submit."
        )
    found: Local | AtAddress | KubeRay | CloudRun = load_placement(file)
    if found.kind != on.value or not isinstance(found, KubeRay | CloudRun):
        raise ShouldFixArgument(
            f"{file} is of kind {found.kind}, not {on.value}.", "Name another --placement or --on."
        )
    return found


def write_manifest(placed: PlacedTraining, write: str) -> None:
    """Write the manifest as YAML and say how it is submitted by hand."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    if write == "-":
        yaml.dump(placed.manifest, sys.stdout)
        return
    try:
        with Path(write).open("w", encoding="utf-8") as file:
            yaml.dump(placed.manifest, file)
    except OSError as problem:
        raise ShouldFixArgument(
            f"{write} cannot be written ({problem.strerror}).", "Give --write a file in a folder."
        ) from problem
    typer.echo(f"{placed.job} in {write}")
    print_pairs({"submit with": f"{placed.by_hand} {write}", "policy": placed.policy})


def submit_and_wait(
    placed: PlacedTraining,
    wait: float,
    delete_if_interrupted: bool,
    kubeconfig: Path | None,
    context: str,
    home: Path | str | None,
    as_json: bool,
) -> None:
    """Submit a training, show how it goes, and say where the policy is."""
    from everloop.sdk.placements.progress import Patience
    from everloop.sdk.placements.training import submit_training

    spinner = Spinner(notes)

    def heard(state: JobState) -> None:
        text = f"{placed.job} · {state.phase}{f' · {state.told}' if state.told else ''}"
        if notes.is_terminal and not state.ended:
            spinner.show(text)
        else:
            notes.print(text, markup=False, soft_wrap=True)

    try:
        found = submit_training(
            placed,
            _jobs(placed, kubeconfig, context),
            Patience(wait * HOUR),
            heard=heard,
            delete_if_interrupted=delete_if_interrupted,
            home=home,
        )
    finally:
        spinner.close()
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.version} in {found.folder}")
    print_pairs({"job": found.job, "judged": "no: only the daily graph's gate decides what serves"})


def _jobs(placed: PlacedTraining, kubeconfig: Path | None, context: str) -> Any:
    from everloop.contracts.placements import KubeRay

    if isinstance(placed.placement, KubeRay):
        from everloop.sdk.placements.kubernetes import RayJobs

        return RayJobs(placed.placement.namespace, kubeconfig, context or None)
    from everloop.sdk.placements.google import CloudRunJobs

    return CloudRunJobs(placed.placement)
