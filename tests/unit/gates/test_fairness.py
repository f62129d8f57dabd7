from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from everloop.contracts.evaluation import Check, CheckStatus, Estimate, GroupValue
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.evidence import GateEvidence
from everloop.gates.fairness import FairnessCheck, Parity, alerts, parities, standard_error

PASSED, FAILED, INSUFFICIENT = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.INSUFFICIENT


def _with_error(name: str, value: float, error: float, people: int, n: int) -> GroupValue:
    half = error * float(stats.t.ppf(0.975, people - 1))
    e = Estimate("e", value, value - half, value + half, 0.95, n, people, "m")
    return GroupValue("age", name, people, e)


@pytest.fixture
def ask(spec: LoopSpec, evidence: GateEvidence) -> Any:
    def check(*groups: GroupValue) -> Check:
        assert evidence.evaluation is not None
        found = replace(evidence.evaluation, groups=groups)
        return FairnessCheck()(spec, replace(evidence, evaluation=found))

    return check


def test_z_by_hand() -> None:
    """Three groups; the rest of "a" is b and c by rows: (1 * .6 + 3 * .4) / 4 = .45."""
    a = _with_error("a", 0.4, 0.02, 100, 200)
    b = _with_error("b", 0.6, 0.04, 50, 100)
    c = _with_error("c", 0.4, 0.01, 80, 300)
    assert standard_error(a) == pytest.approx(0.02)
    first = parities((c, b, a), 0.9)[0]
    rest_error = math.sqrt((100 * 0.04) ** 2 + (300 * 0.01) ** 2) / 400
    assert first.group == "a"
    assert first.rest == pytest.approx(0.45)
    assert first.ratio == pytest.approx(0.4 / 0.45)
    z = (0.4 - 0.9 * 0.45) / math.sqrt(0.02**2 + 0.81 * rest_error**2)
    assert first.z == pytest.approx(z)


def test_groups_are_compared_within_their_attribute(make_group: Any) -> None:
    found = parities(
        (make_group("young", 0.5), make_group("x", 0.1, attribute="city"), make_group("old", 0.5)),
        0.9,
    )
    assert [(p.attribute, p.group) for p in found] == [("age", "old"), ("age", "young")]


def test_holm_steps_down_and_stops() -> None:
    """alpha = .05 over three: thresholds .0167, .025, .05; the second of these p-values is .03."""

    def parity(name: str, p: float) -> Parity:
        return Parity("age", name, 100, 0.1, 0.2, float(stats.norm.ppf(p)))

    three = (parity("mild", 0.04), parity("worst", 0.01), parity("middle", 0.03))
    assert [p.group for p in alerts(three, 0.05)] == ["worst"]
    worse = (parity("mild", 0.04), parity("worst", 0.01), parity("middle", 0.02))
    assert [p.group for p in alerts(worse, 0.05)] == ["worst", "middle", "mild"]
    assert alerts((parity("unknown", math.nan),), 0.05) == ()


def test_certified(ask: Any, make_group: Any) -> None:
    found = ask(make_group("young", 0.55), make_group("old", 0.54))
    assert found.status is PASSED
    assert found.value == pytest.approx(0.54 / 0.55)
    assert "certified" in found.reason


def test_alert_names_the_group_and_blocks(ask: Any, make_group: Any) -> None:
    found = ask(make_group("young", 0.55), make_group("old", 0.40))
    assert found.status is FAILED
    assert "age old (600 people)" in found.reason
    assert "parity 0.727" in found.reason


def test_the_worst_group_comes_first_and_gives_the_value(ask: Any, make_group: Any) -> None:
    found = ask(
        *(make_group("young", 0.55), make_group("old", 0.40)),
        *(make_group("north", 0.55, attribute="city"), make_group("south", 0.30, attribute="city")),
    )
    assert found.status is FAILED
    assert found.value == pytest.approx(0.30 / 0.55)
    assert found.reason.index("city south") < found.reason.index("age old")


def test_not_certified_waits_for_a_person(ask: Any, make_group: Any) -> None:
    found = ask(make_group("young", 0.55, half=0.2), make_group("old", 0.50, half=0.2))
    assert found.status is INSUFFICIENT
    assert "this waits for a person." in found.reason


@pytest.mark.parametrize("spoilt", ["small", "no interval", "one cluster"])
def test_groups_that_cannot_be_certified(ask: Any, make_group: Any, spoilt: str) -> None:
    young, old = make_group("young", 0.55), make_group("old", 0.54)
    if spoilt == "small":
        old = replace(old, people=49)
    elif spoilt == "no interval":
        old = replace(old, estimate=replace(old.estimate, low=math.nan, high=math.nan))
    else:
        old = replace(old, estimate=replace(old.estimate, clusters=1))
    found = ask(young, old)
    assert found.status is INSUFFICIENT


def test_one_group_alone_is_no_comparison(ask: Any, make_group: Any) -> None:
    for groups in ((make_group("young", 0.5),), (), (make_group("x", 0.1, attribute="city"),)):
        found = ask(*groups)
        assert found.status is INSUFFICIENT
        assert "age has fewer than two groups" in found.reason


def test_a_rest_that_earns_nothing_has_no_ratio(ask: Any, make_group: Any) -> None:
    found = ask(make_group("young", 0.0), make_group("old", 0.5))
    assert found.status is FAILED


def _simulated(
    rng: np.random.Generator, people: int, share: float, parity: float
) -> list[GroupValue]:
    """Two groups with click-like rewards; ``parity`` of the second group's truth to the first's."""
    groups = []
    for name, size, rate in (
        ("big", int(people * (1 - share)), 0.3),
        ("small", int(people * share), 0.3 * parity),
    ):
        clicks = (rng.random(size) < rate).astype(float)
        error = clicks.std(ddof=1) / math.sqrt(size)
        groups.append(_with_error(name, float(clicks.mean()), float(error), size, size))
    return groups


def _rates(ask: Any, people: int, parity: float, trials: int = 400) -> tuple[float, float]:
    """(alert rate, certification rate)."""
    rng = np.random.default_rng(11)
    answers = [ask(*_simulated(rng, people, 0.3, parity)).status for _ in range(trials)]
    return answers.count(FAILED) / trials, answers.count(PASSED) / trials


def test_fair_data_rarely_alarms_where_a_plain_ratio_rule_mostly_would(ask: Any) -> None:
    alarm, _ = _rates(ask, 500, 1.0)
    assert alarm <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    rng = np.random.default_rng(11)
    naive = 0
    for _ in range(400):
        values = [g.estimate.value for g in _simulated(rng, 500, 0.3, 1.0)]
        naive += min(values) / max(values) < 0.9
    assert naive / 400 > 0.4


def test_at_the_limit_neither_answer_exceeds_its_error(ask: Any) -> None:
    """Truth exactly at .9: false alarms and false certificates both stay near alpha."""
    alarm, certified = _rates(ask, 3000, 0.9)
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert alarm <= allowed
    assert certified <= allowed


def test_clear_disparity_is_found_and_clear_parity_certified(ask: Any) -> None:
    assert _rates(ask, 20_000, 0.75, trials=60)[0] > 0.95
    assert _rates(ask, 20_000, 1.0, trials=60)[1] > 0.9


def test_only_what_is_not_certain_is_left_to_a_person(ask: Any, make_group: Any) -> None:
    assert ask(
        make_group("young", 0.55, half=0.2), make_group("old", 0.50, half=0.2)
    ).person_decides
    assert ask(make_group("young", 0.55)).person_decides
    assert not ask(make_group("young", 0.55), make_group("old", 0.40)).person_decides
    assert not ask(make_group("young", 0.55), make_group("old", 0.54)).person_decides


@pytest.mark.parametrize(
    ("old", "half", "status", "says"),
    [
        (0.55, 0.01, PASSED, "The target of 0.95 is certified too."),
        (0.525, 0.01, PASSED, "The target of 0.95 is met in the estimate."),
        (0.5, 0.002, PASSED, "The target of 0.95 is missed in the estimate (0.909)."),
        (0.55, 0.2, INSUFFICIENT, "The target of 0.95 is met in the estimate."),
        (0.5, 0.2, INSUFFICIENT, "The target of 0.95 is missed in the estimate (0.909)."),
        (0.4, 0.01, FAILED, "The target of 0.95 is missed in the estimate (0.727)."),
        (math.nan, 0.01, INSUFFICIENT, "Whether the target of 0.95 is met is not known."),
    ],
)
def test_the_target_is_told_and_decides_nothing(
    ask: Any, make_group: Any, old: float, half: float, status: CheckStatus, says: str
) -> None:
    found = ask(make_group("young", 0.55, half=half), make_group("old", old, half=half))
    assert found.status is status
    assert found.reason.endswith(says)
    assert found.threshold == 0.9


def test_a_target_is_not_certified_of_too_few_people(ask: Any, make_group: Any) -> None:
    found = ask(make_group("young", 0.55), make_group("old", 0.55, people=49))
    assert found.status is INSUFFICIENT
    assert "met in the estimate" in found.reason
