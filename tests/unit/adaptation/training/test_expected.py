"""The steps that are told beforehand are those that the training plans."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset

from everloop.adaptation.training import on_policy
from everloop.adaptation.training.curriculum import _plans
from everloop.adaptation.training.expected import ANSWERS, expected_steps
from everloop.adaptation.training.row_file import RowTable
from everloop.contracts.voice_spec import (
    FEEDBACK,
    LARGE_CORPUS,
    Category,
    CurriculumSpec,
    PreferenceMethod,
    PreferenceSpec,
    VoicePrivacySpec,
)
from everloop.contracts.voices import SignalVolume, Strategy, StrategyChoice
from everloop.loops import load
from everloop.loops.sections import voice_of
from tests.voice_examples import corrections
from tests.voice_instances import pair, thumb, voice

NOTHING = SignalVolume(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
SIZES = {Category.TECHNICAL: 90, Category.ANALYTICAL: 33, Category.CREATIVE: 70, Category.TOOL: 1}


def choice(*ways: Strategy) -> StrategyChoice:
    return StrategyChoice(ways, {way.value: "why" for way in ways}, {}, NOTHING)


@pytest.mark.parametrize("curriculum", [FEEDBACK, LARGE_CORPUS])
def test_supervised_steps_are_the_curriculums(curriculum: CurriculumSpec) -> None:
    spec = voice().model_copy(update={"curriculum": curriculum})
    rows = [row for category, count in SIZES.items() for row in corrections(count, category)]
    n = len(rows)
    table = RowTable(
        Dataset.from_dict({}),
        np.ones(n, np.int64),
        np.ones(n, np.int64),
        tuple(row.category for row in rows),
        np.zeros(n, np.bool_),
    )
    planned = sum(plan.steps for plan in _plans(spec, table, 1))
    assert expected_steps(spec, choice(Strategy.SFT), [*rows, pair(1)]) == planned > 6
    assert expected_steps(spec, choice(Strategy.FULL_RETRAINING), rows) == planned


def test_preferences_come_on_top() -> None:
    spec, rows = voice(PreferenceSpec(epochs=2.0)), [pair(n) for n in range(9)]
    ways = choice(Strategy.SFT, Strategy.PREFERENCE_PAIRS)
    assert expected_steps(spec, ways, [*rows, *corrections(16)]) == 2 + 3
    assert expected_steps(spec, choice(Strategy.PREFERENCE_THUMBS), [thumb(1, True)] * 4) == 1
    drawn = voice(PreferenceSpec(method=PreferenceMethod.RLOO))
    assert expected_steps(drawn, choice(Strategy.PREFERENCE_PAIRS), rows[:4]) == 4 * ANSWERS // 8
    assert ANSWERS == on_policy.ANSWERS


def test_a_private_training_takes_its_own_steps_and_none_takes_none() -> None:
    private = voice().model_copy(update={"privacy": VoicePrivacySpec(epsilon=4.0, steps=17)})
    assert expected_steps(private, choice(Strategy.SFT), corrections(3)) == 17
    assert expected_steps(private, choice(Strategy.EXEMPLARS), corrections(3)) == 0


def test_the_shipped_voice_takes_an_evening_at_most_however_much_was_said() -> None:
    spec = voice_of(load("companion"))
    most = spec.data.max_examples
    assert most is not None
    rows = [*corrections(most), *(pair(n) for n in range(most))]
    ways = choice(Strategy.SFT, Strategy.PREFERENCE_PAIRS)
    assert expected_steps(spec, ways, rows) == 40
