"""Public features of the user model: what each head sees of a context and an action.

Privacy charges for width, so the number of parameters is held under ``privacy.parameter_limit`` by a
public rule (``feature_map``). Wide heads (signals and acceptance) see the action, how much of late was
like it, and the interacting dimensions by action; what else the context holds moves all wide heads
alike, by one vector that they share, until the limit pays for one each. Narrow heads (presence,
journey end) see the action's kind; next contexts see the dimension's own value, where the person
rests, and the kind.

Every block is scaled by a public constant, so that directions of the joint gradient are about equally
likely to be large: of all scalings that one loses least to noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Bool, EncodingLayout, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec
from everloop.contracts.loop_spec import FieldKind, LoopSpec, Silence

INTERCEPT_SCALE = 0.17
CONTEXT_SCALE = 0.14
ACTION_SCALE = 1.15
REPETITION_SCALE = 1.15
INTERACTION_SCALE = 4.6
NARROW_SCALE = 1.15
RESTING_SCALE = 2.3
MOVED_SCALE = 1.15
"""Scales of single features, the last two of next contexts' heads: own values and action. Chosen on
made-up products with a known truth, never on a product's own log."""

INTERACTIONS_SHARE = 2.0 / 3.0
"""Most that interactions may take of the limit, so that something is left for the smaller heads."""
KINDS = tuple(ActionKind)
_CONTEXT_ORDER = ("history", "number", "cycle", "category", "vector", "missing")
_PROJECTION = 20_260_101


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the heads see of n decisions.

    ``wide`` (n, F), ``shared`` (n, G), ``narrow`` (n, N), ``motion`` (n, m, D).
    """

    wide: Float
    shared: Float
    narrow: Float
    motion: Float


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """d context dimensions, A actions of kinds in ``KINDS``, S signal types of which M may be missing.

    Attributes:
        kinds: (A,) position of each action's kind in ``KINDS``.
        signals: S, value heads; acceptance is one more wide head.
        presences: M, presence heads.
        context: (g, d) public matrix of what moves all wide heads alike.
        own: (g', d) public matrix of what moves each wide head by itself.
        interacting: (k', d) public projection of the interacting dimensions.
        moving: (m,) dimensions whose next value is learned.
        history: first dimension of the history block and the interactions it sums up; ``None``: none.
        by_action: narrow and motion heads see the action itself, not its kind.
    """

    kinds: Int
    signals: int
    presences: int
    context: Float
    own: Float
    interacting: Float
    moving: Int
    history: tuple[int, int] | None
    by_action: bool

    @property
    def actions(self) -> int:
        return len(self.kinds)

    @property
    def heads(self) -> int:
        """H = S + 1 + M + 1 + m logits: values, acceptance, presences, journey end, next contexts."""
        return self.signals + self.presences + 2 + len(self.moving)

    @property
    def end(self) -> int:
        """Position of the journey end's logit."""
        return self.signals + 1 + self.presences

    @property
    def width(self) -> int:
        """F = A (1 + k') + g' + 1 if there is a history."""
        inner = 1 + len(self.interacting)
        return self.actions * inner + len(self.own) + (self.history is not None)

    @property
    def shared_width(self) -> int:
        """G = 1 + g."""
        return 1 + len(self.context)

    @property
    def groups(self) -> Int:
        """(A,) what narrow heads see of each action: itself, or its kind among those in use."""
        if self.by_action:
            return np.arange(self.actions)
        return np.unique(self.kinds, return_inverse=True)[1].astype(np.int64)

    @property
    def narrow_width(self) -> int:
        """N = number of groups + 1 if there is a history."""
        return int(self.groups.max()) + 1 + (self.history is not None)

    @property
    def motion_width(self) -> int:
        """D = 2 + number of groups."""
        return 3 + int(self.groups.max())

    @property
    def parameters(self) -> int:
        """(S + 1) F + G + (M + 1) N + m D."""
        return (
            (self.signals + 1) * self.width
            + self.shared_width
            + (self.presences + 1) * self.narrow_width
            + len(self.moving) * self.motion_width
        )

    def same(self, other: FeatureMap) -> bool:
        """Whether weights of one fit the other and mean the same."""
        mine, theirs = ((f.signals, f.presences, f.history, f.by_action) for f in (self, other))
        names = ("kinds", "context", "own", "interacting", "moving")
        return mine == theirs and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in names
        )

    def of(self, context: Float32, action: Int, resting: Float32 | None = None) -> Features:
        """Features of n contexts (n, d) and actions (n,) of people who rest at ``resting`` (n, d).

        Without ``resting`` everyone is where they rest.

        Raises:
            ShouldFixArgument: the contexts have another width.
        """
        if context.ndim != 2 or context.shape[1] != self.context.shape[1]:
            raise ShouldFixArgument(
                f"A context of shape {context.shape} is not (n, {self.context.shape[1]}).",
                "Encode it with the encoder that the user model was fitted with.",
            )
        rests = context if resting is None else resting
        whole = context.astype(np.float64)
        again = self._repetition(whole, action)
        return Features(
            wide=self._wide(whole, action, again),
            shared=np.concatenate(
                [np.full((len(whole), 1), INTERCEPT_SCALE), whole @ self.context.T * CONTEXT_SCALE],
                axis=1,
            ),
            narrow=np.concatenate([self._group(action) * NARROW_SCALE, again], axis=1),
            motion=self._motion(whole, rests.astype(np.float64), action),
        )

    def _wide(self, whole: Float, action: Int, again: Float) -> Float:
        rows, first = np.arange(len(whole)), self.actions + again.shape[1]
        inner, last = len(self.interacting), self.width - len(self.own)
        wide = np.zeros((len(whole), self.width))
        wide[rows, action] = ACTION_SCALE
        wide[:, self.actions : first] = again
        if inner:
            crossed = wide[:, first:last].reshape(len(whole), self.actions, inner)
            crossed[rows, action] = whole @ self.interacting.T * INTERACTION_SCALE
            wide[:, first:last] = crossed.reshape(len(whole), -1)
        wide[:, last:] = whole @ self.own.T * CONTEXT_SCALE
        return wide

    def _repetition(self, whole: Float, action: Int) -> Float:
        """(n, 1) share of the last interactions that were of this action's kind; (n, 0) without."""
        if self.history is None:
            return np.zeros((len(whole), 0))
        start = self.history[0]
        share = whole[np.arange(len(whole)), start + self.kinds[action]]
        length = whole[:, start + len(KINDS) + 2]
        return np.asarray(REPETITION_SCALE * share * length)[:, None]

    def _group(self, action: Int) -> Float:
        groups = self.groups
        return np.asarray(np.eye(int(groups.max()) + 1)[groups[action]], dtype=np.float64)

    def _motion(self, whole: Float, rests: Float, action: Int) -> Float:
        motion = np.zeros((len(whole), len(self.moving), self.motion_width))
        motion[:, :, 0] = whole[:, self.moving] * RESTING_SCALE
        motion[:, :, 1] = rests[:, self.moving] * RESTING_SCALE
        motion[:, :, 2:] = self._group(action)[:, None, :] * MOVED_SCALE
        return motion


def missing_types(spec: LoopSpec) -> tuple[int, ...]:
    """Positions of the signal types whose silence means missing; the others count as 0 then."""
    return tuple(i for i, s in enumerate(spec.signals) if s.silence is Silence.MISSING)


def feature_map(
    spec: LoopSpec,
    interacting: Bool,
    layout: EncodingLayout | None = None,
    hidden: int | None = None,
) -> FeatureMap:
    """The widest features that fit ``spec.privacy.parameter_limit``.

    Added in this order while they fit: what the last interactions were like, interactions (projected to
    fewer where they would take more than two thirds), next contexts, the shared context (history,
    numbers, cycles, categories, vectors, then missing indicators), narrow heads by action, a context
    of each wide head's own.

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
    nothing = np.zeros((0, width))

    def made(
        crossed: int = 0,
        kept: int = 0,
        moving: bool = False,
        history: bool = False,
        by_action: bool = False,
        own: bool = False,
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
        )

    if made().parameters > limit:
        raise ShouldFixLoopSpec(
            f"privacy.max_parameters={limit} is below {made().parameters}, what {len(spec.signals)} "
            f"signal types and {len(spec.actions)} actions need without any context.",
            "Raise it, or declare fewer actions or signals.",
        )
    history = made(history=True).parameters <= limit
    room = min(limit - made(history=history).parameters, int(INTERACTIONS_SHARE * limit))
    each = (len(spec.signals) + 1) * len(spec.actions)
    crossed = min(inner, room // each) if hidden is None else 0
    moving = made(crossed, moving=True, history=history).parameters <= limit
    left = limit - made(crossed, 0, moving, history).parameters
    if hidden is not None:
        kept = min(len(order), max(inner, left // (2 * (hidden + 1))))
        return made(crossed, kept, moving, history)
    kept = min(len(order), left)
    by_action = made(crossed, kept, moving, history, by_action=True).parameters <= limit
    own = made(crossed, kept, moving, history, by_action, own=True).parameters <= limit
    return made(crossed, kept, moving, history, by_action, own)


def public_projection(width: int, to: int) -> Float:
    """(to, width) public matrix: the identity if nothing is dropped, else random signs/sqrt(to).

    Johnson-Lindenstrauss, from no data.
    """
    if to == width:
        return np.eye(width)
    rng = np.random.default_rng([_PROJECTION, width, to])
    signs: Float = np.where(rng.integers(0, 2, (to, width)) == 1, 1.0, -1.0)
    return np.asarray(signs / np.sqrt(max(to, 1)), dtype=np.float64)


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
