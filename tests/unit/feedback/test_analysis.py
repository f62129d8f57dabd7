"""Aggregates of feedback, against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.feedback import (
    AIInterpretation,
    FeedbackInstance,
    FeedbackSource,
    FeedbackStatus,
    FeedbackType,
)
from everloop.feedback.analysis import Selection, analyse
from tests.feedback_records import feedback
from tests.log_records import ANN, BEN

CAT = "c" * 64


def said(number: int, user: str, goodness: float | None, **changes: Any) -> FeedbackInstance:
    told = (AIInterpretation("rating", value=goodness),)
    return feedback(number, user_id=user, **({"interpretations": told} | changes))


def test_nothing_said() -> None:
    report = analyse(())
    assert report.total == 0
    assert report.value.mean is None
    assert report.clamped_share is None
    assert report.quarantined_share is None
    assert report.by_type == {}
    assert report.trait_adjustments == {}


def test_the_mean_and_its_interval_over_people() -> None:
    # Ann 1, 0; Ben -1; Cat 0.5: mean 0.125, residuals 0.75, -1.125, 0.375.
    rows = (said(1, ANN, 1.0), said(2, ANN, 0.0), said(3, BEN, -1.0), said(4, CAT, 0.5))
    found = analyse(rows).value
    assert found.mean == pytest.approx(0.125)
    assert (found.n, found.people) == (4, 3)
    error = math.sqrt(3 / 2 * (0.75**2 + 1.125**2 + 0.375**2)) / 4
    assert found.low == pytest.approx(0.125 - 1.959964 * error, abs=1e-6)
    assert found.high == pytest.approx(0.125 + 1.959964 * error, abs=1e-6)
    assert found.low == pytest.approx(-0.717, abs=1e-3)


def test_one_person_gives_no_interval() -> None:
    found = analyse((said(1, ANN, 1.0), said(2, ANN, 0.0))).value
    assert (found.mean, found.low, found.high, found.people) == (0.5, None, None, 1)


def test_the_interval_stays_within_range() -> None:
    found = analyse((said(1, ANN, 1.0), said(2, BEN, -1.0))).value
    assert (found.mean, found.low, found.high) == (0.0, -1.0, 1.0)


def test_traits_are_summed_by_weight_confidence_and_quality() -> None:
    formal = (AIInterpretation("too_formal", "formality", -0.2, -0.5),)
    casual = (
        AIInterpretation("too_casual", "formality", 0.2, -0.5),
        AIInterpretation("rude", "warmth", 0.1, -0.4),
    )
    rows = (
        feedback(1, interpretations=formal, weight=0.6, confidence=1.0, quality=0.5),
        feedback(2, interpretations=formal, weight=1.0, confidence=0.5, quality=1.0),
        feedback(3, interpretations=casual, weight=0.6, confidence=0.5, quality=1.0),
        feedback(4, interpretations=formal, status=FeedbackStatus.QUARANTINED),
        feedback(5, interpretations=formal, status=FeedbackStatus.REJECTED),
    )
    report = analyse(rows)
    assert report.trait_adjustments == pytest.approx(
        {"formality": -0.2 * 0.3 - 0.2 * 0.5 + 0.2 * 0.3, "warmth": 0.1 * 0.3}
    )
    assert report.by_intent == {"too_formal": 2, "rude": 1, "too_casual": 1}
    assert report.value.n == 3
    assert report.value.mean == pytest.approx((-0.5 - 0.5 - 0.45) / 3)
    assert report.quarantined_share == pytest.approx(0.2)


def test_counts_and_shares() -> None:
    rows = (
        feedback(1, persona="coach", clamped=True),
        feedback(2, persona="friend", agent_id="writer", task_type="mail", model_version="v2"),
        feedback(
            3,
            feedback_type=FeedbackType.CLICK,
            source=FeedbackSource.IMPLICIT,
            raw_value=1,
            value=1.0,
            status=FeedbackStatus.RELEASED,
        ),
        feedback(4, status=FeedbackStatus.QUARANTINED),
    )
    report = analyse(rows)
    assert report.total == 4
    assert report.by_type == {"thumb": 3, "click": 1}
    assert report.by_source == {"rating": 3, "implicit": 1}
    assert report.by_status == {"accepted": 2, "quarantined": 1, "released": 1}
    assert report.by_persona == {"friend": 3, "coach": 1}
    assert report.by_agent == {"agent": 3, "writer": 1}
    assert report.by_task_type == {"chat": 3, "mail": 1}
    assert report.by_model_version == {"v1": 3, "v2": 1}
    assert report.clamped_share == 0.25
    assert report.quarantined_share == 0.25


@pytest.mark.parametrize(
    ("selection", "total"),
    [
        (Selection(), 3),
        (Selection(persona="coach"), 1),
        (Selection(persona="coach", agent_id="writer"), 0),
        (Selection(agent_id="writer"), 1),
        (Selection(task_type="mail"), 1),
        (Selection(model_version="v2"), 1),
        (Selection(model_version="v3"), 0),
    ],
)
def test_a_selection(selection: Selection, total: int) -> None:
    rows = (
        feedback(1, persona="coach"),
        feedback(2, agent_id="writer", task_type="mail"),
        feedback(3, model_version="v2"),
    )
    assert analyse(rows, selection).total == total


def test_values_are_also_told_per_type() -> None:
    rows = (
        said(1, ANN, 1.0),
        said(2, BEN, 0.0, feedback_type=FeedbackType.RATING, raw_value=3, value=3.0),
        said(3, BEN, None, feedback_type=FeedbackType.RATING, raw_value=3, value=3.0),
    )
    report = analyse(rows)
    assert {name: (v.mean, v.n) for name, v in report.value_by_type.items()} == {
        "rating": (0.0, 1),
        "thumb": (1.0, 1),
    }


def test_the_commonest_intents_are_told() -> None:
    rows = [
        feedback(n, interpretations=(AIInterpretation(f"intent {n % 30:02d}"),)) for n in range(45)
    ]
    found = analyse(rows).by_intent
    assert len(found) == 20
    assert list(found)[:2] == ["intent 00", "intent 01"]
    assert set(list(found.values())[:15]) == {2}


@given(
    st.lists(
        st.tuples(st.sampled_from([ANN, BEN, CAT]), st.floats(min_value=-1, max_value=1)),
        min_size=1,
        max_size=30,
    )
)
def test_the_stream_gives_what_numpy_gives(rows: Sequence[tuple[str, float]]) -> None:
    found = analyse(said(n, user, value) for n, (user, value) in enumerate(rows)).value
    values = np.array([value for _, value in rows])
    people = np.array([user for user, _ in rows])
    names = np.unique(people)
    mean = float(values.mean())
    assert found.mean == pytest.approx(mean, abs=1e-12)
    assert (found.n, found.people) == (len(rows), len(names))
    if len(names) < 2:
        assert found.low is None
        return
    sums = np.array([np.sum((values - mean)[people == name]) for name in names])
    count = len(names)
    half = 1.959963984540054 * math.sqrt(count / (count - 1) * float(np.sum(sums**2))) / len(rows)
    assert found.low == pytest.approx(max(-1.0, mean - half), abs=1e-9)
    assert found.high == pytest.approx(min(1.0, mean + half), abs=1e-9)
