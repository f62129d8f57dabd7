"""Which ways of learning a night is worth: from how much there is of what, with a reason for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from everloop.contracts.voice_spec import PreferenceMethod, VoiceSpec
from everloop.contracts.voices import SignalVolume, Strategy, StrategyChoice

_ON_POLICY = (PreferenceMethod.RLOO, PreferenceMethod.GRPO)
_PAIRED = (PreferenceMethod.AUTO, PreferenceMethod.DPO, *_ON_POLICY)
_ENOUGH_OF_A_KIND = 1.0
"""Effective thumbs that there must be of each kind."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """Whether a strategy is chosen, and why or why not."""

    strategy: Strategy
    is_chosen: bool
    reason: str


def choose(spec: VoiceSpec, volume: SignalVolume) -> StrategyChoice:
    """Every strategy that there is enough for, cheapest first; each of the others with what it lacks.

    Traits and exemplars need no training. Running the curriculum anew takes supervised tuning's place, and
    pairs that of thumbs where the method is ``auto``; the others go together.
    """
    answers = tuple(_answers(spec, volume))
    return StrategyChoice(
        chosen=tuple(each.strategy for each in answers if each.is_chosen),
        reasons={each.strategy.value: each.reason for each in answers if each.is_chosen},
        skipped={each.strategy.value: each.reason for each in answers if not each.is_chosen},
        volume=volume,
    )


def _answers(spec: VoiceSpec, volume: SignalVolume) -> Iterator[_Answer]:
    full, pairs = _full(spec, volume), _pairs(spec, volume)
    yield _traits(spec, volume)
    yield _exemplars(spec, volume)
    yield _sft(spec, volume, full.is_chosen)
    yield pairs
    yield _thumbs(spec, volume, pairs.is_chosen)
    yield full


def _traits(spec: VoiceSpec, volume: SignalVolume) -> _Answer:
    if not spec.traits:
        return _Answer(Strategy.TRAITS, False, "The voice has no traits.")
    if volume.trait_signals == 0:
        return _Answer(Strategy.TRAITS, False, "Nobody asked for a trait to move.")
    told = f"{volume.trait_signals} asked for a trait to move: each moved it when it came."
    return _Answer(Strategy.TRAITS, True, told)


def _exemplars(spec: VoiceSpec, volume: SignalVolume) -> _Answer:
    least = spec.strategy.exemplars_from
    if spec.exemplars == 0:
        return _Answer(Strategy.EXEMPLARS, False, "The prompt shows no exemplars (exemplars: 0).")
    told = f"{volume.praised} praised or corrected answers of at least {least}."
    return _Answer(Strategy.EXEMPLARS, volume.praised >= least, told)


def _sft(spec: VoiceSpec, volume: SignalVolume, anew: bool) -> _Answer:
    found, least = volume.corrections + volume.own_texts, spec.strategy.sft_from
    told = (
        f"{found:.1f} effective corrections ({volume.corrections:.1f}) and own texts "
        f"({volume.own_texts:.1f}) of at least {least}{_less(volume)}."
    )
    if anew:
        return _Answer(Strategy.SFT, False, f"The curriculum runs anew and learns them too: {told}")
    return _Answer(Strategy.SFT, found >= least, told)


def _pairs(spec: VoiceSpec, volume: SignalVolume) -> _Answer:
    method, least = spec.preference.method, spec.strategy.pairs_from
    if method not in _PAIRED:
        told = f"preference.method={method.value} learns from no pairs."
        return _Answer(Strategy.PREFERENCE_PAIRS, False, told)
    told = f"{volume.pairs:.1f} effective pairs of at least {least}{_less(volume)}."
    return _Answer(Strategy.PREFERENCE_PAIRS, volume.pairs >= least, told)


def _thumbs(spec: VoiceSpec, volume: SignalVolume, by_pairs: bool) -> _Answer:
    method, least = spec.preference.method, spec.strategy.thumbs_from
    strategy, up, down = Strategy.PREFERENCE_THUMBS, volume.thumbs_up, volume.thumbs_down
    if method not in (PreferenceMethod.AUTO, PreferenceMethod.KTO):
        told = f"preference.method={method.value} learns from no thumbs."
        return _Answer(strategy, False, told)
    if method is PreferenceMethod.AUTO and by_pairs:
        return _Answer(strategy, False, "There are enough pairs, which tell more than thumbs.")
    told = f"{up + down:.1f} effective thumbs ({up:.1f} up, {down:.1f} down) of at least {least}"
    if up + down < least:
        return _Answer(strategy, False, f"{told}{_less(volume)}.")
    if min(up, down) < _ENOUGH_OF_A_KIND:
        kind = "up" if up > down else "down"
        return _Answer(strategy, False, f"{told}, but all are {kind}: they tell nothing apart.")
    return _Answer(strategy, True, f"{told}, with both kinds among them.")


def _full(spec: VoiceSpec, volume: SignalVolume) -> _Answer:
    terms, strategy = spec.strategy, Strategy.FULL_RETRAINING
    if volume.forgets > 0:
        told = (
            f"The adapter learned {volume.forgets} examples of people erased since: it begins anew."
        )
        return _Answer(strategy, True, told)
    if volume.golden_drop is not None and volume.golden_drop >= terms.full_drop:
        told = (
            f"The golden set fell by {volume.golden_drop:.3f} nats a token since the first adapter, of at "
            f"most {terms.full_drop:g}."
        )
        return _Answer(strategy, True, told)
    examples = (
        volume.corrections
        + volume.own_texts
        + volume.thumbs_up
        + volume.thumbs_down
        + volume.corpus_rows
    )
    told = f"{examples:.0f} examples not yet learned from, of at least {terms.full_from}"
    if examples >= terms.full_from:
        return _Answer(strategy, True, f"{told}.")
    return _Answer(strategy, False, f"{told}; {_golden(volume, terms.full_drop)}.")


def _golden(volume: SignalVolume, most: float) -> str:
    if volume.golden_drop is None:
        return "the golden set's fall was not measured"
    return f"the golden set fell by {volume.golden_drop:.3f} nats a token, of at most {most:g}"


def _less(volume: SignalVolume) -> str:
    contradictory: Mapping[bool, str] = {
        True: "person who contradicts",
        False: "people who contradict",
    }
    n, unseen = volume.contradictory_people, volume.unseen
    told = f"; {n} {contradictory[n == 1]} themselves weigh less" if n else ""
    if unseen:
        told += (
            f"; of all ways of learning {unseen:,} rows more were not looked at (data.max_examples)"
        )
    return told
