"""Does what an action says of suggested people fit its loop?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from everloop.contracts.actions import DESCRIPTORS, SLATE, SLATE_PROPENSITY
from everloop.contracts.episodes import Json
from everloop.contracts.loop_spec import LoopSpec
from everloop.intake.conformity import Nonconformity

_FIX = "Describe each suggested person by what the loop declares, or leave it out."


def slate_nonconformities(spec: LoopSpec, arguments: Mapping[str, Json]) -> Iterator[Nonconformity]:
    """How what a product says of a pairing that it picked does not fit; nothing when it fits.

    Nothing either where the loop declares no candidates: then nobody reads these arguments.
    """
    if spec.candidates is None:
        return
    if SLATE in arguments:
        yield Nonconformity(
            f"action_arguments.{SLATE}",
            arguments[SLATE],
            "is what the service writes of slates that it drew",
            "Leave it out, or confirm the decision by its id.",
        )
    share = arguments.get(SLATE_PROPENSITY)
    if share is not None and not (type(share) in (int, float) and 0 < share <= 1):
        yield Nonconformity(
            f"action_arguments.{SLATE_PROPENSITY}",
            share,
            "is outside (0, 1]",
            "Log the probability of these people in this order given the action, or leave it out.",
        )
    described = arguments.get(DESCRIPTORS)
    place = f"action_arguments.{DESCRIPTORS}"
    if described is None:
        return
    if not isinstance(described, list | tuple):
        yield Nonconformity(place, described, "is not a list", _FIX)
        return
    for index, one in enumerate(described):
        try:
            spec.candidates.numbers(one)
        except ValueError as problem:
            yield Nonconformity(f"{place}[{index}]", one, f"does not fit: {problem}", _FIX)
