"""A release under a loop that declares further signals: what was learned of the known ones stays.

Every new weight is a linear combination of old ones, as in ``carrying``, so that the covariance of the
release's noise is carried exactly. A signal type that was never seen is like the mean of the known ones
until its own evidence speaks: its value head is the mean of the known value heads, its presence head the
mean of the known presence heads. What belongs to no signal (acceptance, what moves all wide heads alike,
journey end, next contexts) stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import block_diag

from everloop.contracts.datasets import Float
from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.features import FeatureMap, missing_types
from synthetic.user_model.file import StoredRelease
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import Weights, unflatten


def with_further_signals(old: StoredRelease, spec: LoopSpec) -> StoredRelease | None:
    """An earlier release as one of a loop that declares all of its signals and more, in any order.

    Its precision counts by the share of the wide heads that it still speaks of, (S + 1) / (S' + 1).

    Returns:
        None where a signal that it was learned from is declared no more, where as many of them as it has
        presence heads for may no longer be missing, or where its heads share a hidden layer.
    """
    known, names = old.facts.signals, spec.signal_names
    missing = [spec.signals[place].name for place in missing_types(spec)]
    before = [name for name in known if name in missing]
    if not isinstance(old.weights, Weights) or not set(known) <= set(names):
        return None
    if len(before) != old.features.presences:
        return None
    matrix = further_map(
        old.features, _of_names(known, names), _of_names(tuple(before), tuple(missing))
    )
    features = replace(old.features, signals=len(names), presences=len(missing))
    facts = replace(
        old.facts,
        signals=names,
        precision=old.facts.precision * (len(known) + 1) / (len(names) + 1),
    )
    sure = old.uncertainty
    return StoredRelease(
        features,
        unflatten(features, matrix @ old.weights.flat),
        facts,
        None
        if sure is None
        else Uncertainty(matrix @ sure.noise @ matrix.T, matrix @ sure.sampling @ matrix.T),
    )


def further_map(old: FeatureMap, values: Float, presences: Float) -> Float:
    """(p', p) from old weights to new ones, given what each value head (S', S) and presence head (M', M) is
    made of."""
    return np.asarray(
        block_diag(
            _kron(block_diag(values, np.eye(1)), old.width),
            np.eye(old.shared_width),
            _kron(block_diag(presences, np.eye(1)), old.narrow_width),
            np.eye(len(old.moving) * old.motion_width),
        )
    )


def _of_names(known: tuple[str, ...], names: tuple[str, ...]) -> Float:
    """(k', k): 1 where the names are the same, 1 / k for a name that was not known."""
    same = np.array([[a == b for b in known] for a in names], dtype=np.float64)
    same = same.reshape(len(names), len(known))
    return np.where(same.any(axis=1, keepdims=True), same, 1.0 / max(1, len(known)))


def _kron(heads: Float, width: int) -> Float:
    """Every feature of a head goes the same way as the head."""
    each = np.eye(width, dtype=np.float64)
    return np.asarray(np.kron(np.asarray(heads, dtype=np.float64), each), dtype=np.float64)
