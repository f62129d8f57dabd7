"""A pairing model that is linear in descriptors, written as the file that serves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from everloop.contracts.datasets import Float
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from rl.encoders.context import layout
from rl.runtime import ENCODER_KEY, LOOP_KEY, VERSION_KEY
from rl.slates.scorer import DESCRIPTORS_KEY, SCORER_INPUTS, SCORER_OUTPUTS, load_scorer

OPSET = 20
TOLERANCE = 1e-4
"""How far the file's scores may be from the weights', relative to the largest possible one."""
_CHECKED = 64


def export_scorer(spec: LoopSpec, base: Float, crossed: Float, path: Path) -> str:
    """Write score(c) = z_c . (base + crossed x) as ONNX, and check the file against the weights.

    Such a score is what a model that is linear in a slate's mean descriptors says of each person: the
    score of a slate is the mean of its people's.

    Args:
        spec: the loop, which declares candidates.
        base: (Z,) weights of the descriptors z.
        crossed: (Z, d) weights of descriptors by state dimension x.
        path: file to write.

    Returns:
        The version: ``<loop>-pairing-<first 16 digits of the weights' SHA-256>``.

    Raises:
        ShouldFixArgument: the loop declares no candidates, or the weights are not finite or not its.
        ShouldRestoreArtefact: the file does not answer as the weights do.
    """
    if spec.candidates is None:
        raise ShouldFixArgument(
            f"Loop {spec.name!r} declares no candidates, so nobody can be scored.",
            "Declare how people who may be suggested are described.",
        )
    described, encoding = len(spec.candidates.descriptors), layout(spec)
    if base.shape != (described,) or crossed.shape != (described, encoding.width):
        raise ShouldFixArgument(
            f"Weights of shapes {base.shape} and {crossed.shape} are not ({described},) and "
            f"({described}, {encoding.width})."
        )
    weights = {"base": base.astype(np.float32), "crossed": crossed.T.astype(np.float32)}
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise ShouldFixArgument("The weights of a pairing model hold NaN or infinity.")
    raw = b"".join(np.ascontiguousarray(weights[name]).tobytes() for name in sorted(weights))
    version = f"{spec.name}-pairing-{hashlib.sha256(raw).hexdigest()[:16]}"
    last = numpy_helper.from_array(np.array([1], dtype=np.int64), "last")
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["context", "crossed"], ["moved"]),
            helper.make_node("Add", ["moved", "base"], ["weights"]),
            helper.make_node("Mul", ["descriptors", "weights"], ["parts"]),
            helper.make_node("ReduceSum", ["parts", "last"], [SCORER_OUTPUTS[0]], keepdims=0),
        ],
        "pairing",
        [
            helper.make_tensor_value_info(SCORER_INPUTS[0], TensorProto.FLOAT, [1, encoding.width]),
            helper.make_tensor_value_info(SCORER_INPUTS[1], TensorProto.FLOAT, ["k", described]),
        ],
        [helper.make_tensor_value_info(SCORER_OUTPUTS[0], TensorProto.FLOAT, ["k"])],
        [*(numpy_helper.from_array(array, name) for name, array in weights.items()), last],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    helper.set_model_props(
        model,
        {
            LOOP_KEY: spec.name,
            ENCODER_KEY: encoding.encoder,
            VERSION_KEY: version,
            DESCRIPTORS_KEY: json.dumps(spec.candidates.descriptors),
        },
    )
    onnx.checker.check_model(model)
    write_atomically(model.SerializeToString(), path)
    _require_same(spec, base, crossed, path)
    return version


def _require_same(spec: LoopSpec, base: Float, crossed: Float, path: Path) -> None:
    scorer = load_scorer(path, hashlib.sha256(path.read_bytes()).hexdigest(), spec)
    rng = np.random.default_rng(0)
    largest = max(1.0, float(np.abs(base).sum() + np.abs(crossed).sum()))
    for _ in range(_CHECKED):
        state = rng.uniform(-1, 1, (crossed.shape[1],)).astype(np.float32)
        people = rng.uniform(-1, 1, (7, len(base)))
        expected = people @ (base + crossed @ state)
        off = float(np.abs(scorer.scores(state, people) - expected).max())
        if not off <= TOLERANCE * largest:
            raise ShouldRestoreArtefact(
                f"Pairing model {path} answers {off:.2g} off its weights.", "Report this."
            )
