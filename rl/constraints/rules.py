"""``LoopSpec.constraints`` as masks: flags on the state and limits on the person, for n people at once."""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Bool, Float32, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from rl.constraints.flags import flag_of
from rl.constraints.limits import Limits, LimitUse
from rl.encoders.context import layout


class Constraints:
    """What a loop never does. Pure: the same arguments give the same masks.

    Constraints take actions away and never add one, and never take one that no limit covers and no flag
    names. Whoever learns or decides applies them to the actions that would be valid otherwise.

    Attributes:
        limits: how often a person may meet some kinds of action.
    """

    def __init__(self, spec: LoopSpec) -> None:
        own = layout(spec)
        self._loop, self._ids, self._width = spec.name, spec.action_ids, own.width
        self._flags = tuple(flag_of(spec, own, flag) for flag in spec.constraints.flags)
        self.limits = Limits(spec)
        self._remembers = len(self.limits) > 0

    @property
    def width(self) -> int:
        """d, dimensions of the contexts."""
        return self._width

    @property
    def actions(self) -> int:
        """A, size of the catalogue."""
        return len(self._ids)

    @property
    def remembers(self) -> bool:
        """Whether what a person met before matters."""
        return self._remembers

    @property
    def any(self) -> bool:
        """Whether the loop declares a constraint."""
        return bool(self._flags) or self._remembers

    def flagged(self, context: Float32) -> Bool:
        """(n, A) actions that the states of (n, d) encoded contexts exclude."""
        excluded = np.zeros((len(context), len(self._ids)), dtype=np.bool_)
        if len(context) == 1:
            for flag in self._flags:
                if flag.holds_in(context[0]):
                    excluded[0] |= flag.never
            return excluded
        for flag in self._flags:
            excluded |= flag.holds(context)[:, None] & flag.never
        return excluded

    def unflagged(self, valid: Bool, context: Float32) -> Bool:
        """(n, A) which of the valid actions (n, A) the states of (n, d) encoded contexts leave; a copy."""
        return valid & ~self.flagged(context) if self._flags else valid.copy()

    def allowed(
        self,
        valid: Bool,
        context: Float32,
        use: LimitUse | None = None,
        now: Int | None = None,
    ) -> Bool:
        """(n, A) which of the valid actions are left; maybe none.

        Args:
            valid: (n, A) what would be valid otherwise.
            context: (n, d) encoded states.
            use: how far each person used up the limits; ``None``: not at all known, and every action that
                a limit covers is taken away.
            now: (n,) microseconds UTC, with ``use``.
        """
        left = self.unflagged(valid, context)
        if self._remembers:
            if use is None or now is None:
                left &= ~self.limits.limited
            else:
                left &= ~self.limits.exhausted(use, now)
        return left

    def nothing_left(self, who: str, valid: Bool) -> ShouldFixArgument:
        """The error for a state without any action; ``valid`` (A,) is what was valid before."""
        names = ", ".join(name for name, kept in zip(self._ids, valid, strict=True) if kept)
        return ShouldFixArgument(
            f"{who} has no valid action: the constraints of loop {self._loop!r} take away all of {names}.",
            "Keep an action valid that no limit covers and no flag names, such as no_action.",
        )


_RULES: dict[str, Constraints] = {}


def constraints_of(spec: LoopSpec) -> Constraints:
    """The constraints of a specification; built once per process."""
    known = _RULES.get(spec.checksum)
    return known if known is not None else _RULES.setdefault(spec.checksum, Constraints(spec))
