"""Train a loop's policy against its user model, resumably, and export what serves."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import torch

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.figures import TrainingPoint
from everloop.contracts.loop_spec import LoopSpec, TrainingSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from rl.belief import believed
from rl.encoders.catalogue import ActionCatalogue
from rl.encoders.context import layout
from rl.environment.journeys import JourneySource
from rl.ppo import checkpoint
from rl.ppo.checkpoint import TrainerState
from rl.ppo.cluster import Cluster
from rl.ppo.finish import ONNX_FILE, code_sha256, finish
from rl.ppo.head_start import head_start
from rl.ppo.plan import Plan
from rl.ppo.result import TrainingResult
from rl.ppo.rollout import RewardSummary
from rl.ppo.session import InProcess, OnCluster, Session
from rl.ppo.start import CARD_FILE, WEIGHTS_FILE, Start
from rl.ppo.tensorboard import EventLog
from rl.ppo.update import UpdateSummary

__all__ = ["CARD_FILE", "ONNX_FILE", "WEIGHTS_FILE", "finish", "plan_of", "point_of", "train"]

CHECKPOINT_EVERY = 5
"""Iterations between checkpoints: at most so many are lost to a kill."""

DIVERGED_AT = 1.0
"""Mean KL(pi_old, pi) in nats that no update comes near unless its steps are far too large: a policy moves
by about ``training.kl_stop``, hundredths of a nat, from one rollout to the next."""

Progress = Callable[[TrainingPoint], None]


def train(
    spec: LoopSpec,
    model: UserModel,
    profiles: ProfileBatch,
    encoder: str,
    seed: int,
    workdir: Path,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
    start: Path | None = None,
) -> TrainingResult:
    """Train with PPO for ``spec.training.iterations`` iterations and export the policy.

    Deterministic: equal arguments give equal weights on one platform, in one run or in several. A
    training that was killed continues from its last checkpoint in ``workdir``; one with other
    arguments starts anew. TensorBoard events are written to ``workdir/tensorboard``.

    Args:
        spec: the loop: catalogue, sizes, exploration.
        model: how synthetic people respond.
        profiles: the synthetic people.
        encoder: version of the encoder that made the profiles' contexts; must be the loop's own.
        seed: of weights, sampling and minibatches.
        workdir: folder for checkpoints and results; made if it is missing.
        progress: called after every iteration; what it raises stops the training.
        cluster: train with Ray there; by default in this process.
        start: folder of an earlier policy whose weights the training starts from, see
            ``rl.ppo.start``; by default it starts from nothing.

    Raises:
        ShouldFixArgument: arguments that do not fit one another, or a training that diverged: a loss that
            is not finite, or an update whose last look at a minibatch finds a mean KL divergence of 1 nat.
        ShouldRestoreArtefact: the user model answered NaN or left its range, or the earlier policy is
            damaged.
    """
    runners, learners = (cluster.runners, cluster.learners) if cluster else (0, 0)
    plan = plan_of(spec, model, profiles, encoder, seed, runners, learners)
    earlier = None if start is None else Start.read(start)
    taken = None if earlier is None else earlier.weights_for(spec, plan.network())
    fingerprint = _fingerprint(spec, plan, earlier)
    with _single_thread():
        session: Session = OnCluster(plan, cluster) if cluster else InProcess(plan)
        torch.set_num_threads(1)  # building an algorithm sets it back
        try:
            found = checkpoint.read(workdir, fingerprint)
            curve: tuple[TrainingPoint, ...] = ()
            error = 0.0
            if found:
                record, state = found
                session.resume(state, record.iterations)
                curve, error = record.curve, record.propensity_error
            else:
                begun = TrainerState(head_start(plan, taken), {}, plan.learning_rate(0))
                session.resume(begun, 0)
            resumed_from = len(curve)
            with closing(EventLog(workdir / "tensorboard", curve)) as events:
                for iteration in range(resumed_from, plan.training.iterations):
                    started = time.perf_counter()
                    rewards, summary = session.iterate(iteration)
                    elapsed = time.perf_counter() - started
                    _require_near(plan, iteration, summary)
                    curve = (*curve, point_of(plan, iteration, rewards, summary, elapsed))
                    error = max(error, summary.propensity_error)
                    done = iteration + 1
                    if done % CHECKPOINT_EVERY == 0 or done == plan.training.iterations:
                        checkpoint.write(workdir, session.state(), fingerprint, curve, error)
                    events.add(curve[-1])
                    if progress:
                        progress(curve[-1])
            state = session.state()
        finally:
            session.close()
        return finish(spec, plan, state, curve, error, workdir, resumed_from, earlier)


def plan_of(
    spec: LoopSpec,
    model: UserModel,
    profiles: ProfileBatch,
    encoder: str,
    seed: int,
    runners: int = 0,
    learners: int = 0,
) -> Plan:
    """What training a loop's policy means: journeys under its constraints, answered with its doubts.

    Raises:
        ShouldFixArgument: arguments that do not fit one another.
    """
    if encoder != layout(spec).encoder:
        raise ShouldFixArgument(
            f"The encoder is {encoder}, but loop {spec.name!r} has {layout(spec).encoder}.",
            "Encode, fit and generate again under this specification.",
        )
    source = JourneySource.belonging(spec, believed(model, spec, seed), profiles)
    features = ActionCatalogue(spec).features if spec.action_features else None
    return Plan(source, spec.training, spec.exploration, seed, runners, learners, features)


def _fingerprint(spec: LoopSpec, plan: Plan, earlier: Start | None) -> str:
    """SHA-256 of all that the weights depend on, the user model by its release and what it expects."""
    profiles, model = plan.source.profiles, plan.source.model
    total = hashlib.sha256()
    for part in (
        code_sha256(),
        "" if earlier is None else earlier.card.weights_sha256,
        spec.checksum,
        model.release_id,
        profiles.release_id,
        plan.seed,
        plan.runners,
        plan.learners,
        torch.__version__,
    ):
        total.update(f"{part}\n".encode())
    arrays = [profiles.context, profiles.mask, profiles.weight]
    if plan.features is not None:
        arrays.append(plan.features)
    for position in range(plan.source.actions):
        action = np.full(len(profiles), position, dtype=np.int64)
        arrays.append(model.expected_reward(profiles.context, action))
        arrays.append(model.end_chance(profiles.context, action))
    for array in arrays:
        total.update(f"{array.shape} {array.dtype}\n".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def point_of(
    plan: Plan, iteration: int, rewards: RewardSummary, summary: UpdateSummary, elapsed: float
) -> TrainingPoint:
    """An iteration's point of the learning curve; ``elapsed`` in seconds, ``iteration`` from 0."""
    return TrainingPoint(
        iteration=iteration + 1,
        steps=(iteration + 1) * plan.steps_per_iteration,
        reward=rewards.mean,
        low=rewards.mean - rewards.half_width,
        high=rewards.mean + rewards.half_width,
        kl=summary.kl,
        clip_fraction=summary.clip_fraction,
        entropy=summary.entropy,
        epsilon=plan.epsilon(iteration),
        learning_rate=plan.learning_rate(iteration),
        value_loss=summary.value_loss,
        steps_per_second=rewards.decisions / elapsed,
    )


def _require_near(plan: Plan, iteration: int, summary: UpdateSummary) -> None:
    if summary.kl < DIVERGED_AT:
        return
    raise ShouldFixArgument(
        f"Training with learning_rate {plan.training.learning_rate:g} diverged in iteration "
        f"{iteration + 1}: its update moved the policy by a KL divergence of {summary.kl:g} nats, where "
        f"{DIVERGED_AT:g} is far too much.",
        f"Lower training.learning_rate in the loop specification; {TrainingSpec().learning_rate:g} is its "
        "default.",
    )


@contextmanager
def _single_thread() -> Iterator[None]:
    """Small matrices gain nothing from threads, and sums then have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
