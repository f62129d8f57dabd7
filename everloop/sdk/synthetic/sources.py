"""What a job reads: the private releases of a loop, or consenting people's own episodes."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldCollectMoreData, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Extraction
from everloop.contracts.simulation import UserModel
from everloop.contracts.synthetic_jobs import SyntheticJob, UsedRelease
from everloop.wiring import Workspace

STAGES = ("profiles", "user_model")
"""Stages of the daily graph whose releases make people and their answers."""


def releases_of(workspace: Workspace, spec: LoopSpec, tenant: str) -> tuple[UsedRelease, ...]:
    """The newest release of each of ``STAGES`` for a tenant's loop.

    Raises:
        ShouldCollectMoreData: one of them was never made.
    """
    found = []
    for stage in STAGES:
        latest = workspace.ledger.latest_release(f"{spec.name}/{tenant}", stage, date.max)
        if latest is None:
            raise ShouldCollectMoreData(
                f"Loop {spec.name} of tenant {tenant} has no release of stage {stage}: synthetic people "
                "are drawn from private releases alone.",
                "Run the daily graph first: everloop run daily, or POST /api/ml/train.",
            )
        row = latest[0]
        found.append(UsedRelease(stage, row.release_id, row.logical_date))
    return tuple(found)


def released_file(workspace: Workspace, spec: LoopSpec, job: SyntheticJob, stage: str) -> Path:
    """The stored output of a release that a job names.

    Raises:
        ShouldRestoreArtefact: the ledger or the blob store has it no longer.
    """
    used = next((one for one in job.releases if one.stage == stage), None)
    if used is not None:
        found = workspace.ledger.latest_release(
            f"{spec.name}/{job.tenant}", stage, used.logical_date
        )
        if found is not None and found[0].release_id == used.release_id:
            return workspace.blobs.fetch(*found[1:])
    raise ShouldRestoreArtefact(
        f"Job {job.job_id} reads release {used.release_id if used else '?'} of stage {stage}, which "
        "this workspace does not have.",
        "Restore the workspace, or ask for a new job.",
    )


def user_model_of(workspace: Workspace, spec: LoopSpec, job: SyntheticJob) -> UserModel:
    """The user model that a job names."""
    from synthetic.user_model import load_user_model

    return load_user_model(released_file(workspace, spec, job, "user_model"), spec)


def consented_episodes(
    workspace: Workspace, spec: LoopSpec, tenant: str, logical_date: date
) -> EncodedEpisodes:
    """What people who allow it now taught up to a date; for use inside the boundary alone.

    The dataset version leaves out who had opted out when it was made; whoever has since is left out here.

    Raises:
        ShouldCollectMoreData: nobody is left.
    """
    from components._contexts import audited_contexts
    from everloop.rewards.runner import aggregate
    from rl.encoders import encode

    wanted = Extraction(spec, logical_date, spec.thresholds.window_days, tenant)
    version = workspace.datasets.extract(wanted)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rewards.parquet"
        aggregate(spec, version, table)
        contexts = audited_contexts(workspace, version.manifest, "augment")
        episodes = encode(spec, version, table, contexts).training
    refused = [person for person in episodes.people if _refuses(workspace, str(person), tenant)]
    kept = ~np.isin(episodes.people, refused)
    allowed = episodes.where(kept[episodes.person])
    if not len(allowed):
        raise ShouldCollectMoreData(
            f"Nobody of loop {spec.name}, tenant {tenant}, allows training on what was logged in the "
            f"{spec.thresholds.window_days} days up to {logical_date}.",
            "Log episodes of consenting people, or choose another day.",
        )
    return allowed


def _refuses(workspace: Workspace, person: str, tenant: str) -> bool:
    newest = next(
        (said for said in workspace.log.consents(person, tenant) if said.purpose == "train"), None
    )
    return newest is not None and not newest.granted
