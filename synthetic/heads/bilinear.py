"""The public features of an action as constants, so that a graph can make them from a context and a slate.

For one action every feature is, in the context c (d) and the partners' mean descriptors z (Z),

    x = one + c linear + c_k c_l repeated + z partner + (z outer c) met + (r - c) rested,

with c_k the share of the last interactions that were of the action's kind, c_l how many there were and
r where the person rests. The constants are read off the features themselves at unit vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float, Int
from synthetic.user_model.features import KINDS, FeatureMap, Features


@dataclass(frozen=True, slots=True, eq=False)
class BilinearFeatures:
    """Constants of A actions; X features: wide (W), shared (G), narrow (N), then motion (m D).

    Attributes:
        one: (A, X). linear: (A, d, X). repeated: (A, X). partner: (A, Z, X). met: (A, Z d, X).
        rested: (d, X), of where a person rests less the context; 0 for people who are where they rest.
        kind: (A,) dimension of c_k. length: dimension of c_l. Both are 0 without a history, where
            ``repeated`` is 0.
    """

    one: Float
    linear: Float
    repeated: Float
    partner: Float
    met: Float
    rested: Float
    kind: Int
    length: int


def bilinear_features(features: FeatureMap) -> BilinearFeatures:
    """The constants of every action of the catalogue."""
    d, actions, z = features.context.shape[1], features.actions, features.descriptors
    basis: Float = np.concatenate([np.zeros((1, d)), np.eye(d)])
    start = 0 if features.history is None else features.history[0]
    length = 0 if features.history is None else start + len(KINDS) + 2
    kind = start + features.kinds if features.history is not None else np.zeros(actions, np.int64)
    parts: dict[str, list[Float]] = {
        name: [] for name in ("one", "linear", "repeated", "partner", "met")
    }
    for action in range(actions):
        alone = _row(features, basis, action, None)
        one, linear = alone[0], alone[1:] - alone[0]
        both: Float = basis[[1 + kind[action]]] + basis[[1 + length]]
        joint = _row(features, both, action, None)[0] - one - linear[kind[action]] - linear[length]
        parts["one"].append(one)
        parts["linear"].append(linear)
        parts["repeated"].append(joint if features.history is not None else np.zeros_like(one))
        with_them = [
            _row(features, basis, action, np.repeat(unit[None], 1 + d, axis=0)) - alone
            for unit in np.eye(z)
        ]
        size = alone.shape[1]
        parts["partner"].append(np.array([w[0] for w in with_them]).reshape(z, size))
        parts["met"].append(np.array([w[1:] - w[0] for w in with_them]).reshape(z * d, size))
    found = {name: np.stack(rows) for name, rows in parts.items()}
    rested = _row(features, np.zeros((d, d)), 0, None, np.eye(d)) - found["one"][0]
    return BilinearFeatures(kind=np.asarray(kind), length=length, rested=rested, **found)


def _row(
    features: FeatureMap,
    context: Float,
    action: int,
    slate: Float | None,
    resting: Float | None = None,
) -> Float:
    """(n, X) all features of one action at (n, d) contexts."""
    given = None if slate is None else slate.astype(np.float32)
    rests = None if resting is None else resting.astype(np.float32)
    seen = features.of(context.astype(np.float32), np.full(len(context), action), rests, given)
    return flat_features(seen)


def flat_features(seen: Features) -> Float:
    """(n, X) all features side by side."""
    motion = seen.motion.reshape(len(seen.motion), -1)
    return np.concatenate([seen.wide, seen.shared, seen.narrow, motion], axis=1)
