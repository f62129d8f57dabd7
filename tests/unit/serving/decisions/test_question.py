"""Questions are checked like episodes, and every refusal names the value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.serving.decisions.question import Catalogue, Question, states_of
from rl.encoders import encode_context
from tests.unit.serving.decisions.conftest import loop, question

SPEC = loop()
CATALOGUE = Catalogue(SPEC)


def test_states_are_the_encoders_and_masks_the_questions() -> None:
    contexts = [{"x": 0.25, "group": "b"}, {"x": -1, "group": "a"}]
    asked = [question(SPEC, context=contexts[0], valid=("cheer", "wait"))]
    asked.append(question(SPEC, context=contexts[1]))
    states = states_of(CATALOGUE, asked, str)
    np.testing.assert_array_equal(states.context, encode_context(SPEC, contexts))
    assert states.mask.tolist() == [[True, False, False, True, False], [True] * 5]
    assert CATALOGUE.ids(states.mask[0]) == ("wait", "cheer")


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ({"group": "a"}, r"context\.x=None is missing"),
        ({"x": 2.0, "group": "a"}, r"context\.x=2\.0 is outside the public bounds \[-1, 1\]"),
        ({"x": math.nan, "group": "a"}, r"context\.x=nan is not a finite number"),
        ({"x": 0.0, "group": "c"}, r"context\.group='c' is not one of the field's choices"),
        ({"x": 0.0, "group": "a", "y": 1}, r"context\.y=1 is not a context field"),
    ],
)
def test_a_context_that_could_not_become_an_episode_is_refused(
    context: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=problem) as refused:
        states_of(CATALOGUE, [question(SPEC), question(SPEC, context=context)], "#{}: ".format)
    assert refused.value.message.startswith("#1: ")
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("valid", "problem"),
    [
        ((), r"valid_actions=\[\] leaves nothing"),
        (("wait", "walk", "wait"), "names 'wait' twice"),
        (("wait", "walc"), r"'walc', which is not in the catalogue of loop 'coach'"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(valid: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ShouldFixArgument, match=problem) as refused:
        states_of(CATALOGUE, [question(SPEC, valid=valid)], "here: {}".format)
    assert refused.value.message.startswith("here: 0")


def test_an_id_that_is_no_uuid_and_arguments_that_are_no_json_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="decision_id='7' is not a UUID"):
        Question("7", SPEC, "0" * 64, {}, "0" * 64)
    with pytest.raises(ShouldFixArgument, match="action_arguments is not finite JSON"):
        question(SPEC, action_arguments={"share": math.inf})


def test_ids_are_kept_in_one_form() -> None:
    asked = Question("6F0A8B9E6A575C0F9C1D2F6A3C1F7B52", SPEC, "0" * 64, {}, "0" * 64)
    assert asked.decision_id == "6f0a8b9e-6a57-5c0f-9c1d-2f6a3c1f7b52"
