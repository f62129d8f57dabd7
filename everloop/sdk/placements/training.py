"""A policy's training on a placement: its manifest, and its way there and back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldNameKnownId,
    ShouldProvideEngine,
    ShouldRetryLater,
)
from everloop.contracts.placements import CloudRun, KubeRay
from everloop.loops.loader import SHIPPED
from everloop.sdk.placements.cloud_run import cloud_run_job, cloud_run_manifest
from everloop.sdk.placements.kuberay import ray_job
from everloop.sdk.placements.progress import Heard, JobState, Patience, wait_for
from everloop.sdk.policies.publication import collect
from everloop.sdk.policies.source import asked_of, learning_source
from everloop.sdk.policies.training import FOLDER, name_of, require_learner
from everloop.wiring import Workspace, open_workspace

LONGEST_NAME = 47
"""KubeRay's own limit: it makes longer names of a RayJob's."""


@dataclass(frozen=True, slots=True)
class PlacedTraining:
    """A training that runs elsewhere.

    Attributes:
        placement: where.
        job: name of the job there; the same question on the same terms has the same one.
        policy: name of the policy's folder in the workspace.
        command: what is run there; ``{ADDRESS}`` stands for the address of the job's own Ray cluster.
    """

    placement: KubeRay | CloudRun
    job: str
    policy: str
    command: tuple[str, ...]

    @property
    def manifest(self) -> dict[str, Any]:
        """A RayJob, or a job for ``gcloud run jobs replace``."""
        if isinstance(self.placement, KubeRay):
            return ray_job(self.placement, self.job, self.command)
        return cloud_run_manifest(self.placement, self.job, self.command)

    @property
    def by_hand(self) -> str:
        """How a person submits the manifest's file."""
        if isinstance(self.placement, KubeRay):
            return "kubectl apply -f"
        region, project = self.placement.location, self.placement.project
        return f"gcloud run jobs replace --region {region} --project {project}"


@dataclass(frozen=True, slots=True)
class ReturnedPolicy:
    """A policy that came back: its version and the folder that holds it."""

    version: str
    folder: Path
    job: str


def place_training(
    named: str,
    placement: KubeRay | CloudRun,
    *,
    loop: str = "",
    settings: tuple[str, ...] = (),
    learner: str = "ppo",
    home: Path | str | None = None,
) -> PlacedTraining:
    """What would run where; nothing is sent, and equal questions give equal answers.

    Args:
        named, loop, settings: see ``everloop.sdk.policies.source.asked_of``; the night's releases are read
            here to name the question, and there to answer it.
        placement: where.
        learner: one of ``everloop.sdk.policies.training.LEARNERS``.
        home: the workspace.

    Raises:
        ShouldFixArgument, ShouldFixLoopSpec, ShouldCollectMoreData: it could not run there either.
    """
    workers = placement.runners + placement.learners
    require_learner(learner, isinstance(placement, KubeRay) or bool(workers))
    if loop and loop not in SHIPPED:
        raise ShouldFixArgument(
            f"{loop} is a file of this machine.", "Leave --loop out: the run knows its loop."
        )
    workspace = open_workspace(home)
    source = learning_source(workspace, asked_of(workspace, named, loop, settings))
    policy = name_of(source, learner, None, placement.runners, placement.learners)
    named_there = named if source.name.startswith("dataset ") else source.name
    command = [*("everloop", "train", "policy", "--from", named_there, "--learner", learner)]
    if loop:
        command += ["--loop", loop]
    for setting in settings:
        command += ["--set", setting]
    command += ["--runners", str(placement.runners), "--learners", str(placement.learners)]
    if isinstance(placement, KubeRay):
        command += ["--address", "{ADDRESS}"]
    return PlacedTraining(placement, job_name(policy), policy, (*command, "--publish"))


def submit_training(
    placed: PlacedTraining,
    jobs: Any,
    patience: Patience,
    *,
    heard: Heard | None = None,
    delete_if_interrupted: bool = False,
    home: Path | str | None = None,
) -> ReturnedPolicy:
    """Submit a training, wait for its end, and bring the policy into this workspace.

    A job that is there for the same question is waited for, not made again.

    Args:
        placed: what and where.
        jobs: ``RayJobs`` of the placement's namespace, or ``CloudRunJobs`` of it.
        patience: how long it is waited for.
        heard: hears of every change.
        delete_if_interrupted: end the job when this process is interrupted; else it goes on.
        home: the workspace.

    Raises:
        ShouldRetryLater: it had not ended in time, or it failed in a way that a repetition may mend.
        ShouldAskForScope, ShouldAuthenticate, ShouldResolveConflict, ShouldProvideEngine: it was refused.
        ShouldNameKnownId: it succeeded, and nothing came back.
    """
    workspace = open_workspace(home)
    returned = _returned(workspace, placed)
    if returned is not None:
        return returned
    look, end = _sent(placed, jobs)
    try:
        state = wait_for(f"Job {placed.job}", look, patience, heard)
    except ShouldProvideEngine:
        # What has ended is taken away after a while, and its policy may be here all the same.
        returned = _returned(workspace, placed)
        if returned is None:
            raise
        return returned
    except KeyboardInterrupt:
        if delete_if_interrupted:
            end()
        raise
    if state.phase == "failed":
        raise ShouldRetryLater(
            f"Job {placed.job} failed ({state.told or 'no reason given'}).",
            "See its log there; the same command continues from the last checkpoint once its cause is "
            "mended.",
        )
    folder = workspace.home / FOLDER / placed.policy
    return ReturnedPolicy(collect(workspace, placed.policy, folder).version, folder, placed.job)


def _returned(workspace: Workspace, placed: PlacedTraining) -> ReturnedPolicy | None:
    """The policy, where the same question was answered before: nothing is trained, or paid, again."""
    folder = workspace.home / FOLDER / placed.policy
    try:
        return ReturnedPolicy(collect(workspace, placed.policy, folder).version, folder, placed.job)
    except ShouldNameKnownId:
        return None


def job_name(policy: str) -> str:
    """A DNS label of a policy's name, with its digest whole."""
    stem, _, digest = policy.rpartition("-")
    label = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    kept = label[: LONGEST_NAME - len(digest) - len("everloop--")].strip("-")
    return f"everloop-{kept}-{digest}"


def _sent(placed: PlacedTraining, jobs: Any) -> tuple[Callable[[], JobState], Callable[[], None]]:
    """Submit; (how to look at the job, how to end it)."""
    if isinstance(placed.placement, KubeRay):
        jobs.submit(placed.manifest)
        return lambda: jobs.state(placed.job), lambda: jobs.delete(placed.job)
    execution = jobs.submit(placed.job, cloud_run_job(placed.placement, placed.command))
    return lambda: jobs.state(execution), lambda: jobs.cancel(execution)
