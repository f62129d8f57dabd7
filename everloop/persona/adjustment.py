"""How what people say of a trait moves it: at once, damped by a rolling average, capped per cycle and
person."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.personas import PersonaGraph, TraitValue
from everloop.contracts.voice_spec import AdjustmentSpec, VoiceSpec
from everloop.persona.shares import Share

_NOTHING = 1e-9
"""Less is what rounding leaves of a share that is used up."""


def adjusted(
    graph: PersonaGraph,
    spec: VoiceSpec,
    trait: str,
    adjustment: float,
    weight: float,
    now: datetime,
    share: Share | None = None,
) -> PersonaGraph:
    """The graph after one adjustment of one trait.

    With a_1..a_k the last ``window`` adjustments, each times its weight, this one included, the trait is to
    move by rate x (a_1 + ... + a_k) / k. What it moved by since its cycle began stays within [-cap, cap],
    and the trait within [-1, 1]. A cycle begins with the first adjustment that comes ``cycle_hours`` or
    later after the last one's beginning; a clock that steps back begins none.

    Where a person asked, the steps that the trait takes with their feedback are together no longer than s =
    person_share x cap during any ``cycle_hours``, and what they add to the average no more than s / rate,
    so that it does not go on with other people's feedback either. Within any ``person_days``, those steps
    carry the trait, there and back, by no more than r = person_reach x cap to either side, and lean the
    average by no more than r / rate. Of an ask that is more, what fits counts; where nothing does, the
    trait stays as it is.

    Args:
        trait: a trait of the voice.
        adjustment: in [-1, 1].
        weight: how far it is to be believed, in (0, 1].
        now: with a time zone.
        share: what who asked has used of theirs; None: an operator, who has the whole cap.

    Raises:
        ShouldNameKnownId: the voice has no such trait.
        ShouldFixArgument: a value leaves its range.
    """
    declared = spec.trait(trait)
    if declared is None:
        known = ", ".join(each.name for each in spec.traits) or "none"
        raise ShouldNameKnownId(
            f"Persona {spec.persona!r} has no trait {trait!r}.", f"It has: {known}."
        )
    if not (math.isfinite(adjustment) and -1.0 <= adjustment <= 1.0):
        raise ShouldFixArgument(f"adjustment={adjustment!r} leaves [-1, 1].", "Clamp it.")
    if not (math.isfinite(weight) and 0.0 < weight <= 1.0):
        raise ShouldFixArgument(f"weight={weight!r} leaves (0, 1].", "Give how far to believe it.")
    if now.tzinfo is None:
        raise ShouldFixArgument(f"now={now.isoformat()} has no time zone.", "Give it in UTC.")
    before = graph.trait(trait)
    if before is None:
        before = TraitValue(trait, float(declared.default))
        graph = replace(graph, traits=(*graph.traits, before))
    after = _moved(before, spec.adjustment, adjustment * weight, now.astimezone(UTC), share)
    return replace(graph, traits=tuple(after if t.name == trait else t for t in graph.traits))


def _moved(
    trait: TraitValue, terms: AdjustmentSpec, asked: float, now: datetime, share: Share | None
) -> TraitValue:
    most, reach = terms.person_share * terms.cap, terms.person_reach * terms.cap
    if share is not None:
        asked = _within(asked, max(0.0, most / terms.rate - share.asked))
        asked = _reaching(asked, share.leaned, reach / terms.rate)
        if abs(asked) < _NOTHING:
            return trait
    recent = (*trait.recent, asked)[-terms.window :]
    begins = _begins(trait, terms, now)
    moved = 0.0 if begins else trait.moved
    step = terms.rate * math.fsum(recent) / len(recent)
    if share is not None:
        step = _within(step, max(0.0, most - share.moved))
        step = _reaching(step, share.carried, reach)
    wanted = trait.value + _within(moved + step, terms.cap) - moved
    value = _within(wanted, 1.0)
    return TraitValue(
        name=trait.name,
        value=value,
        recent=recent,
        moved=_within(moved + value - trait.value, terms.cap),
        cycle_began=now.isoformat() if begins else trait.cycle_began,
    )


def _begins(trait: TraitValue, terms: AdjustmentSpec, now: datetime) -> bool:
    if not trait.cycle_began:
        return True
    return now - datetime.fromisoformat(trait.cycle_began) >= timedelta(hours=terms.cycle_hours)


def _within(value: float, most: float) -> float:
    return max(-most, min(most, value))


def _reaching(value: float, used: float, reach: float) -> float:
    """As much of a value as leaves what was used within [-reach, reach], or brings it nearer to 0."""
    return max(min(0.0, -reach - used), min(max(0.0, reach - used), value))
