"""What a loop may never do: limits per person, cool-downs, and actions that flagged states exclude.

Declared by the product, never learned. Training and serving turn them into the same action masks
(``rl.constraints``).
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from everloop.contracts.actions import ActionKind


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LimitSpec(_Value):
    """How often a person may meet actions of some kinds, counted together.

    ``per_day``: most decisions of these kinds in a UTC day. ``cooldown_hours``: least time from one such
    decision to the next. At least one of them is given.
    """

    kinds: Annotated[tuple[ActionKind, ...], Field(min_length=1)]
    per_day: Annotated[int, Field(ge=0)] | None = None
    cooldown_hours: Annotated[float, Field(gt=0, le=24 * 365)] | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.per_day is None and self.cooldown_hours is None:
            raise ValueError("a limit needs per_day or cooldown_hours")
        if ActionKind.NO_ACTION in self.kinds:
            raise ValueError("no_action cannot be limited: it is what is left")
        return self


class FlagSpec(_Value):
    """A state in which some actions are never taken.

    The state is flagged where the context field ``field`` is a number ``at_least`` or ``at_most`` these
    bounds, or a category that is one of ``choices``. A missing field is flagged unless ``when_missing``
    says that it is not.
    """

    field: str
    never: Annotated[tuple[str, ...], Field(min_length=1)]
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()
    when_missing: bool = True

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        numeric = self.at_least is not None or self.at_most is not None
        if numeric == bool(self.choices):
            raise ValueError("a flag needs at_least or at_most (a number), or choices (a category)")
        return self


class ConstraintSpec(_Value):
    """Masks that no policy can pass, whatever it learned."""

    limits: tuple[LimitSpec, ...] = ()
    flags: tuple[FlagSpec, ...] = ()
