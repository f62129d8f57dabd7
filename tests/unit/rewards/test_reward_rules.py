"""The reward definition against values computed by hand, one named case for each rule."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from everloop.rewards.table import write_rewards
from tests.made_datasets import Evidence, Row, write_dataset

DAY = 86_400
"""The companion's half-life: a signal that is one day late weighs half."""


def heard(signal_type: str, value: float, latency: int = 0, confidence: float = 1.0) -> Evidence:
    return Evidence(0, signal_type, value, latency, confidence)


@dataclass(frozen=True)
class Case:
    """Signals of one companion episode (weights .3 engagement, .4 resonance, .3 feedback)."""

    signals: tuple[Evidence, ...]
    reward: float | None
    outcome: str | None
    means: dict[str, float | None] = field(default_factory=dict)
    used: int | None = None
    closed: bool = True


CASES = {
    # The sum 0.3 * 0.5 + 0.4 * (2 * 0.75 - 1) + 0.3 * (2 * 1 - 1).
    "all types, on time, certain": Case(
        (heard("engagement", 0.5), heard("resonance", 0.75), heard("explicit_feedback", 1.0)),
        0.65,
        "success",
        {"engagement": 0.5, "resonance": 0.5, "explicit_feedback": 1.0},
        used=3,
    ),
    "two-sided zero is minus one": Case(
        (heard("resonance", 0.0),),
        # silence of engagement is 0: 0.4 * -1 / (0.4 + 0.3)
        -4 / 7,
        "failure",
        {"engagement": 0.0, "resonance": -1.0, "explicit_feedback": None},
    ),
    "one half-life late weighs half": Case(
        # The mean (1 * 1 + 0.5 * 0) / (1 + 0.5).
        (heard("engagement", 1.0), heard("engagement", 0.0, latency=DAY)),
        2 / 3,
        "success",
        {"engagement": 2 / 3},
        used=2,
    ),
    "two half-lives weigh a quarter": Case(
        (heard("engagement", 1.0, latency=2 * DAY), heard("engagement", 0.0)), 0.2, "success"
    ),
    "one signal keeps its value however late": Case(
        (heard("engagement", 0.8, latency=10 * DAY),), 0.8, "success"
    ),
    "confidence weighs": Case(
        # The mean (0.75 * 1 + 0.25 * 0) / (0.75 + 0.25).
        (heard("engagement", 1.0, confidence=0.75), heard("engagement", 0.0, confidence=0.25)),
        0.75,
        "success",
    ),
    "confidence and latency multiply": Case(
        # The mean (0.5 * 0.5 * 1 + 1 * 0) / (0.25 + 1).
        (heard("engagement", 1.0, latency=DAY, confidence=0.5), heard("engagement", 0.0)),
        0.2,
        "success",
    ),
    "closed silence that means zero counts": Case(
        (heard("explicit_feedback", 1.0),),
        0.5,  # (0.3 * 0 + 0.3 * 1) / 0.6
        "success",
        {"engagement": 0.0, "resonance": None, "explicit_feedback": 1.0},
    ),
    "open silence is unknown": Case(
        (heard("explicit_feedback", 1.0),),
        1.0,
        "success",
        {"engagement": None, "explicit_feedback": 1.0},
        closed=False,
    ),
    "closed and silent": Case(
        (), 0.0, "neutral", {"engagement": 0.0, "resonance": None, "explicit_feedback": None}, 0
    ),
    "open and silent": Case((), None, None, {"engagement": None}, used=0, closed=False),
    "no weight is no evidence": Case(
        (heard("resonance", 1.0, confidence=0.0),),
        0.0,
        "neutral",
        {"engagement": 0.0, "resonance": None},
        used=1,
    ),
    "a weightless signal breaks the silence": Case(
        (heard("engagement", 1.0, confidence=0.0),), None, None, {"engagement": None}, used=1
    ),
    "a weight that underflows is none": Case(
        (heard("engagement", 1.0, latency=2000 * DAY),), None, None, {"engagement": None}, used=1
    ),
    "success begins at its threshold": Case((heard("engagement", 0.2),), 0.2, "success"),
    "below success is neutral": Case((heard("engagement", 0.19),), 0.19, "neutral"),
    "above failure is neutral": Case((heard("resonance", 0.375),), -1 / 7, "neutral"),
    "below failure": Case((heard("resonance", 0.3),), -0.16 / 0.7, "failure"),
    "the worst": Case(
        (heard("engagement", 0.0), heard("resonance", 0.0), heard("explicit_feedback", 0.0)),
        -0.7,
        "failure",
    ),
    "the best": Case(
        (heard("engagement", 1.0), heard("resonance", 1.0), heard("explicit_feedback", 1.0)),
        1.0,
        "success",
    ),
}


@pytest.fixture(scope="module")
def companion() -> LoopSpec:
    return load("companion")


@pytest.mark.parametrize("name", CASES)
def test_rule_by_hand(name: str, companion: LoopSpec, tmp_path: Path) -> None:
    case = CASES[name]
    dataset = write_dataset(tmp_path / "d", [Row(0, closed=case.closed)], case.signals)
    (row,) = pq.read_table(write_rewards(companion, dataset, tmp_path / "r.parquet")).to_pylist()
    if case.reward is None:
        assert row["reward"] is None
    else:
        assert math.isclose(row["reward"], case.reward, rel_tol=0, abs_tol=1e-15)
    assert row["outcome"] == case.outcome
    assert row["closed"] is case.closed
    for signal, mean in case.means.items():
        assert row[f"mean_{signal}"] == (mean if mean is None else pytest.approx(mean, abs=1e-15))
    if case.used is not None:
        assert row["signals"] == case.used


def test_variance_is_of_the_mapped_values(companion: LoopSpec, tmp_path: Path) -> None:
    # mapped values 1, -1 and 0: sample variance 1
    signals = [heard("engagement", 1.0), heard("resonance", 0.0), heard("explicit_feedback", 0.5)]
    dataset = write_dataset(
        tmp_path / "d",
        [Row(0), Row(1)],
        [*signals, Evidence(1, "engagement", 1.0)],
    )
    rows = pq.read_table(write_rewards(companion, dataset, tmp_path / "r.parquet")).to_pylist()
    assert [row["variance"] for row in rows] == [pytest.approx(1.0), None]
