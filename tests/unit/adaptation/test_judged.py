"""A training that too few people could judge isn't begun."""

from __future__ import annotations

from everloop.adaptation.judged import where_judged
from everloop.adaptation.strategy import choose
from everloop.contracts.voice_spec import VoiceThresholds
from everloop.contracts.voices import SignalVolume, Strategy
from tests.voice_instances import voice

ENOUGH = SignalVolume(
    trait_signals=1,
    praised=5,
    corrections=40.0,
    own_texts=0.0,
    pairs=40.0,
    thumbs_up=0.0,
    thumbs_down=0.0,
    corpus_rows=0,
    people=20,
)
SPEC = voice().model_copy(update={"thresholds": VoiceThresholds(min_held_out_people=10)})


def test_with_enough_people_who_judge_nothing_changes() -> None:
    choice = choose(SPEC, ENOUGH)
    assert {Strategy.SFT, Strategy.PREFERENCE_PAIRS} <= set(choice.chosen)
    assert where_judged(SPEC, choice, 10) == choice


def test_with_too_few_nothing_trains_and_both_reasons_are_told() -> None:
    choice = choose(SPEC, ENOUGH)
    found = where_judged(SPEC, choice, 9)
    assert set(found.chosen) == set(choice.chosen) - {Strategy.SFT, Strategy.PREFERENCE_PAIRS}
    assert set(found.reasons) == {way.value for way in found.chosen}
    assert found.skipped["sft"].startswith("Held-out people with something to judge on: 9, of at")
    assert choice.reasons["sft"] in found.skipped["sft"]
    assert found.skipped["full_retraining"] == choice.skipped["full_retraining"]


def test_what_trains_nothing_needs_no_judges() -> None:
    choice = choose(SPEC, SignalVolume(1, 5, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 2))
    assert where_judged(SPEC, choice, 0) == choice
