"""From features to answers inside a graph: the formulas of ``synthetic.user_model.responses``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.loop_spec import LoopSpec
from synthetic.heads.graph import Graph
from synthetic.user_model.features import Features, missing_types
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.mlp import SHARED_GAIN, MlpUserModel
from synthetic.user_model.weights import logits_of


@dataclass(frozen=True, slots=True)
class Answers:
    """Names of results: ``signals`` (..., S), ``acceptance`` (..., 1), ``reward`` (..., 1),
    ``following`` (..., m)."""

    signals: str
    acceptance: str
    reward: str
    following: str


def answers_of(
    graph: Graph, spec: LoopSpec, model: LinearUserModel | MlpUserModel, seen: str
) -> Answers:
    """Add to the graph what the model answers to features (..., X)."""
    signals, missing = len(spec.signals), len(missing_types(spec))
    logits = _logits(graph, model, seen)
    first_narrow = signals + 1
    chance = graph.add("Sigmoid", logits)
    ranges = [(-1.0, 1.0) if s.two_sided else (s.low, s.high) for s in spec.signals]
    low, high = np.array(ranges).T
    shares = graph.part(chance, 0, signals)
    means = graph.add(
        "Add", graph.add("Mul", shares, graph.constant(high - low)), graph.constant(low)
    )
    heads = model.features.heads
    following = graph.part(chance, first_narrow + missing + 1, heads)
    doubled = graph.add("Mul", following, graph.constant(np.array(2.0)))
    present = graph.part(chance, first_narrow, first_narrow + missing)
    return Answers(
        signals=means,
        acceptance=graph.part(chance, signals, first_narrow),
        reward=_reward(graph, spec, means, present),
        following=graph.add("Sub", doubled, graph.constant(np.array(1.0))),
    )


def _logits(graph: Graph, model: LinearUserModel | MlpUserModel, seen: str) -> str:
    """(..., H); linear heads are a matrix, read off the features one by one."""
    table = model.features
    linear = model.weights.linear if isinstance(model, MlpUserModel) else model.weights
    matrix = logits_of(linear, _unit_features(model))
    logits = graph.add("MatMul", seen, graph.constant(matrix))
    if not isinstance(model, MlpUserModel):
        return logits
    wide, shared = table.width, table.shared_width
    inner, outer = model.weights.inner, model.weights.outer
    read = np.zeros((len(matrix), len(inner)))
    read[wide : wide + shared] = inner[:, :shared].T * SHARED_GAIN
    read[:wide] = inner[:, shared:].T
    hidden = graph.add("Tanh", graph.add("MatMul", seen, graph.constant(read)))
    return graph.add("Add", logits, graph.add("MatMul", hidden, graph.constant(outer.T)))


def _unit_features(model: LinearUserModel | MlpUserModel) -> Features:
    """X rows, each with one feature at 1."""
    t = model.features
    sizes = (t.width, t.shared_width, t.narrow_width, len(t.moving) * t.motion_width)
    rows = np.eye(sum(sizes))
    wide, shared, narrow, motion = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
    return Features(wide, shared, narrow, motion.reshape(len(rows), len(t.moving), t.motion_width))


def _reward(graph: Graph, spec: LoopSpec, means: str, present: str) -> str:
    """Mean over the patterns of presence that leave a type, of the weighted mean of the types there."""
    missing, weight = list(missing_types(spec)), np.array([s.weight for s in spec.signals])
    patterns = np.ones((2 ** len(missing), len(weight)))
    bits = (np.arange(len(patterns))[:, None] >> np.arange(len(missing))) & 1
    patterns[:, missing] = bits
    patterns = patterns[patterns.any(axis=1)]
    shares = patterns * weight / (patterns @ weight)[:, None]
    each = graph.add("MatMul", means, graph.constant(shares.T))
    axis = graph.constant(np.array([-1]))
    if not missing:
        return each
    there = patterns[:, missing]
    # p where the type is there and 1 - p where it is not: (1 - t) + p (2 t - 1)
    wide = graph.add("Unsqueeze", present, graph.constant(np.array([-2])))
    turned = graph.add("Mul", wide, graph.constant(2.0 * there - 1.0))
    chances = graph.add("Add", turned, graph.constant(1.0 - there))
    chance = graph.add("ReduceProd", chances, axis, keepdims=0)
    total = graph.add("ReduceSum", graph.add("Mul", chance, each), axis, keepdims=1)
    return graph.add("Div", total, graph.add("ReduceSum", chance, axis, keepdims=1))
