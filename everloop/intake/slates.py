"""Does what an action says of suggested people fit its loop?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from everloop.contracts.episodes import Json
from everloop.contracts.loop_spec import LoopSpec
from everloop.intake.conformity import Nonconformity

DESCRIPTORS = "descriptors"
_FIX = "Describe each suggested person by what the loop declares, or leave it out."


def slate_nonconformities(spec: LoopSpec, arguments: Mapping[str, Json]) -> Iterator[Nonconformity]:
    """How the descriptors of a pairing that the product picked do not fit; nothing when they fit.

    Nothing either where the loop declares no candidates or the arguments describe nobody: then models
    do not read them.
    """
    described = arguments.get(DESCRIPTORS)
    if spec.candidates is None or described is None:
        return
    place = f"action_arguments.{DESCRIPTORS}"
    if not isinstance(described, list | tuple):
        yield Nonconformity(place, described, "is not a list", _FIX)
        return
    for index, one in enumerate(described):
        try:
            spec.candidates.numbers(one)
        except ValueError as problem:
            yield Nonconformity(f"{place}[{index}]", one, f"does not fit: {problem}", _FIX)
