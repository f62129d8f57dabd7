"""A learner's policy as the three files that every policy has, with figures measured on it."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch
from safetensors.numpy import save
from torch import nn

from everloop.contracts import documents
from everloop.contracts.datasets import Bool, Float, Float32
from everloop.contracts.models import Provenance, States
from everloop.contracts.policy_learning import LearnedPolicy, LearningTask
from rl.belief import BelievedUserModel
from rl.encoders.catalogue import ActionCatalogue
from rl.encoders.context import layout
from rl.environment.journeys import JourneySource
from rl.export import export_served
from rl.learners.simulated import play, uniform
from rl.policy_card import PolicyCard
from rl.runtime import OnnxPolicy, load_policy

ONNX_FILE = "policy.onnx"
WEIGHTS_FILE = "policy.safetensors"
CARD_FILE = "policy.json"
FILES = (ONNX_FILE, WEIGHTS_FILE, CARD_FILE)

_LIMITS = {
    Provenance.PRIVATE_RELEASE: (
        "It was learned from simulated people; what it earns with real ones is estimated by the evaluation "
        "of the run that compared it.",
        "It looks at one decision at a time, not at what a journey makes of it.",
        "It decides for states of its encoder alone and is refused with another encoder or catalogue.",
    ),
    Provenance.RAW_LOG: (
        "It was learned on people's own decisions without any privacy: it stays inside the trust boundary, "
        "for reports alone.",
    ),
}
_MEASURED = 8192
"""Simulated decisions on which a policy's reward is measured."""


def write_policy(
    task: LearningTask,
    source: JourneySource,
    learner: str,
    provenance: Provenance,
    served: nn.Module,
    steps: int,
    started: float,
) -> LearnedPolicy:
    """Export a policy, measure it in the simulator and write its files into ``task.workdir``.

    Args:
        source: the task's journeys.
        served: its served form; its buffers are its weights.
        steps: simulated decisions that it was learned from.
        started: ``time.process_time()`` when learning began.

    Raises:
        ShouldRestoreArtefact: the export differs from ``served``.
    """
    spec, folder = task.spec, task.workdir
    folder.mkdir(parents=True, exist_ok=True)
    weights = documents.write_atomically(_bytes(served), folder / WEIGHTS_FILE)
    digest = documents.sha256_of(weights)
    version = f"{spec.name}-{digest[:16]}"
    onnx = folder / ONNX_FILE
    width = layout(spec).width
    export_error = export_served(served, width, spec, version, onnx, learner, provenance)
    policy = load_policy(onnx, spec=spec)
    chance = play(source, uniform, _MEASURED, task.seed + 1).reward.mean()
    reward, error = _measured(source, policy, served, spec.exploration.serving_floor, task.seed + 1)
    private = provenance is Provenance.PRIVATE_RELEASE
    catalogue = ActionCatalogue(spec)
    card = PolicyCard(
        version=version,
        loop=spec.name,
        encoder=layout(spec).encoder,
        actions=spec.action_ids,
        width=width,
        hidden=0,
        spec_sha256=spec.checksum,
        user_model_release=task.model.release_id if private else "",
        profiles_release=task.profiles.release_id if private else "",
        seed=task.seed,
        iterations=1,
        steps=steps,
        weights_sha256=digest,
        onnx_sha256=documents.sha256_of(onnx),
        first_reward=float(chance),
        last_reward=reward,
        best_reward=reward,
        propensity_error=error,
        export_error=export_error,
        torch_version=torch.__version__,
        learner=learner,
        provenance=provenance,
        catalogue=catalogue.version,
        action_features=catalogue.names if spec.action_features else (),
        epsilon=spec.privacy.epsilon if private else None,
        delta=spec.privacy.delta if private else None,
        period_days=spec.privacy.period_days if private else None,
        doubts=_doubts(source) if private else "",
        limits=_LIMITS[provenance],
    )
    documents.write(card, folder / CARD_FILE)
    return LearnedPolicy(learner, version, folder, provenance, time.process_time() - started, steps)


def _doubts(source: JourneySource) -> str:
    if isinstance(source.model, BelievedUserModel):
        return f"{source.model.penalty} were taken off each reward."
    return "Nothing was taken off for doubt."


def _measured(
    source: JourneySource, policy: OnnxPolicy, served: nn.Module, epsilon: float, seed: int
) -> tuple[float, float]:
    """(mean reward in journeys as it would serve, largest |served - recomputed| propensity)."""
    worst = 0.0

    def choose(context: Float32, mask: Bool) -> Float:
        nonlocal worst
        propensity = policy.act(States(context, mask), epsilon).propensity
        with torch.inference_mode():
            again = served(
                torch.from_numpy(context.copy()),
                torch.from_numpy(mask),
                torch.tensor([epsilon], dtype=torch.float32),
            )[1].double()
        worst = max(worst, float(np.abs(again.numpy() - propensity).max()))
        return propensity

    reward = play(source, choose, _MEASURED, seed).reward.mean()
    return float(reward), worst


def _bytes(served: nn.Module) -> bytes:
    tensors: Mapping[str, torch.Tensor] = served.state_dict()
    return save({name: np.ascontiguousarray(tensors[name].numpy()) for name in sorted(tensors)})
