"""A release's weights under other features: what was learned of known actions and of features stays.

Every new weight is a linear combination of old ones, so that the covariance of the release's noise is
carried exactly. With L the matrix of ``carrying_map`` and c what nothing old speaks of,

    w' = L w + c,      S' = L S L^T.

What is learned per action is kept by its id. An action that was never seen gets the mean level of the
known ones and no interactions of its own, so that its declared features speak; for presence, journey end
and next contexts it is like the known actions of its kind. What is learned of a context dimension is kept
through the public matrices, by least squares where a projection changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import block_diag

from everloop.contracts.datasets import Float, Int
from everloop.contracts.errors import ShouldFixArgument
from synthetic.user_model.features import RESTING_SCALE, FeatureMap
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import RETENTION, Weights, columns_of, row_of, unflatten


def carried_over(
    old_features: FeatureMap,
    old_action_ids: Sequence[str],
    weights: Weights,
    new_features: FeatureMap,
    new_ids: Sequence[str],
) -> Weights:
    """Weights (p') of ``new_features`` that say what the old ones (p) said, as far as they did.

    Args:
        old_features: what ``weights`` belong to.
        old_action_ids: A ids, in the order of the old catalogue.
        weights: a release's, or constants.
        new_features: of a changed catalogue, another limit, or another encoder of the same layout.
        new_ids: A' ids, in the order of the new catalogue.

    Raises:
        ShouldFixArgument: the two differ in signals, context width, or in what describes actions.
    """
    matrix = carrying_map(old_features, old_action_ids, new_features, new_ids)
    found = unflatten(new_features, matrix @ weights.flat)
    fresh = ~np.isin(new_features.moving, old_features.moving)
    found.motions[fresh, 0] = 2.0 * RETENTION / RESTING_SCALE
    found.motions[fresh, 1] = 2.0 * (1.0 - RETENTION) / RESTING_SCALE
    return found


def carried_uncertainty(
    known: Uncertainty,
    old_features: FeatureMap,
    old_action_ids: Sequence[str],
    new_features: FeatureMap,
    new_ids: Sequence[str],
) -> Uncertainty:
    """How far carried weights may be off by the noise and sampling of what they were carried from.

    It says nothing of how unlike the known ones an unseen action may be.
    """
    matrix = carrying_map(old_features, old_action_ids, new_features, new_ids)
    return Uncertainty(matrix @ known.noise @ matrix.T, matrix @ known.sampling @ matrix.T)


def known_share(
    old_features: FeatureMap,
    old_action_ids: Sequence[str],
    new_features: FeatureMap,
    new_ids: Sequence[str],
) -> float:
    """How much of the old precision still counts: the share of what may vary that old weights speak of.

    Were the old weights independent of equal variance, the new catalogue's logits phi . L w would
    have the variance |L^T phi|^2 of the |phi|^2 that weights of its own would give them. The share is
    that of the sums over its actions, phi the wide and shared features of an action in a context whose
    every dimension is 1. What features say of an unseen action counts in full; its id adds what a mean of
    the known ones tells.

    Returns:
        Within [0, 1]; 1 for a catalogue that only changed its order.
    """
    matrix = carrying_map(old_features, old_action_ids, new_features, new_ids)
    context = np.ones((new_features.actions, new_features.context.shape[1]), dtype=np.float32)
    slate = np.ones((new_features.actions, new_features.descriptors), dtype=np.float32)
    seen = new_features.of(context, np.arange(new_features.actions), slate=slate)
    acceptance = new_features.signals
    phi = row_of(new_features, seen, acceptance)
    carried = phi @ matrix[columns_of(new_features, acceptance)]
    return float(min(1.0, (carried**2).sum() / (phi**2).sum()))


def carrying_map(
    old: FeatureMap, old_ids: Sequence[str], new: FeatureMap, new_ids: Sequence[str]
) -> Float:
    """(p', p) matrix L of the module's formula.

    Raises:
        ShouldFixArgument: as ``carried_over``.
    """
    _require_alike(old, old_ids, new, new_ids)
    same = np.array([[a == b for b in old_ids] for a in new_ids], dtype=np.float64)
    level = np.where(same.any(axis=1, keepdims=True), same, 1.0 / len(old_ids))
    inner = _through(old.interacting, new.interacting)
    features = np.eye(old.described.shape[1]) if old.declared else same
    partners = np.eye(new.descriptors, old.descriptors)
    wide = _between(
        old.wide_blocks,
        new.wide_blocks,
        action=level,
        level=features,
        repetition=np.eye(1),
        partner=partners,
        crossed=_kron(features, inner),
        own=_through(old.own, new.own),
    )
    shared = _between(
        old.shared_blocks,
        new.shared_blocks,
        one=np.eye(1),
        context=_through(old.context, new.context),
        alike=_kron(features, inner),
        apart=_kron(same, inner),
        met=_kron(partners, inner),
    )
    groups = _groups(old, new, same)
    history = np.eye(int(new.history is not None), int(old.history is not None))
    moving = (new.moving[:, None] == old.moving[None, :]).astype(np.float64)
    return np.asarray(
        block_diag(
            np.kron(np.eye(new.signals + 1), wide),
            shared,
            np.kron(np.eye(new.presences + 1), block_diag(groups, history)),
            np.kron(moving, block_diag(np.eye(2), groups)),
        )
    )


def _require_alike(
    old: FeatureMap, old_ids: Sequence[str], new: FeatureMap, new_ids: Sequence[str]
) -> None:
    def form(table: FeatureMap) -> tuple[object, ...]:
        width = table.described.shape[1] if table.declared else None
        return table.signals, table.presences, table.context.shape[1], width

    if form(old) != form(new) or (len(old_ids), len(new_ids)) != (old.actions, new.actions):
        raise ShouldFixArgument(
            f"Weights for (signals, presences, context width, action features) = {form(old)} and "
            f"{len(old_ids)} actions cannot be carried to {form(new)} and {len(new_ids)} actions.",
            "Fit a user model for the new loop from its own log.",
        )


def _through(old: Float, new: Float) -> Float:
    """(k', k) that keeps w . (old x) as w' . (new x) for (k, d) and (k', d) public matrices."""
    return np.asarray((old @ np.linalg.pinv(new)).T)


def _kron(left: Float, right: Float) -> Float:
    return np.asarray(np.kron(left, right), dtype=np.float64)


def _between(old: dict[str, slice], new: dict[str, slice], **maps: Float) -> Float:
    """A matrix from old columns to new ones, of the given blocks; 0 where either side lacks one."""
    ends = (max(b.stop for b in blocks.values()) for blocks in (new, old))
    matrix = np.zeros(tuple(ends))
    for name, block in maps.items():
        rows, columns = new[name], old[name]
        if rows.stop > rows.start and columns.stop > columns.start:
            matrix[rows, columns] = block
    return matrix


def _groups(old: FeatureMap, new: FeatureMap, same: Float) -> Float:
    """(N', N) what each new group of narrow heads is made of; rows sum to 1."""
    belongs = np.eye(int(old.groups.max()) + 1)[old.groups]
    of_kind = (new.kinds[:, None] == old.kinds[None, :]).astype(np.float64)
    source = np.where(same.any(axis=1, keepdims=True), same, of_kind)
    source = np.where(source.any(axis=1, keepdims=True), source, 1.0)
    each = source / source.sum(axis=1, keepdims=True) @ belongs
    return _mean_by(each, new.groups)


def _mean_by(rows: Float, group: Int) -> Float:
    member = np.eye(int(group.max()) + 1)[group].T
    return np.asarray(member @ rows / member.sum(axis=1, keepdims=True))
