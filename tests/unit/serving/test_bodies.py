"""Numbers in request bodies: true and false are none."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from everloop.serving.api.models import DeployBody
from everloop.serving.bodies import Number, RewardBody, Whole
from everloop.serving.feedback_bodies import PersonId
from everloop.serving.interaction_bodies import Count

REWARD = {"signal_id": "a" * 32, "episode_id": "b" * 32, "signal_type": "thumb", "value": 1.0}


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("kind", [Whole, Number, Count, PersonId])
def test_no_number_is_true_or_false(kind: Any, given: bool) -> None:
    with pytest.raises(ValidationError, match="is true or false, not a number"):
        TypeAdapter(kind).validate_python(given)


def test_bodies_refuse_it_by_the_field() -> None:
    assert RewardBody.model_validate(REWARD | {"latency": 1}).latency == 1
    with pytest.raises(ValidationError, match="latency"):
        RewardBody.model_validate(REWARD | {"latency": True})
    with pytest.raises(ValidationError, match="expected_generation"):
        DeployBody.model_validate({"reason": "better", "expected_generation": True})


def test_whole_numbers_stay_as_they_were() -> None:
    assert TypeAdapter(Whole).validate_json("5.0") == 5
    assert TypeAdapter(Whole).json_schema() == {"type": "integer"}
    assert TypeAdapter(Number).json_schema() == {"type": "number"}
