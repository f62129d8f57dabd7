"""What may be said of groups of people, from a private release alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupPattern:
    """A cell of a 1-way or 2-way table that is large enough to be told.

    Attributes:
        fields: one or two traits.
        values: what the group has of each, in the specification's words and units.
        people: noisy number of people, weighted by the share of their episodes in the cell.
        deviation: standard deviation of its noise.
        share: of all people, in [0, 1].
    """

    fields: tuple[str, ...]
    values: tuple[str, ...]
    people: float
    deviation: float
    share: float
