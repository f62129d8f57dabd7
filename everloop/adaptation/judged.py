"""Whether a training is worth its time: nobody meets a voice that too few people can judge."""

from __future__ import annotations

from dataclasses import replace

from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import Strategy, StrategyChoice

TRAINS = frozenset(
    {
        Strategy.SFT,
        Strategy.PREFERENCE_PAIRS,
        Strategy.PREFERENCE_THUMBS,
        Strategy.FULL_RETRAINING,
    }
)
"""Ways of learning that change the adapter."""


def where_judged(spec: VoiceSpec, choice: StrategyChoice, people: int) -> StrategyChoice:
    """The choice without the ways that train, where fewer than ``thresholds.min_held_out_people`` gave
    something to judge on: no candidate of theirs could pass the gate.

    Args:
        people: held-out people with an example of what they wanted.
    """
    least = spec.thresholds.min_held_out_people
    kept = tuple(way for way in choice.chosen if way not in TRAINS)
    if people >= least or kept == choice.chosen:
        return choice
    held = (
        f"Held-out people with something to judge on: {people}, of at least {least} "
        "(voice.thresholds.min_held_out_people): no candidate could pass the gate."
    )
    left = {
        way.value: f"{held} Otherwise: {choice.reasons[way.value]}"
        for way in choice.chosen
        if way in TRAINS
    }
    return replace(
        choice,
        chosen=kept,
        reasons={way.value: choice.reasons[way.value] for way in kept},
        skipped={**choice.skipped, **left},
    )
