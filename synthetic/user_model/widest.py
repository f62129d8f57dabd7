"""The widest features that a loop's people can pay for: a public rule, from the specification alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from everloop.contracts.datasets import Bool, EncodingLayout, Float, Int
from everloop.contracts.errors import ShouldFixLoopSpec
from everloop.contracts.loop_spec import FieldKind, LoopSpec
from synthetic.user_model.features import KINDS, FeatureMap, missing_types

INTERACTIONS_SHARE = 2.0 / 3.0
"""Most that interactions may take of the limit, so that something is left for the smaller heads."""
_CONTEXT_ORDER = ("history", "number", "cycle", "category", "vector", "missing")
_PROJECTION = 20_260_101


def feature_map(
    spec: LoopSpec,
    interacting: Bool,
    layout: EncodingLayout | None = None,
    hidden: int | None = None,
) -> FeatureMap:
    """The widest features that fit ``spec.privacy.parameter_limit``.

    Added in this order while they fit: what the last interactions were like, interactions (projected to
    fewer where they would take more than two thirds), next contexts, partners' descriptors, those with
    the interacting dimensions, the shared context (history, numbers, cycles, categories, vectors, then
    missing indicators), narrow heads by action, interactions of each wide head's own where they were
    shared, a context of each wide head's own.

    Args:
        spec: the loop.
        interacting: (d,) which context dimensions may interact with actions; they are those that move.
        layout: what the dimensions mean; ``None``: none is a history, all are of one order.
        hidden: units of a hidden layer that takes the place of interactions: the shared context then
            begins with the interacting dimensions and takes half of the room, the units the rest;
            ``None``: no hidden layer.

    Raises:
        ShouldFixLoopSpec: not even the actions fit.
    """
    limit, width, inner = spec.privacy.parameter_limit, len(interacting), int(interacting.sum())
    order = _context_order(interacting, layout)
    if hidden is not None:
        order = np.concatenate([np.flatnonzero(interacting), order])
    nothing, described = np.zeros((0, width)), described_actions(spec)
    declared = not np.array_equal(described, np.eye(len(described)))

    def made(
        crossed: int = 0,
        kept: int = 0,
        moving: bool = False,
        history: bool = False,
        by_action: bool = False,
        own: bool = False,
        each: bool = False,
        descriptors: int = 0,
        meeting: bool = False,
    ) -> FeatureMap:
        return FeatureMap(
            kinds=np.array([KINDS.index(a.kind) for a in spec.actions], dtype=np.int64),
            signals=len(spec.signals),
            presences=len(missing_types(spec)),
            context=np.eye(width)[order[:kept]],
            own=np.eye(width)[order] if own else nothing,
            interacting=public_projection(inner, crossed) @ np.eye(width)[interacting],
            moving=np.flatnonzero(interacting) if moving else np.zeros(0, dtype=np.int64),
            history=_history_of(spec, layout) if history else None,
            by_action=by_action,
            described=described,
            each=each or not declared,
            descriptors=descriptors,
            meeting=meeting,
        )

    if made().parameters > limit:
        raise ShouldFixLoopSpec(
            f"privacy.max_parameters={limit} is below {made().parameters}, what {len(spec.signals)} "
            f"signal types and {len(spec.actions)} actions need without any context.",
            "Raise it, or declare fewer actions or signals.",
        )
    history = made(history=True).parameters <= limit
    room = min(limit - made(history=history).parameters, int(INTERACTIONS_SHARE * limit))
    crossed = min(inner, room // (made(1).parameters - made().parameters)) if inner else 0
    parts: dict[str, Any] = {"crossed": 0 if hidden is not None else crossed, "history": history}

    def widened(name: str, value: Any = True) -> None:
        if made(**parts, **{name: value}).parameters <= limit:
            parts[name] = value

    widened("moving")
    widened("descriptors", 0 if spec.candidates is None else len(spec.candidates.descriptors))
    if parts.get("descriptors"):
        widened("meeting")
    left = limit - made(**parts).parameters
    if hidden is not None:
        return made(kept=min(len(order), max(inner, left // (2 * (hidden + 1)))), **parts)
    parts["kept"] = min(len(order), left)
    for name in ("by_action", "each", "own"):
        widened(name)
    return made(**parts)


def public_projection(width: int, to: int) -> Float:
    """(to, width) public matrix: the identity if nothing is dropped, else random signs/sqrt(to).

    Johnson-Lindenstrauss, from no data.
    """
    if to == width:
        return np.eye(width)
    rng = np.random.default_rng([_PROJECTION, width, to])
    signs: Float = np.where(rng.integers(0, 2, (to, width)) == 1, 1.0, -1.0)
    return np.asarray(signs / np.sqrt(max(to, 1)), dtype=np.float64)


def described_actions(spec: LoopSpec) -> Float:
    """(A, F) declared features of the actions; the identity without."""
    found = np.array([action.features for action in spec.actions], dtype=np.float64)
    return found if found.size else np.eye(len(spec.actions))


def _context_order(interacting: Bool, layout: EncodingLayout | None) -> Int:
    """Dimensions that do not interact, those that tell most first."""
    outside = np.flatnonzero(~interacting)
    if layout is None:
        return outside
    rank = np.zeros(layout.width, dtype=np.int64)
    for block in layout.blocks:
        rank[block.dimensions] = _CONTEXT_ORDER.index(block.kind)
    return np.asarray(outside[np.argsort(rank[outside], kind="stable")])


def _history_of(spec: LoopSpec, layout: EncodingLayout | None) -> tuple[int, int] | None:
    blocks = () if layout is None else layout.of_kind("history")
    if not blocks or spec.field(blocks[0].field).kind is not FieldKind.HISTORY:
        return None
    return blocks[0].start, spec.field(blocks[0].field).width
