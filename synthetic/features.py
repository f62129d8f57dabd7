"""Public features of the user model: what it sees of a context and an action.

Privacy charges for width, so the number of parameters is held under ``max_parameters``: first the
interacting dimensions, then the context's own are replaced by fewer public random projections of
them (signs over the square root of the width: Johnson-Lindenstrauss, from no data).

Every block is scaled by a public constant, so that within one person's clipped gradient each block
gets a share that does not depend on its width, and what tells actions apart gets the largest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec
from everloop.contracts.loop_spec import LoopSpec, Silence

INTERCEPT_SCALE = 0.3
CONTEXT_SCALE = 0.6
ACTION_SCALE = 0.7
INTERACTION_SCALE = 12.0
"""Scales of whole blocks; the context's and the interactions' are divided by sqrt(their width).
Chosen on a made-up product with a known truth, never on a product's own log."""

_PROJECTION = 20_260_101


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """d context dimensions, A actions, S signal types of which M may be missing.

    Attributes:
        actions: A.
        signals: S, value heads over all features.
        presences: M, presence heads over intercept and action alone.
        context: (d', d) public projection of the context.
        interacting: (k', d) public projection of the interacting dimensions.
    """

    actions: int
    signals: int
    presences: int
    context: Float
    interacting: Float

    @property
    def width(self) -> int:
        """F = 1 + d' + A + k' A, features of a value head."""
        return 1 + len(self.context) + self.actions * (1 + len(self.interacting))

    @property
    def presence_width(self) -> int:
        """1 + A, features of a presence head."""
        return 1 + self.actions

    @property
    def parameters(self) -> int:
        """S F + M (1 + A)."""
        return self.signals * self.width + self.presences * self.presence_width

    def of(self, context: Float32, action: Int) -> tuple[Float, Float]:
        """((n, F), (n, 1 + A)) features of n contexts (n, d) and actions (n,).

        Raises:
            ShouldFixArgument: the contexts have another width.
        """
        if context.ndim != 2 or context.shape[1] != self.context.shape[1]:
            raise ShouldFixArgument(
                f"A context of shape {context.shape} is not (n, {self.context.shape[1]}).",
                "Encode it with the encoder that the user model was fitted with.",
            )
        n, rows = len(context), np.arange(len(context))
        kept, inner = len(self.context), len(self.interacting)
        whole = context.astype(np.float64)
        features = np.zeros((n, self.width))
        features[:, 0] = INTERCEPT_SCALE
        if kept:
            features[:, 1 : 1 + kept] = whole @ self.context.T * (CONTEXT_SCALE / np.sqrt(kept))
        features[rows, 1 + kept + action] = ACTION_SCALE
        if inner:
            crossed = features[:, 1 + kept + self.actions :].reshape(n, self.actions, inner)
            crossed[rows, action] = (
                whole @ self.interacting.T * (INTERACTION_SCALE / np.sqrt(inner))
            )
        presence = np.zeros((n, self.presence_width))
        presence[:, 0] = INTERCEPT_SCALE
        presence[rows, 1 + action] = ACTION_SCALE
        return features, presence


def missing_types(spec: LoopSpec) -> tuple[int, ...]:
    """Positions of the signal types whose silence means missing; the others count as 0 then."""
    return tuple(i for i, s in enumerate(spec.signals) if s.silence is Silence.MISSING)


def feature_map(spec: LoopSpec, interacting: Bool) -> FeatureMap:
    """The widest features that fit ``spec.privacy.max_parameters``.

    Args:
        spec: the loop.
        interacting: (d,) which context dimensions may interact with actions.

    Raises:
        ShouldFixLoopSpec: not even intercepts and actions fit.
    """
    width, inner = len(interacting), int(interacting.sum())
    actions, signals = len(spec.actions), len(spec.signals)
    presences = len(missing_types(spec))
    limit = spec.privacy.parameter_limit

    def size(kept: int, crossed: int) -> int:
        return signals * (1 + kept + actions * (1 + crossed)) + presences * (1 + actions)

    if size(0, 0) > limit:
        raise ShouldFixLoopSpec(
            f"privacy.max_parameters={limit} is below {size(0, 0)}, what {signals} signal types and "
            f"{actions} actions need without any context.",
            "Raise it, or declare fewer actions or signals.",
        )
    crossed = next((k for k in range(inner, 0, -1) if size(width, k) <= limit), 0)
    kept = next((d for d in range(width, 0, -1) if size(d, crossed) <= limit), 0)
    selection = np.eye(width)[interacting]
    return FeatureMap(
        actions=actions,
        signals=signals,
        presences=presences,
        context=public_projection(width, kept),
        interacting=public_projection(inner, crossed) @ selection,
    )


def public_projection(width: int, to: int) -> Float:
    """(to, width) public matrix: the identity if nothing is dropped, else random signs/sqrt(to)."""
    if to == width:
        return np.eye(width)
    rng = np.random.default_rng([_PROJECTION, width, to])
    signs: Float = np.where(rng.integers(0, 2, (to, width)) == 1, 1.0, -1.0)
    return np.asarray(signs / np.sqrt(max(to, 1)), dtype=np.float64)
