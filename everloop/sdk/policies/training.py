"""Train a policy outside the graph, on the releases that a dataset version led to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from everloop.contracts.documents import sha256_of
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.figures import TrainingPoint
from everloop.contracts.policy_learning import LearningTask
from everloop.contracts.synthetic_jobs import UsedRelease
from everloop.sdk.policies import publication
from everloop.sdk.policies.folder import Question, held
from everloop.sdk.policies.source import (
    LearningSource,
    asked_of,
    learning_source,
    require_address,
)
from everloop.wiring import open_workspace

LEARNERS = ("ppo", "greedy", "lin_ts", "lin_ucb")
"""Learners whose policies come from private releases alone."""
FOLDER = "policies"
"""Within the workspace: a folder for each policy that was trained outside the graph."""
CHECKPOINT = "checkpoint.json"
CARD = "policy.json"
RESULTS = (CARD, "policy.onnx", "policy.safetensors", CHECKPOINT, "tensorboard")
"""What a training leaves in its folder."""

Progress = Callable[[TrainingPoint, int], None]
"""Called after every iteration with its point of the learning curve and the iterations in all."""


@dataclass(frozen=True, slots=True)
class PolicyTraining:
    """A finished training.

    Attributes:
        learner: who learned.
        version: ``<loop>-<first 16 digits of the weights' SHA-256>``.
        folder: holds ``policy.onnx``, ``policy.safetensors`` and ``policy.json``.
        source: the run or dataset version that was named.
        releases: what was learned from; no privacy was spent beyond them.
        steps: simulated decisions.
        curve: PPO's learning curve; empty for learners without one.
        resumed_from: iterations that an earlier, interrupted training had finished.
        events: folder of TensorBoard events; ``None`` where there are none.
    """

    learner: str
    version: str
    folder: Path
    source: str
    releases: tuple[UsedRelease, ...]
    steps: int
    curve: tuple[TrainingPoint, ...]
    resumed_from: int
    events: Path | None


def train_policy(
    named: str,
    *,
    loop: str = "",
    settings: tuple[str, ...] = (),
    learner: str = "ppo",
    start: Path | str | None = None,
    runners: int = 0,
    learners: int = 0,
    address: str | None = None,
    out: Path | str | None = None,
    fresh: bool = False,
    publish: bool = False,
    home: Path | str | None = None,
    progress: Progress | None = None,
) -> PolicyTraining:
    """Train a policy on a run's private releases, outside the graph; an interrupted one continues.

    The policy isn't registered and no gate has judged it: that is what the daily graph does.

    Args:
        named: id of a run or of a dataset version, or the start of one.
        loop, settings: see ``everloop.sdk.policies.source.asked_of``.
        learner: one of ``LEARNERS``.
        start: folder of an earlier policy to start from.
        runners, learners: remote workers on Ray (PPO alone); none of either trains in this process.
        address: ``host:port`` of a running Ray cluster; by default one is started here if needed.
        out: folder for the policy; by default one in the workspace, named by all that it depends on.
        fresh: forget an interrupted training's checkpoints in ``out``, and replace what another training
            has left there.
        publish: put the policy into the blob store, for who shares it and the database but not this
            folder; see ``everloop.sdk.policies.publication``. Only where ``out`` is left out: the question
            names it.
        home: the workspace.
        progress: hears of every iteration of PPO.

    Raises:
        ShouldFixArgument, ShouldFixLoopSpec, ShouldCollectMoreData: nothing was started.
        ShouldWaitForWorker: another process trains in this folder.
        ShouldResolveConflict: the folder holds what another training made.
        ShouldProvideKey, ShouldRetryLater: the cluster is not there, or does not let us in.
    """
    require_learner(learner, bool(runners or learners or address))
    require_address(address)
    if publish and out:
        raise ShouldFixArgument(
            "A published policy is found by its question's name, not by a folder.",
            "Leave --out out, or --publish.",
        )
    begun_at = datetime.now(UTC)
    workspace = open_workspace(home)
    asked = asked_of(workspace, named, loop, settings)
    source = learning_source(workspace, asked)
    begun = None if start is None else Path(start).absolute()
    folder = (
        Path(out)
        if out
        else workspace.home / FOLDER / name_of(source, learner, begun, runners, learners)
    )
    if begun is not None and begun.resolve() == folder.resolve():
        raise ShouldFixArgument(
            f"The policy to start from and the one to write are both in {folder}.",
            "Give another --out.",
        )
    told = f"{learner} for {source.spec.name} on {source.name}"
    question = Question(_digest(source, learner, begun, runners, learners), told)
    with held(folder, question, RESULTS, fresh):
        if fresh:
            (folder / CHECKPOINT).unlink(missing_ok=True)
        trained = (
            _with_ppo(source, begun, folder, (runners, learners, address), progress)
            if learner == "ppo"
            else _with(learner, source, begun, folder)
        )
        if publish:
            publication.publish(
                workspace, folder.name, folder, asked.logical_date.isoformat(), begun_at
            )
        return trained


def require_learner(learner: str, remote: bool) -> None:
    """``ShouldFixArgument``: there is none of that name, or it knows no remote workers."""
    if learner not in LEARNERS:
        raise ShouldFixArgument(
            f"There is no learner {learner!r}.", f"Learners: {', '.join(LEARNERS)}."
        )
    if remote and learner != "ppo":
        raise ShouldFixArgument(
            f"{learner} learns in this process.", "Leave --runners, --learners and --address out."
        )


def _with_ppo(
    source: LearningSource,
    start: Path | None,
    folder: Path,
    cluster: tuple[int, int, str | None],
    progress: Progress | None,
) -> PolicyTraining:
    from rl.ppo import Cluster, train

    runners, learners, address = cluster
    iterations = source.spec.training.iterations

    def tell(point: TrainingPoint) -> None:
        if progress is not None:
            progress(point, iterations)

    result = train(
        source.spec,
        source.model,
        source.profiles,
        source.profiles.encoder,
        source.spec.training.seed,
        folder,
        tell,
        Cluster(address, runners, learners) if any(cluster) else None,
        start,
    )
    events = folder / "tensorboard"
    return PolicyTraining(
        learner="ppo",
        version=result.card.version,
        folder=folder,
        source=source.name,
        releases=source.releases,
        steps=result.card.steps,
        curve=result.curve,
        resumed_from=result.resumed_from,
        events=events if events.is_dir() else None,
    )


def _with(name: str, source: LearningSource, start: Path | None, folder: Path) -> PolicyTraining:
    from rl.learners import LEARNERS as KNOWN

    learned = KNOWN[name].learn(
        LearningTask(
            spec=source.spec,
            model=source.model,
            profiles=source.profiles,
            seed=source.spec.training.seed,
            workdir=folder,
            start=start,
        )
    )
    return PolicyTraining(
        learner=name,
        version=learned.version,
        folder=learned.folder,
        source=source.name,
        releases=source.releases,
        steps=learned.steps,
        curve=(),
        resumed_from=0,
        events=None,
    )


def name_of(
    source: LearningSource, learner: str, start: Path | None, runners: int, learners: int
) -> str:
    """The same question is the same folder, so that it continues."""
    digest = _digest(source, learner, start, runners, learners)
    return f"{source.spec.name}-{learner}-{digest[:12]}"


def _digest(
    source: LearningSource, learner: str, start: Path | None, runners: int, learners: int
) -> str:
    """SHA-256 of all that the policy depends on, but for the code."""
    ids = [used.release_id for used in source.releases]
    begun = "" if start is None or not (start / CARD).exists() else sha256_of(start / CARD)
    asked = (source.spec.checksum, *ids, str(start), begun, str(runners), str(learners), learner)
    return hashlib.sha256("\0".join(asked).encode()).hexdigest()
