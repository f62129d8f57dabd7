"""Terms under which no trial could come to anything are refused, with the values that clash."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from everloop.contracts.rollout_spec import GuardrailSpec, RolloutSpec


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"ramp": (5.0, 50.0), "promote_from_percent": 100.0}, "above the ramp's last step 50"),
        ({"dwell_hours": (2000.0,), "max_days": 1}, "max_days=1 ends a trial before 6001 hours"),
        ({"holdout_percent": 0.0, "promote_from_percent": 100.0}, "nobody is left"),
        ({"ramp": (5.0, 5.0)}, "does not rise"),
        ({"dwell_hours": (1.0, 2.0)}, "2 entries for 5 ramp steps"),
        ({"guardrails": (GuardrailSpec(signal="a"), GuardrailSpec(signal="a"))}, "twice"),
    ],
)
def test_terms_that_clash_are_refused_with_their_values(terms: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RolloutSpec(**terms)


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"holdout_percent": 0.0},
        {"ramp": (100.0,), "promote_from_percent": 100.0},
        {"max_days": 4},
        {"ramp": (5.0, 50.0), "promote_from_percent": 50.0, "dwell_hours": (1.0, 2.0)},
    ],
)
def test_terms_that_a_winner_can_meet_are_taken(terms: dict[str, Any]) -> None:
    RolloutSpec(**terms)


def test_one_dwell_time_is_for_every_step() -> None:
    assert RolloutSpec().dwell(4) == 24.0
    own = RolloutSpec(ramp=(25.0, 100.0), dwell_hours=(1.0, 2.0))
    assert [own.dwell(0), own.dwell(1)] == [1.0, 2.0]
