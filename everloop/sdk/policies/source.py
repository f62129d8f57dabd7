"""What a policy learns from outside the graph: the private releases that a dataset version led to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.documents import read
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldRestoreArtefact,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import RunRecord
from everloop.contracts.simulation import ProfileBatch, UserModel
from everloop.contracts.synthetic_jobs import UsedRelease
from everloop.loops import load
from everloop.loops.sections import assemble, override
from everloop.sdk.opened import OpenedRun
from everloop.sdk.synthetic.sources import STAGES
from everloop.wiring import Workspace

SETTABLE = ("training", "exploration")
"""Sections that may be set: the releases were paid for under the others."""
_RUNS = 1000
_ADDRESS = re.compile(r"[^/]+:\d{1,5}")
_WHOLE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LearningSource:
    """A loop with the releases of a day: nothing here is the log, and nothing spends budget.

    Attributes:
        spec: the loop, settings applied.
        name: of the run or dataset version that was asked for.
        releases: the user model's and the profiles' release.
        model: the private user model.
        profiles: synthetic people drawn from the profiles' release, as the graph draws them.
    """

    spec: LoopSpec
    name: str
    releases: tuple[UsedRelease, ...]
    model: UserModel
    profiles: ProfileBatch


@dataclass(frozen=True, slots=True)
class Asked:
    """A run's or dataset version's loop with the settings applied, whose it is and of which day."""

    spec: LoopSpec
    name: str
    tenant: str
    logical_date: date


@dataclass(frozen=True, slots=True)
class _Named:
    """A run or a dataset version: which loop's, whose and of which day; ``spec`` as the run had it."""

    name: str
    loop: str
    tenant: str
    logical_date: date
    spec: LoopSpec | None


def asked_of(
    workspace: Workspace, named: str, loop: str = "", settings: tuple[str, ...] = ()
) -> Asked:
    """Find a run or dataset version and apply the settings; opens no release and loads nothing heavy.

    Args:
        named: a run's id or its start, or a dataset version's id or its start.
        loop: a shipped loop or a YAML file to use instead of the run's own specification; its catalogue,
            context and signals must be those of the releases.
        settings: ``section.key=value`` with sections of ``SETTABLE``.

    Raises:
        ShouldFixArgument: nothing has this id, several have, or a setting belongs to another section.
        ShouldFixLoopSpec: a setting that the loop does not take.
    """
    checked = _checked(settings)
    found = _named(workspace, named)
    spec = override(_spec(found, loop), checked)
    if spec.name != found.loop:
        raise ShouldFixArgument(
            f"{found.name} is of loop {found.loop!r}, but {loop!r} specifies {spec.name!r}.",
            "Leave --loop out, or name the loop that was run.",
        )
    return Asked(spec, found.name, found.tenant, found.logical_date)


def learning_source(workspace: Workspace, asked: Asked) -> LearningSource:
    """Load the private releases that a run or dataset version led to.

    Raises:
        ShouldCollectMoreData: the day has no release: the graph refused one, or never ran.
    """
    from rl.encoders import layout
    from synthetic.profiles import draw_profiles, load_statistics
    from synthetic.user_model import load_user_model

    spec = asked.spec
    files: dict[str, Path] = {}
    used = []
    for stage in STAGES:
        latest = workspace.ledger.latest_release(
            f"{spec.name}/{asked.tenant}", stage, asked.logical_date
        )
        if latest is None:
            raise ShouldCollectMoreData(
                f"{asked.name} led to no release of stage {stage}, so there is nothing to learn from.",
                f"Run the graph for {asked.logical_date} first: everloop run daily.",
            )
        row, url, sha256 = latest
        files[stage] = workspace.blobs.fetch(url, sha256)
        used.append(UsedRelease(stage, row.release_id, row.logical_date))
    encoding = layout(spec)
    return LearningSource(
        spec=spec,
        name=asked.name,
        releases=tuple(used),
        model=load_user_model(files["user_model"], spec),
        profiles=draw_profiles(spec, encoding, load_statistics(files["profiles"], encoding)),
    )


def require_address(address: str | None) -> None:
    """That the address of a Ray cluster has its form; whether anything answers there is seen later.

    Raises:
        ShouldFixArgument: it is not ``host:port``.
    """
    if address is not None and _ADDRESS.fullmatch(address) is None:
        raise ShouldFixArgument(
            f"{address!r} is no address of a Ray cluster.", "Give host:port, as in 10.0.0.5:6379."
        )


def _checked(settings: tuple[str, ...]) -> tuple[str, ...]:
    for setting in settings:
        section = setting.partition(".")[0].strip()
        if section not in SETTABLE:
            raise ShouldFixArgument(
                f"{setting!r} cannot be set here: the releases were made under section {section!r}.",
                f"Set {' or '.join(f'{name}.…' for name in SETTABLE)}, or run the graph anew.",
            )
    return settings


def _spec(found: _Named, loop: str) -> LoopSpec:
    if loop or found.spec is None:
        return load(loop or found.loop)
    return found.spec


def _named(workspace: Workspace, text: str) -> _Named:
    if not text:
        raise ShouldFixArgument("No dataset is named.", "Give a run's or a dataset version's id.")
    runs = workspace.runs.runs(None, _RUNS)
    exact = [run for run in runs if run.run_id == text]
    of_run = exact[:1] or [run for run in runs if run.run_id.startswith(text)]
    if of_run:
        return _of_run(_only(text, of_run))
    of_dataset = [run for run in runs if (_dataset_of(run) or "").startswith(text)]
    if of_dataset:
        if len({_dataset_of(run) for run in of_dataset}) > 1:
            _only(text, of_dataset)
        return _of_run(of_dataset[0])
    if _WHOLE_ID.fullmatch(text):
        return _of_manifest(workspace.datasets.open(text).manifest)
    recent = ", ".join(run.run_id for run in runs[:3])
    raise ShouldFixArgument(
        f"{text!r} is the start of no run's and no dataset version's id.",
        f"Newest runs: {recent}." if recent else "Run the graph first: everloop run daily.",
    )


def _only(text: str, runs: list[RunRecord]) -> RunRecord:
    if len(runs) > 1:
        names = ", ".join(sorted(run.run_id for run in runs)[:5])
        raise ShouldFixArgument(f"{text!r} is the start of several: {names}.", "Give more of it.")
    return runs[0]


def _of_run(run: RunRecord) -> _Named:
    sections = {k: str(run.parameters.get(k, "")) for k in ("product", "training")}
    spec = assemble(**sections) if all(sections.values()) else None
    day = date.fromisoformat(run.logical_date)
    return _Named(run.run_id, run.loop, run.tenant, day, spec)


def _of_manifest(manifest: DatasetManifest) -> _Named:
    name = f"dataset {manifest.dataset_id[:16]}"
    return _Named(name, manifest.loop, manifest.tenant, manifest.logical_date, None)


def _dataset_of(run: RunRecord) -> str | None:
    """The dataset version that a run extracted, as far as its files are still there."""
    try:
        place = OpenedRun(run).artefact("extract_episodes", "dataset")
        return read(DatasetManifest, place).dataset_id
    except (ShouldFixArgument, ShouldRestoreArtefact):
        return None
