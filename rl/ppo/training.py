"""Train a loop's policy against its user model, resumably, and export what serves."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.figures import TrainingFigures, TrainingPoint
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from rl.encoders.context import layout
from rl.environment.journeys import JourneySource
from rl.export import export_policy
from rl.module import PolicyNetwork
from rl.policy_card import PolicyCard
from rl.ppo import checkpoint
from rl.ppo.checkpoint import Array, TrainerState
from rl.ppo.cluster import Cluster
from rl.ppo.plan import Plan
from rl.ppo.result import TrainingResult
from rl.ppo.rollout import RewardSummary
from rl.ppo.session import InProcess, OnCluster, Session
from rl.ppo.update import UpdateSummary

WEIGHTS_FILE = "policy.safetensors"
ONNX_FILE = "policy.onnx"
CARD_FILE = "policy.json"

_CODE = Path(__file__).parents[1]
_TRAINED_BY = ("module.py", "constraints/*.py", "environment/*.py", "ppo/*.py")
"""Another version of these does not continue what this one began."""

CHECKPOINT_EVERY = 5
"""Iterations between checkpoints: at most so many are lost to a kill."""

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
) -> TrainingResult:
    """Train with PPO for ``spec.training.iterations`` iterations and export the policy.

    Deterministic: equal arguments give equal weights on one platform, in one run or in several. A
    training that was killed continues from its last checkpoint in ``workdir``; one with other
    arguments starts anew.

    Args:
        spec: the loop: catalogue, sizes, exploration.
        model: how synthetic people respond.
        profiles: the synthetic people.
        encoder: version of the encoder that made the profiles' contexts; must be the loop's own.
        seed: of weights, sampling and minibatches.
        workdir: folder for checkpoints and results; made if it is missing.
        progress: called after every iteration; what it raises stops the training.
        cluster: train with Ray there; by default in this process.

    Raises:
        ShouldFixArgument: arguments that do not fit one another, or a loss that diverged.
        ShouldRestoreArtefact: the user model answered NaN or left its range.
    """
    source = _source(spec, model, profiles, encoder)
    runners, learners = (cluster.runners, cluster.learners) if cluster else (0, 0)
    plan = Plan(source, spec.training, spec.exploration, seed, runners, learners)
    fingerprint = _fingerprint(spec, plan)
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
            resumed_from = len(curve)
            for iteration in range(resumed_from, plan.training.iterations):
                started = time.perf_counter()
                rewards, summary = session.iterate(iteration)
                elapsed = time.perf_counter() - started
                curve = (*curve, point_of(plan, iteration, rewards, summary, elapsed))
                error = max(error, summary.propensity_error)
                done = iteration + 1
                if done % CHECKPOINT_EVERY == 0 or done == plan.training.iterations:
                    checkpoint.write(workdir, session.state(), fingerprint, curve, error)
                if progress:
                    progress(curve[-1])
            state = session.state()
        finally:
            session.close()
        return finish(spec, plan, state, curve, error, workdir, resumed_from)


def _source(
    spec: LoopSpec, model: UserModel, profiles: ProfileBatch, encoder: str
) -> JourneySource:
    own = layout(spec)
    for what, version in (("The encoder", encoder), ("The profiles' encoder", profiles.encoder)):
        if version != own.encoder:
            raise ShouldFixArgument(
                f"{what} is {version}, but loop {spec.name!r} has {own.encoder}.",
                "Encode, fit and generate again under this specification.",
            )
    source = JourneySource.of(spec, model, profiles)
    if (source.width, source.actions) != (own.width, len(spec.actions)):
        raise ShouldFixArgument(
            f"Profiles have {source.width} dimensions and {source.actions} actions; the loop has "
            f"{own.width} and {len(spec.actions)}.",
            "Generate profiles for this loop.",
        )
    return source


def _fingerprint(spec: LoopSpec, plan: Plan) -> str:
    """SHA-256 of all that the weights depend on, the user model by its release and its answers."""
    profiles, model = plan.source.profiles, plan.source.model
    total = hashlib.sha256()
    for pattern in _TRAINED_BY:
        for source in sorted(_CODE.glob(pattern)):
            total.update(source.read_bytes())
    for part in (
        spec.checksum,
        model.release_id,
        profiles.release_id,
        plan.seed,
        plan.runners,
        plan.learners,
        torch.__version__,
    ):
        total.update(f"{part}\n".encode())
    first = profiles.mask.argmax(axis=1).astype(np.int64)
    answers = model.expected_reward(profiles.context, first)
    for array in (profiles.context, profiles.mask, profiles.weight, answers):
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


def finish(
    spec: LoopSpec,
    plan: Plan,
    state: TrainerState,
    curve: tuple[TrainingPoint, ...],
    error: float,
    workdir: Path,
    resumed_from: int,
) -> TrainingResult:
    """Write and export the policy of a trained state: weights, ONNX and card in ``workdir``."""
    weights = documents.write_atomically(_bytes(state.weights), workdir / WEIGHTS_FILE)
    digest = documents.sha256_of(weights)
    version = f"{spec.name}-{digest[:16]}"
    network = PolicyNetwork(plan.source.width, plan.source.actions, plan.training.hidden, plan.seed)
    network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in state.weights.items()})
    onnx = workdir / ONNX_FILE
    export_error = export_policy(network, spec, version, onnx)
    rewards = [point.reward for point in curve]
    card = PolicyCard(
        version=version,
        loop=spec.name,
        encoder=layout(spec).encoder,
        actions=spec.action_ids,
        width=plan.source.width,
        hidden=plan.training.hidden,
        spec_sha256=spec.checksum,
        user_model_release=plan.source.model.release_id,
        profiles_release=plan.source.profiles.release_id,
        seed=plan.seed,
        iterations=len(curve),
        steps=curve[-1].steps,
        weights_sha256=digest,
        onnx_sha256=documents.sha256_of(onnx),
        first_reward=rewards[0],
        last_reward=rewards[-1],
        best_reward=max(rewards),
        propensity_error=error,
        export_error=export_error,
        torch_version=torch.__version__,
    )
    figures = TrainingFigures(
        curve=curve,
        steps=curve[-1].steps,
        weights_sha256=digest,
        first_reward=rewards[0],
        last_reward=rewards[-1],
        seed=plan.seed,
        parameters=sum(a.size for a in state.weights.values()),
    )
    path = documents.write(card, workdir / CARD_FILE)
    return TrainingResult(weights, onnx, path, card, figures, resumed_from)


def _bytes(weights: Mapping[str, Array]) -> bytes:
    return save({name: np.ascontiguousarray(weights[name]) for name in sorted(weights)})


@contextmanager
def _single_thread() -> Iterator[None]:
    """Small matrices gain nothing from threads, and sums then have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
