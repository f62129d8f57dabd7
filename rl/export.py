"""Policies as ONNX: the mask and the exploration inside, checked against the network."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from everloop.contracts.datasets import Float
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance, States
from rl.encoders.catalogue import ActionCatalogue
from rl.encoders.context import layout
from rl.module import PolicyNetwork
from rl.runtime import (
    ACTIONS_KEY,
    CATALOGUE_KEY,
    ENCODER_KEY,
    INPUTS,
    INVALID_LOGIT,
    LEARNER_KEY,
    LOOP_KEY,
    OUTPUTS,
    PROVENANCE_KEY,
    SCORE,
    TASTE,
    VERSION_KEY,
    load_policy,
)

OPSET = 20
TOLERANCE = 1e-5
"""Largest difference to the network, absolute in a row of numbers up to 1, else relative to its largest."""
_STATES = 1000


class ServedPolicy(nn.Module):
    """What is exported: context (N, d), mask (N, A) bool, epsilon (1,) -> logits, propensity, value,
    then scores before the mask (N, A) and, where the network reads F features of actions, u(s) (N, F).

    propensity = (1 - epsilon) pi + epsilon / |valid| on valid actions, exactly 0 elsewhere. An action
    that was never seen scores phi . u(s).
    """

    def __init__(self, network: PolicyNetwork) -> None:
        super().__init__()
        self.network = network
        features = network.taste is not None
        self.outputs = (*OUTPUTS, SCORE, TASTE) if features else (*OUTPUTS, SCORE)

    def forward(self, context: Tensor, mask: Tensor, epsilon: Tensor) -> tuple[Tensor, ...]:
        scores, taste = self.network.scores(context)
        logits = torch.where(mask, scores, INVALID_LOGIT)
        valid = mask.to(logits.dtype)
        uniform = valid / valid.sum(dim=1, keepdim=True)
        propensity = (1.0 - epsilon) * torch.softmax(logits, dim=1) + epsilon * uniform
        answer = (logits, propensity, self.network.values(context), scores)
        return answer if taste is None else (*answer, taste)


def export_policy(network: PolicyNetwork, spec: LoopSpec, version: str, path: Path) -> float:
    """Write PPO's policy as ONNX, see ``export_served``."""
    return export_served(ServedPolicy(network), network.width, spec, version, path)


def export_served(
    served: nn.Module,
    width: int,
    spec: LoopSpec,
    version: str,
    path: Path,
    learner: str = "ppo",
    provenance: Provenance = Provenance.PRIVATE_RELEASE,
) -> float:
    """Write a policy as ONNX; returns the largest difference to ``served`` on 1,000 states.

    The file carries the loop, the encoder, the catalogue, ``version``, who learned it and from what,
    and nothing of the machine that wrote it.

    Args:
        served: ``forward(context (N, width), mask (N, A) bool, epsilon (1,))`` -> logits (N, A),
            propensity (N, A), value (N,), all float32; an attribute ``outputs`` names what follows.

    Raises:
        ShouldRestoreArtefact: the exported form differs by more than 1e-5; nothing is written.
    """
    served, actions = served.eval(), len(spec.actions)
    model = _export(served, width, actions)
    onnx.helper.set_model_props(
        model,
        {
            LOOP_KEY: spec.name,
            ENCODER_KEY: layout(spec).encoder,
            ACTIONS_KEY: json.dumps(spec.action_ids),
            CATALOGUE_KEY: ActionCatalogue(spec).version,
            VERSION_KEY: version,
            LEARNER_KEY: learner,
            PROVENANCE_KEY: provenance.value,
        },
    )
    data = model.SerializeToString(deterministic=True)
    trial = write_atomically(data, path.with_name(f".{path.name}.unverified"))
    try:
        error = difference(served, trial, width, actions)
        if not error <= TOLERANCE:
            raise ShouldRestoreArtefact(
                f"The exported policy differs from its network by {error:g}, more than {TOLERANCE:g}.",
                "Export again with the pinned versions of torch, onnx and onnxruntime.",
            )
        write_atomically(data, path)
    finally:
        trial.unlink(missing_ok=True)
    return error


def difference(served: nn.Module, path: Path, width: int, actions: int) -> float:
    """Largest difference between network and file on 1,000 random states, with and without epsilon."""
    rng = np.random.default_rng(20)
    context = rng.uniform(-1.0, 1.0, size=(_STATES, width)).astype(np.float32)
    mask = rng.random((_STATES, actions)) < 0.5
    mask[np.arange(_STATES), rng.integers(actions, size=_STATES)] = True
    policy = load_policy(path)
    worst = 0.0
    for epsilon in (0.0, 0.3):
        output = policy.act(States(context, mask), epsilon)
        with torch.inference_mode():
            tensors = served(
                torch.from_numpy(context),
                torch.from_numpy(mask),
                torch.tensor([epsilon], dtype=torch.float32),
            )
        found_all = [output.logits, output.propensity, output.value]
        found_all += [policy.answer_of(context, name) for name in _outputs(served)[len(OUTPUTS) :]]
        for found, tensor in zip(found_all, tensors, strict=True):
            worst = max(worst, largest_gap(found, tensor.double().numpy()))
    return worst


def largest_gap(found: Float, wanted: Float) -> float:
    """Largest difference of (N,) or (N, k) numbers, in units of the largest of each row, at least 1.

    float32 rounds a sum by its terms, which in a row of large scores are large where the sum is small.
    Logits of masked actions count by themselves.
    """
    if not np.isfinite(wanted).all():
        return float("inf")
    size = np.abs(wanted)
    unit = np.where(wanted == INVALID_LOGIT, 1.0, size)
    row = unit.max(axis=1, keepdims=True) if wanted.ndim > 1 else unit
    unit = np.where(wanted == INVALID_LOGIT, size, np.maximum(1.0, row))
    return float(np.nanmax(np.abs(found - wanted) / unit))


def _outputs(served: nn.Module) -> tuple[str, ...]:
    named: tuple[str, ...] = getattr(served, "outputs", OUTPUTS)
    return named


def _export(served: nn.Module, width: int, actions: int) -> onnx.ModelProto:
    rows = {0: torch.export.Dim.DYNAMIC}
    # torchvision's operators are none of ours
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # torch's exporter copies tree specifications in a way that torch itself deprecated
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        program = torch.onnx.export(
            served,
            (torch.zeros(2, width), torch.ones(2, actions, dtype=torch.bool), torch.zeros(1)),
            dynamo=True,
            input_names=list(INPUTS),
            output_names=list(_outputs(served)),
            dynamic_shapes={"context": rows, "mask": rows, "epsilon": None},
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise ShouldRestoreArtefact("torch.onnx.export made no model.", "Export again.")
    model = program.model_proto
    _strip(model)
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about the source: paths would make equal policies differ."""
    model.doc_string = ""
    for holder in (model, model.graph, *model.graph.node, *model.graph.initializer):
        holder.ClearField("metadata_props")
        holder.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    for function in model.functions:
        function.ClearField("metadata_props")
        for node in function.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
