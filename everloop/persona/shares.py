"""What one person's feedback did to a trait of late: nobody moves a persona alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.contracts.personas import PersonaGraph, TraitValue
from everloop.contracts.voice_spec import AdjustmentSpec, TraitSpec
from everloop.persona.graph import graph_of

Earlier = Callable[[datetime], Iterable[tuple[bytes, bytes]]]
"""Contents before and after each revision that one person's feedback caused after a moment."""
Changes = tuple[tuple[PersonaGraph, PersonaGraph], ...]


@dataclass(frozen=True, slots=True)
class Share:
    """What a person has used of their share of a trait.

    Attributes:
        asked: sum of the sizes of what they added to the rolling average within a cycle.
        moved: sum of the sizes of the steps that the trait took with their feedback within a cycle.
        leaned: sum of what they added to the average within ``person_days``, there and back.
        carried: sum of the steps that the trait took with their feedback within ``person_days``, there and
            back.
    """

    asked: float = 0.0
    moved: float = 0.0
    leaned: float = 0.0
    carried: float = 0.0


@dataclass(frozen=True, slots=True)
class Used:
    """What a person's feedback changed within a cycle, and within ``person_days``."""

    cycle: Changes
    lately: Changes

    def of(self, trait: TraitSpec) -> Share:
        """Their share of one trait.

        What was undone since counts as well: nobody gets their share back by an undo. Within a cycle there
        and back counts twice.
        """
        cycle, lately = _steps(trait, self.cycle), _steps(trait, self.lately)
        return Share(
            asked=sum(abs(asked) for asked, _ in cycle),
            moved=sum(abs(step) for _, step in cycle),
            leaned=sum(asked for asked, _ in lately),
            carried=sum(step for _, step in lately),
        )


def used(terms: AdjustmentSpec, now: datetime, earlier: Earlier) -> Used:
    """What a person's feedback changed of late, read once for all traits."""
    known: dict[bytes, PersonaGraph] = {}

    def read(content: bytes) -> PersonaGraph:
        if content not in known:
            known[content] = graph_of(content)
        return known[content]

    def since(span: timedelta) -> Changes:
        return tuple((read(before), read(after)) for before, after in earlier(now - span))

    return Used(since(timedelta(hours=terms.cycle_hours)), since(timedelta(days=terms.person_days)))


def _steps(trait: TraitSpec, changes: Changes) -> list[tuple[float, float]]:
    """What each change added to the trait's average, and its step."""
    found: list[tuple[float, float]] = []
    for before, after in changes:
        old, new = before.trait(trait.name), after.trait(trait.name)
        if new is not None and new != old:
            found.append((new.recent[-1], new.value - _value(trait, old)))
    return found


def _value(trait: TraitSpec, known: TraitValue | None) -> float:
    return trait.default if known is None else known.value
