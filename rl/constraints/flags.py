"""Never-actions of flagged states, read from encoded contexts.

A number is encoded by x = 2 (v - low) / (high - low) - 1 in float64, clipped and rounded to float32. Each
of these steps keeps order, so comparing x with a bound that went through the same formula finds every
value at the bound or beyond it. Values short of the bound by less than the float32 resolution of x, at
most 2^-24 (high - low), are flagged as well: at the bound the rule fails closed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.constraint_spec import FlagSpec
from everloop.contracts.datasets import Bool, EncodedBlock, EncodingLayout, Float32, Int
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec


@dataclass(frozen=True, slots=True, eq=False)
class Flag:
    """One flagged state of a loop, over the dimensions of its encoded contexts.

    Attributes:
        never: (A,) actions that are not taken in it.
        values: dimension of the number, or dimensions of the flagging choices.
        missing: dimension of the field's missing indicator.
        when_missing: whether an absent field is flagged.
        at_least, at_most: encoded bounds of a number, float32 values; infinite where there is none.
        numeric: False for a category.
    """

    never: Bool
    values: Int
    missing: int
    when_missing: bool
    at_least: float
    at_most: float
    numeric: bool

    def holds(self, context: Float32) -> Bool:
        """(n,) whether each of (n, d) contexts is in the state; NaN is."""
        values = context[:, self.values]
        if self.numeric:
            number = values[:, 0]
            hit: Bool = ~((number < self.at_least) & (number > self.at_most))
        else:
            hit = np.asarray((~(values < 0.5)).any(axis=1))
        missing = context[:, self.missing] >= 0.5
        return np.where(missing, self.when_missing, hit)

    def holds_in(self, state: Float32) -> bool:
        """As ``holds``, for one context (d,): a service decides for one person at a time, and calls of
        numpy cost a multiple of what they compute there."""
        if state.item(self.missing) >= 0.5:
            return self.when_missing
        if self.numeric:
            number = state.item(self.values.item(0))
            return not self.at_most < number < self.at_least
        return any(not state.item(place) < 0.5 for place in self.values.tolist())


def flag_of(spec: LoopSpec, layout: EncodingLayout, declared: FlagSpec) -> Flag:
    """A declared flag over the encoded contexts of its loop."""
    field = spec.field(declared.field)
    own = [block for block in layout.blocks if block.field == declared.field]
    value, missing = own[0], own[1]
    never = np.zeros(len(spec.actions), dtype=np.bool_)
    never[[spec.action_index[action] for action in declared.never]] = True
    never.flags.writeable = False
    return Flag(
        never=never,
        values=_dimensions(field, value, declared),
        missing=missing.start,
        when_missing=declared.when_missing,
        at_least=np.inf if declared.at_least is None else _encoded(field, declared.at_least),
        at_most=-np.inf if declared.at_most is None else _encoded(field, declared.at_most),
        numeric=field.kind is FieldKind.NUMBER,
    )


def _dimensions(field: ContextField, block: EncodedBlock, declared: FlagSpec) -> Int:
    if field.kind is FieldKind.NUMBER:
        return np.array([block.start], dtype=np.int64)
    places = [block.start + field.choices.index(choice) for choice in declared.choices]
    return np.array(places, dtype=np.int64)


def _encoded(field: ContextField, bound: float) -> float:
    """The bound by the formula of the number encoder; not clipped, so that none moves into the range."""
    return float(np.float32((bound - field.low) / (field.high - field.low) * 2.0 - 1.0))
