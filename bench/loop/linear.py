"""Policies that are linear in the encoded state, written as the product's are: files, card, metadata.

    logits = context W + b + surge * max(0, x) * 1_action,   x = context g - edge,

and every answer is NaN where ``nan`` is set and x > 0: a policy may be sound on everything that was logged
and fail on what comes next.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from everloop.contracts.datasets import Float
from everloop.contracts.documents import read, sha256_of, write, write_atomically
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from rl.encoders.catalogue import ActionCatalogue
from rl.encoders.context import layout
from rl.policy_card import PolicyCard
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
    VERSION_KEY,
)

NEVER: Final = 2.0
"""An edge beyond every x: states lie within [-1, 1]."""
SURGE: Final = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A linear policy over d dimensions and A actions.

    Attributes:
        weights: (d, A). bias: (A,).
        watched: (d,) g, whose product with the state is compared with ``edge``.
        edge: beyond it the policy answers NaN, or takes ``collapses_to`` (an action's place) alone.
    """

    weights: Float
    bias: Float
    watched: Float | None = None
    edge: float = NEVER
    nan: bool = False
    collapses_to: int | None = None

    def tables(self) -> dict[str, Float]:
        """Every number of it, by name."""
        width, actions = self.weights.shape
        surge = np.zeros((1, actions))
        if self.collapses_to is not None:
            surge[0, self.collapses_to] = SURGE
        return {
            "weights": self.weights,
            "bias": self.bias,
            "watched": np.zeros(width) if self.watched is None else self.watched,
            "edge": np.array([self.edge]),
            "poisoned": np.array([1.0 if self.nan else 0.0]),
            "surge": surge,
        }


def write_policy(policy: Linear, spec: LoopSpec, like: Path, folder: Path) -> str:
    """Write a policy's files into a folder; its version.

    Args:
        like: folder of a policy whose card it takes over: the releases that it says it was learned from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {k: np.ascontiguousarray(v, np.float32) for k, v in policy.tables().items()}
    weights = save(tables)
    digest = hashlib.sha256(weights).hexdigest()
    version = f"{spec.name}-{digest[:16]}"
    write_atomically(weights, folder / "policy.safetensors")
    made = _model(tables, spec, version)
    write_atomically(made.SerializeToString(deterministic=True), folder / "policy.onnx")
    card = replace(
        read(PolicyCard, like / "policy.json"),
        version=version,
        weights_sha256=digest,
        onnx_sha256=sha256_of(folder / "policy.onnx"),
        learner="ppo",
        started_from="",
    )
    write(card, folder / "policy.json")
    return version


def _model(tables: dict[str, np.ndarray], spec: LoopSpec, version: str) -> onnx.ModelProto:
    actions, width = len(spec.actions), layout(spec).width
    constants = tables | {
        "watched": tables["watched"].reshape(width, 1),
        "invalid": np.array([INVALID_LOGIT], np.float32),
        "zero": np.array([0.0], np.float32),
        "one": np.array([1.0], np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["context", "weights"], ["linear"]),
        helper.make_node("Add", ["linear", "bias"], ["scores"]),
        helper.make_node("MatMul", ["context", "watched"], ["seen"]),
        helper.make_node("Sub", ["seen", "edge"], ["beyond"]),
        helper.make_node("Relu", ["beyond"], ["far"]),
        helper.make_node("Mul", ["far", "surge"], ["pulled"]),
        helper.make_node("Mul", ["beyond", "poisoned"], ["bad"]),
        helper.make_node("Neg", ["bad"], ["room"]),
        helper.make_node("Sqrt", ["room"], ["root"]),  # NaN of a negative number
        helper.make_node("Mul", ["root", "zero"], ["poison"]),
        helper.make_node("Add", ["scores", "pulled"], ["surged"]),
        helper.make_node("Add", ["surged", "poison"], ["raw"]),
        helper.make_node("Where", ["mask", "raw", "invalid"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["pi"], axis=1),
        helper.make_node("Cast", ["mask"], ["valid"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["valid", "last"], ["number"], keepdims=1),
        helper.make_node("Div", ["valid", "number"], ["uniform"]),
        helper.make_node("Sub", ["one", "epsilon"], ["greed"]),
        helper.make_node("Mul", ["greed", "pi"], ["greedy"]),
        helper.make_node("Mul", ["epsilon", "uniform"], ["spread"]),
        helper.make_node("Add", ["greedy", "spread"], ["propensity"]),
        helper.make_node("ReduceSum", ["poison", "last"], ["value"], keepdims=0),
    ]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "policy",
        [
            helper.make_tensor_value_info(INPUTS[0], floats, ["n", width]),
            helper.make_tensor_value_info(INPUTS[1], TensorProto.BOOL, ["n", actions]),
            helper.make_tensor_value_info(INPUTS[2], floats, [1]),
        ],
        [
            helper.make_tensor_value_info(OUTPUTS[0], floats, ["n", actions]),
            helper.make_tensor_value_info(OUTPUTS[1], floats, ["n", actions]),
            helper.make_tensor_value_info(OUTPUTS[2], floats, ["n"]),
        ],
        [
            *(numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "last"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(
        made,
        {
            LOOP_KEY: spec.name,
            ENCODER_KEY: layout(spec).encoder,
            ACTIONS_KEY: json.dumps(spec.action_ids),
            CATALOGUE_KEY: ActionCatalogue(spec).version,
            VERSION_KEY: version,
            LEARNER_KEY: "ppo",
            PROVENANCE_KEY: Provenance.PRIVATE_RELEASE.value,
        },
    )
    onnx.checker.check_model(made)
    return made
