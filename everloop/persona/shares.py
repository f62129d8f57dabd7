"""What one person's feedback did to a trait of late: nobody moves a persona alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.contracts.voice_spec import TraitSpec
from everloop.persona.graph import graph_of

Earlier = Callable[[datetime], Iterable[tuple[bytes, bytes]]]
"""Contents before and after each revision that one person's feedback caused after a moment."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a person has used of their share of a trait.

    Attributes:
        asked: sum of the sizes of what they added to the rolling average.
        moved: sum of the sizes of the steps that the trait took with their feedback.
    """

    asked: float = 0.0
    moved: float = 0.0


def share_of(trait: TraitSpec, cycle: timedelta, now: datetime, earlier: Earlier) -> Share:
    """What a person did to a trait during the last ``cycle``.

    There and back, and what was undone since, count as well: nobody gets their share back by an undo.
    """
    asked = moved = 0.0
    for contents in earlier(now - cycle):
        before, after = (graph_of(each).trait(trait.name) for each in contents)
        if after is None or after == before:
            continue
        asked += abs(after.recent[-1])
        moved += abs(after.value - (trait.default if before is None else before.value))
    return Share(asked, moved)
