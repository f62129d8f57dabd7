"""Pairing models made by hand in milliseconds: known weights, in the form that serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from everloop.contracts.datasets import Float
from everloop.contracts.loop_spec import LoopSpec
from rl.encoders.context import layout
from rl.runtime import ENCODER_KEY, LOOP_KEY, VERSION_KEY
from rl.slates.scorer import DESCRIPTORS_KEY, SCORER_INPUTS, SCORER_OUTPUTS


def made_pairing(
    spec: LoopSpec,
    version: str,
    path: Path,
    base: Float,
    crossed: Float | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a model that scores a person z in a state x by z . (base + crossed x).

    Args:
        base: (Z,). crossed: (Z, d), by default zeros.
        metadata: replaces the file's own.
    """
    width = layout(spec).width
    weights = np.zeros((len(base), width)) if crossed is None else crossed
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [SCORER_INPUTS[0], "crossed"], ["moved"]),
            helper.make_node("Add", ["moved", "base"], ["weights"]),
            helper.make_node("Mul", [SCORER_INPUTS[1], "weights"], ["parts"]),
            helper.make_node("ReduceSum", ["parts", "last"], [SCORER_OUTPUTS[0]], keepdims=0),
        ],
        "pairing",
        [
            helper.make_tensor_value_info(SCORER_INPUTS[0], TensorProto.FLOAT, ["n", width]),
            helper.make_tensor_value_info(SCORER_INPUTS[1], TensorProto.FLOAT, ["k", len(base)]),
        ],
        [helper.make_tensor_value_info(SCORER_OUTPUTS[0], TensorProto.FLOAT, ["k"])],
        [
            numpy_helper.from_array(base.astype(np.float32), "base"),
            numpy_helper.from_array(weights.T.astype(np.float32), "crossed"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    described = () if spec.candidates is None else spec.candidates.descriptors
    own = {
        LOOP_KEY: spec.name,
        ENCODER_KEY: layout(spec).encoder,
        VERSION_KEY: version,
        DESCRIPTORS_KEY: json.dumps(described),
    }
    helper.set_model_props(model, dict(own if metadata is None else metadata))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
