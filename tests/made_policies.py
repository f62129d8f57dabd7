"""Exported policies made by hand in milliseconds: known logits, and failures on demand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from rl.encoders.context import layout
from rl.runtime import (
    ACTIONS_KEY,
    ENCODER_KEY,
    INPUTS,
    INVALID_LOGIT,
    LEARNER_KEY,
    LOOP_KEY,
    OUTPUTS,
    PROVENANCE_KEY,
    VERSION_KEY,
)


def made_policy(
    spec: LoopSpec,
    version: str,
    path: Path,
    bias: Sequence[float] | None = None,
    nan_above: float | None = None,
    encoder: str | None = None,
    learner: str = "ppo",
    provenance: Provenance = Provenance.PRIVATE_RELEASE,
) -> Path:
    """Write a policy whose logits are ``bias`` (A,), whatever the state.

    Args:
        nan_above: states whose first dimension is above this make it answer NaN.
        encoder: another encoder than the loop's.
        learner, provenance: what the file says of who learned it and from what.
    """
    actions, width = len(spec.actions), layout(spec).width
    constants = {
        "bias": np.zeros(actions) if bias is None else np.array(bias, dtype=float),
        "first": np.eye(width, 1),
        "edge": np.array([2.0 if nan_above is None else nan_above]),
        "invalid": np.array([INVALID_LOGIT]),
        "zero": np.array([0.0]),
        "one": np.array([1.0]),
    }
    nodes = [
        helper.make_node("MatMul", ["context", "first"], ["x"]),
        helper.make_node("Sub", ["edge", "x"], ["room"]),
        helper.make_node("Sqrt", ["room"], ["root"]),  # NaN of a negative number
        helper.make_node("Mul", ["root", "zero"], ["poison"]),
        helper.make_node("Add", ["poison", "bias"], ["raw"]),
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
            *(numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(
        model,
        {
            LOOP_KEY: spec.name,
            ENCODER_KEY: encoder or layout(spec).encoder,
            ACTIONS_KEY: json.dumps(spec.action_ids),
            VERSION_KEY: version,
            LEARNER_KEY: learner,
            PROVENANCE_KEY: provenance.value,
        },
    )
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
