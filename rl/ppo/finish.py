"""The end of a training: weights, the exported policy and its card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from everloop.contracts import documents
from everloop.contracts.figures import TrainingFigures, TrainingPoint
from everloop.contracts.loop_spec import LoopSpec
from rl.belief import BelievedUserModel
from rl.encoders.catalogue import ActionCatalogue
from rl.encoders.context import layout
from rl.export import export_policy
from rl.policy_card import PolicyCard
from rl.ppo.checkpoint import Array, TrainerState
from rl.ppo.plan import Plan
from rl.ppo.result import TrainingResult
from rl.ppo.start import CARD_FILE, WEIGHTS_FILE, Start, blocks

ONNX_FILE = "policy.onnx"

_CODE = Path(__file__).parents[1]
_NOT_TRAINED_BY = ("off_policy", "slates", "tune")
"""Packages that no training depends on; another version of any other code does not continue what this one
began."""

_LIMITS = (
    "It was trained against simulated people; what it earns with real ones is estimated by the evaluation "
    "of the run that registered it, and measured by its trial.",
    "It decides for states of its encoder alone and is refused with another encoder or catalogue.",
    "Scores of actions that were never tried rest on their declared features alone.",
)


def code_sha256() -> str:
    """SHA-256 of the code that weights depend on."""
    total = hashlib.sha256()
    for source in sorted(_CODE.rglob("*.py")):
        name = source.relative_to(_CODE)
        if name.parts[0] not in _NOT_TRAINED_BY:
            total.update(f"{name.as_posix()}\n".encode())
            total.update(source.read_bytes())
    return total.hexdigest()


def finish(
    spec: LoopSpec,
    plan: Plan,
    state: TrainerState,
    curve: tuple[TrainingPoint, ...],
    error: float,
    workdir: Path,
    resumed_from: int,
    earlier: Start | None = None,
) -> TrainingResult:
    """Write and export the policy of a trained state: weights, ONNX and card in ``workdir``."""
    weights = documents.write_atomically(_bytes(state.weights), workdir / WEIGHTS_FILE)
    digest = documents.sha256_of(weights)
    version = f"{spec.name}-{digest[:16]}"
    network = plan.network()
    network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in state.weights.items()})
    onnx = workdir / ONNX_FILE
    export_error = export_policy(network, spec, version, onnx)
    rewards = [point.reward for point in curve]
    catalogue = ActionCatalogue(spec)
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
        layout=blocks(layout(spec)),
        catalogue=catalogue.version,
        action_features=catalogue.names if plan.features is not None else (),
        code_sha256=code_sha256(),
        epsilon=spec.privacy.epsilon,
        delta=spec.privacy.delta,
        period_days=spec.privacy.period_days,
        doubts=_doubts(plan),
        limits=_LIMITS,
        started_from="" if earlier is None else earlier.card.version,
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


def _doubts(plan: Plan) -> str:
    model, training = plan.source.model, plan.training
    if isinstance(model, BelievedUserModel):
        who = (
            f"{len(model.members)} models that noise and sampling leave possible answered"
            if model.members
            else "The released user model alone answered"
        )
        return f"{who}; {model.penalty} were taken off each simulated reward."
    if training.ensemble or training.pessimism:
        return (
            "The released user model alone answered, without any penalty: it does not say how far it "
            "may be off."
        )
    return "The released user model alone answered, without any penalty, as the loop asks."


def _bytes(weights: Mapping[str, Array]) -> bytes:
    return save({name: np.ascontiguousarray(weights[name]) for name in sorted(weights)})
