from __future__ import annotations

from typing import Any

import pytest

from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from everloop.trust.context import summarise

FIELDS = [
    {"name": "pulse", "kind": "number", "low": 40, "high": 180, "sensitivity": "health"},
    {"name": "steps", "kind": "number", "low": 0, "high": 100},
    {"name": "hour", "kind": "cycle", "period": 24},
    {"name": "city", "kind": "category", "choices": ["rome", "oslo"]},
    {"name": "taste", "kind": "vector", "width": 2, "low": -1, "high": 1},
    {"name": "recent", "kind": "history", "width": 4},
]


def _spec(*names: str) -> LoopSpec:
    return LoopSpec.model_validate(
        {
            "name": "walks",
            "version": 1,
            "context": [f for f in FIELDS if f["name"] in names],
            "actions": [
                {"id": "a", "kind": "no_action"},
                {"id": "b", "kind": "recommend_hive", "event_id": "b"},
            ],
            "signals": [{"name": "s", "weight": 1, "silence": "zero"}],
            "reward": {
                "attainable_low": 0,
                "attainable_high": 1,
                "half_life_seconds": 1,
                "closes_after_seconds": 1,
                "success_at": 0.5,
                "failure_at": -0.5,
            },
        }
    )


def test_the_most_unusual_fields_come_first() -> None:
    spec = _spec("steps", "hour", "city")
    usual = {"steps": 50, "hour": 12, "city": "rome"}
    contexts = [usual] * 9 + [{"steps": 95, "hour": 12, "city": "rome"}]
    found = summarise(spec, contexts)
    assert found[9].startswith("steps: 95 (higher than most)")
    assert found[0].count(";") == 2
    rare = [usual] * 9 + [{"steps": 50, "hour": 12, "city": "oslo"}]
    assert summarise(spec, rare)[9].startswith("city: oslo;")
    late = [usual] * 9 + [{"steps": 50, "hour": 0, "city": "rome"}]
    assert summarise(spec, late)[9].startswith("hour: 0 of 24")


def test_only_three_fields_are_named() -> None:
    context = {"steps": 1, "hour": 2, "city": "rome", "taste": [0.5, 0], "recent": [], "pulse": 70}
    assert summarise(_spec(*(f["name"] for f in FIELDS)), [context])[0].count(";") == 2


def test_a_health_value_is_neither_shown_nor_used() -> None:
    """The summary of everybody is the same whatever anybody's pulse is."""
    spec = _spec("pulse", "steps")
    rows = [{"pulse": 60 + i, "steps": 5 * i} for i in range(20)]
    wild = [{"pulse": 179 if i in (0, 10) else 41, "steps": 5 * i} for i in range(20)]
    assert summarise(spec, rows) == summarise(spec, wild)
    # both orders occur, so a score that read the pulse would show
    assert {text.startswith("pulse") for text in summarise(spec, rows)} == {True, False}
    assert all("pulse: recorded (health, not shown)" in text for text in summarise(spec, rows))
    assert "179" not in " ".join(summarise(spec, wild))


def test_the_companions_health_fields_never_appear_with_numbers() -> None:
    spec = load("companion")
    context = {
        "emotion": [0.77] * 128,
        "heart_rate": 133.0,
        "pulse_variability": 44.0,
        "hour": 3,
        "age_group": "over_64",
    }
    found = summarise(spec, [context])[0]
    for secret in ("0.77", "133", "44"):
        assert secret not in found


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("steps", 42, "steps: 42 (as usual)"),
        ("hour", 23, "hour: 23 of 24"),
        ("city", "oslo", "city: oslo"),
        ("taste", [0.5, -0.5], "taste: 2 numbers, 0% of its range from usual"),
        (
            "recent",
            [{"action": "a", "reward": 0.5}, {"action": "b", "reward": None}],
            "recent: 2 earlier decisions, 1 with a known reward",
        ),
    ],
)
def test_each_kind_in_words(name: str, value: Any, says: str) -> None:
    assert summarise(_spec(name), [{name: value}]) == [says]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", None),
        ("steps", float("nan")),
        ("steps", True),
        ("steps", "many"),
        ("hour", None),
        ("city", 7),
        ("taste", [0.5]),
        ("taste", None),
        ("recent", None),
        ("pulse", None),
    ],
)
def test_what_was_not_recorded_is_not_named(name: str, value: Any) -> None:
    assert summarise(_spec(name), [{name: value}]) == [""]


def test_lower_than_most_and_no_context() -> None:
    contexts = [{"steps": 50 + i} for i in range(10)] + [{"steps": 1}]
    assert summarise(_spec("steps"), contexts)[10] == "steps: 1 (lower than most)"
    assert summarise(_spec("steps"), []) == []
