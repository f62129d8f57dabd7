"""Public features of the user model: what each head sees of a context and an action.

Privacy charges for width, so the number of parameters is held under ``privacy.parameter_limit`` by a
public rule (``synthetic.user_model.widest``). Wide heads (signals and acceptance) see the action, what
the loop declares it to be like, how much of late was like it, and a pairing's partners by their mean
descriptors. What else moves them moves them alike, by one vector that they share, until the limit pays
for one each: the context, and the interacting dimensions by declared feature, by action and by
descriptor. So an action that was never seen has a level and interactions, from its features. Where
nothing is declared, every wide head has interactions by action of its own. Narrow heads (presence,
journey end) see the action's kind; next contexts see the dimension's own value, where the person
rests, and the kind.

Every block is scaled by a public constant, so that directions of the joint gradient are about equally
likely to be large: of all scalings that one loses least to noise.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec, Silence

INTERCEPT_SCALE = 0.17
CONTEXT_SCALE = 0.14
ACTION_SCALE = 1.15
DESCRIBED_ACTION_SCALE = 0.8
LEVEL_SCALE = 0.3
REPETITION_SCALE = 1.15
INTERACTION_SCALE = 4.6
EACH_SCALE = 2.3
ALIKE_SCALE = 3.3
APART_SCALE = 1.4
PARTNER_SCALE = 0.4
MET_SCALE = 3.3
NARROW_SCALE = 1.15
RESTING_SCALE = 0.15
MOVED_SCALE = 0.03
"""Scales of single features. Actions, and interactions by action of each head's own, where nothing is
declared (``ACTION``, ``INTERACTION``); where features are: actions, features, interactions by feature of
each head's own (``EACH``), the shared ones by feature (``ALIKE``) and by action (``APART``). Partners
alone and with interacting dimensions. The last two are of next contexts' heads: own values and action.
They are small, since where cold fits start predicts next contexts well already: noise that outweighs what
is left to learn would make a release worse than predicting no change. ``outcomes.MOTION_WEIGHT`` makes up
for what small features lose of the gradient.
Chosen on made-up products with a known truth, never on a product's own log."""

KINDS = tuple(ActionKind)


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
        described: (A, F) public features of each action, through which interactions go; the identity
            where the loop declares none.
        each: every wide head has interactions of its own.
        descriptors: Z, how many numbers describe a pairing's partners; 0: they are not seen.
        meeting: descriptors interact with the interacting dimensions, for all wide heads alike.
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
    described: Float
    each: bool = True
    descriptors: int = 0
    meeting: bool = False

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
    def declared(self) -> bool:
        """Whether the loop says what actions are like."""
        return not np.array_equal(self.described, np.eye(self.actions))

    @property
    def wide_blocks(self) -> dict[str, slice]:
        """Columns of the wide features: actions (A), declared features (F), repetition, partners (Z),
        interactions of each head's own (F k', feature by feature), context of its own (g')."""
        described = self.described.shape[1]
        return _blocks(
            action=self.actions,
            level=described * self.declared,
            repetition=self.history is not None,
            partner=self.descriptors,
            crossed=described * len(self.interacting) * self.each,
            own=len(self.own),
        )

    @property
    def shared_blocks(self) -> dict[str, slice]:
        """Columns of the shared features: 1, context (g), interactions by declared feature (F k'), by
        action (A k'), by descriptor (Z k')."""
        inner = len(self.interacting)
        return _blocks(
            one=1,
            context=len(self.context),
            alike=self.described.shape[1] * inner * self.declared,
            apart=self.actions * inner * self.declared,
            met=self.descriptors * inner * self.meeting,
        )

    @property
    def width(self) -> int:
        """W, what ``wide_blocks`` add up to."""
        return int(self.wide_blocks["own"].stop)

    @property
    def shared_width(self) -> int:
        """G, what ``shared_blocks`` add up to."""
        return int(self.shared_blocks["met"].stop)

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
        """(S + 1) W + G + (M + 1) N + m D."""
        return (
            (self.signals + 1) * self.width
            + self.shared_width
            + (self.presences + 1) * self.narrow_width
            + len(self.moving) * self.motion_width
        )

    def same(self, other: FeatureMap) -> bool:
        """Whether weights of one fit the other and mean the same."""
        return all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name))
            if isinstance(getattr(self, field.name), np.ndarray)
            else getattr(self, field.name) == getattr(other, field.name)
            for field in fields(self)
        )

    def of(
        self,
        context: Float32,
        action: Int,
        resting: Float32 | None = None,
        slate: Float32 | None = None,
    ) -> Features:
        """Features of n contexts (n, d) and actions (n,) of people who rest at ``resting`` (n, d).

        Without ``resting`` everyone is where they rest; ``slate`` (n, Z) are the mean descriptors of
        whom a pairing suggests, average people without it, and nothing to other actions.

        Raises:
            ShouldFixArgument: the contexts or slates have another width.
        """
        if context.ndim != 2 or context.shape[1] != self.context.shape[1]:
            raise ShouldFixArgument(
                f"A context of shape {context.shape} is not (n, {self.context.shape[1]}).",
                "Encode it with the encoder that the user model was fitted with.",
            )
        if (
            slate is not None
            and self.descriptors
            and slate.shape != (len(context), self.descriptors)
        ):
            raise ShouldFixArgument(
                f"A slate of shape {slate.shape} is not ({len(context)}, {self.descriptors}).",
                "Describe every partner by the loop's candidates.descriptors and take their mean.",
            )
        rests = context if resting is None else resting
        whole = context.astype(np.float64)
        again, met = self._repetition(whole, action), self._partners(len(whole), action, slate)
        crossed = _products(self.described[action], whole @ self.interacting.T)
        return Features(
            wide=self._wide(whole, action, again, met, crossed),
            shared=self._shared(whole, action, met, crossed),
            narrow=np.concatenate([self._group(action) * NARROW_SCALE, again], axis=1),
            motion=self._motion(whole, rests.astype(np.float64), action),
        )

    def _wide(self, whole: Float, action: Int, again: Float, met: Float, crossed: Float) -> Float:
        blocks = self.wide_blocks
        wide = np.zeros((len(whole), self.width))
        wide[np.arange(len(whole)), action] = (
            DESCRIBED_ACTION_SCALE if self.declared else ACTION_SCALE
        )
        if self.declared:
            wide[:, blocks["level"]] = self.described[action] * LEVEL_SCALE
        wide[:, blocks["repetition"]] = again
        wide[:, blocks["partner"]] = met * PARTNER_SCALE
        if self.each:
            wide[:, blocks["crossed"]] = crossed * (
                EACH_SCALE if self.declared else INTERACTION_SCALE
            )
        wide[:, blocks["own"]] = whole @ self.own.T * CONTEXT_SCALE
        return wide

    def _shared(self, whole: Float, action: Int, met: Float, crossed: Float) -> Float:
        blocks, projected = self.shared_blocks, whole @ self.interacting.T
        shared = np.zeros((len(whole), self.shared_width))
        shared[:, 0] = INTERCEPT_SCALE
        shared[:, blocks["context"]] = whole @ self.context.T * CONTEXT_SCALE
        if self.declared:
            shared[:, blocks["alike"]] = crossed * ALIKE_SCALE
            alone = _products(np.eye(self.actions)[action], projected)
            shared[:, blocks["apart"]] = alone * APART_SCALE
        if self.meeting:
            shared[:, blocks["met"]] = _products(met, projected) * MET_SCALE
        return shared

    def _partners(self, n: int, action: Int, slate: Float32 | None) -> Float:
        """(n, Z) mean descriptors of a pairing's partners; 0 for other actions and average people."""
        if slate is None or not self.descriptors:
            return np.zeros((n, self.descriptors))
        pairing = self.kinds[action] == KINDS.index(ActionKind.SUGGEST_PAIRING)
        return np.where(pairing[:, None], slate.astype(np.float64), 0.0)

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


def _blocks(**sizes: int) -> dict[str, slice]:
    """Columns of blocks of the given sizes, one after another."""
    ends = np.cumsum([int(size) for size in sizes.values()]).tolist()
    return {
        name: slice(int(end) - int(size), int(end))
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def _products(left: Float, right: Float) -> Float:
    """(n, a b) all products of (n, a) and (n, b) numbers, those of the first left one first."""
    products = left[:, :, None] * right[:, None, :]
    return np.asarray(products.reshape(len(left), left.shape[1] * right.shape[1]))
