"""Traits move as the formula says, by no more than the cap, and never out of [-1, 1]."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.personas import PersonaGraph
from everloop.contracts.voice_spec import AdjustmentSpec, BaseSpec, TraitSpec, VoiceSpec
from everloop.persona.adjustment import adjusted
from everloop.persona.graph import first_graph

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(hours=24)


def voice(**terms: float) -> VoiceSpec:
    return VoiceSpec(
        persona="companion",
        base=BaseSpec(name="tiny", source="nowhere", license="none"),
        traits=(
            TraitSpec(name="formality", low="informal", high="formal"),
            TraitSpec(name="warmth", low="cool", high="warm", default=0.5),
        ),
        adjustment=AdjustmentSpec.model_validate(terms),
    )


def value(graph: PersonaGraph, name: str = "formality") -> float:
    found = graph.trait(name)
    return math.nan if found is None else found.value


def test_moves_by_the_rate_times_the_mean_of_what_was_asked() -> None:
    spec = voice(cap=2.0)
    graph = adjusted(first_graph(spec), spec, "formality", -0.2, 1.0, NOW)
    assert value(graph) == pytest.approx(-0.1)  # .5 x -.2
    graph = adjusted(graph, spec, "formality", 0.4, 0.5, NOW)
    assert value(graph) == pytest.approx(-0.1)  # .5 x mean(-.2, .4 x .5) = 0
    graph = adjusted(graph, spec, "formality", -0.3, 1.0, NOW)
    assert value(graph) == pytest.approx(-0.15)  # .5 x mean(-.2, .2, -.3) = -.05
    assert value(graph, "warmth") == 0.5


def test_the_mean_is_over_the_last_window() -> None:
    spec = voice(window=2, cap=2.0, rate=1.0)
    graph = first_graph(spec)
    for asked in (0.4, 0.2, -0.1):
        graph = adjusted(graph, spec, "formality", asked, 1.0, NOW)
    assert value(graph) == pytest.approx(0.4 + 0.3 + 0.05)
    found = graph.trait("formality")
    assert found is not None
    assert found.recent == pytest.approx((0.2, -0.1))


def test_a_cycle_moves_at_most_the_cap_and_the_next_goes_on() -> None:
    spec = voice()  # rate .5, cap .2, 24 hours
    graph = first_graph(spec)
    for minute in range(50):
        at = NOW + timedelta(minutes=minute)
        graph = adjusted(graph, spec, "formality", -1.0, 1.0, at)
    assert value(graph) == pytest.approx(-0.2)
    graph = adjusted(graph, spec, "formality", -1.0, 1.0, NOW + DAY - timedelta(seconds=1))
    assert value(graph) == pytest.approx(-0.2)
    graph = adjusted(graph, spec, "formality", -1.0, 1.0, NOW + DAY)
    assert value(graph) == pytest.approx(-0.4)


def test_a_clock_that_steps_back_begins_no_cycle() -> None:
    spec = voice()
    graph = adjusted(first_graph(spec), spec, "formality", -1.0, 1.0, NOW)
    for hours in range(1, 9):
        at = NOW - timedelta(hours=24 * hours)
        graph = adjusted(graph, spec, "formality", -1.0, 1.0, at)
    assert value(graph) == pytest.approx(-0.2)


def test_unknown_traits_are_refused_by_name() -> None:
    spec = voice()
    with pytest.raises(ShouldNameKnownId, match=r"'humor'.*formality, warmth"):
        adjusted(first_graph(spec), spec, "humor", 0.1, 1.0, NOW)


@pytest.mark.parametrize(
    ("asked", "weight"),
    [(1.1, 1.0), (math.nan, 1.0), (0.1, 0.0), (0.1, 1.5), (0.1, math.nan)],
)
def test_what_leaves_its_range_is_refused(asked: float, weight: float) -> None:
    spec = voice()
    with pytest.raises(ShouldFixArgument):
        adjusted(first_graph(spec), spec, "formality", asked, weight, NOW)
    with pytest.raises(ShouldFixArgument, match="time zone"):
        adjusted(first_graph(spec), spec, "formality", 0.1, 1.0, NOW.replace(tzinfo=None))


def test_a_trait_that_the_specification_gained_begins_at_its_default() -> None:
    spec = voice()
    graph = adjusted(PersonaGraph("companion"), spec, "warmth", 0.2, 1.0, NOW)
    assert value(graph, "warmth") == pytest.approx(0.6)


@settings(max_examples=30, deadline=None)
@given(
    asked=st.lists(st.floats(-0.15, 0.15), min_size=1, max_size=5).flatmap(
        lambda found: st.tuples(st.just(found), st.permutations(found))
    )
)
def test_without_a_window_the_order_of_far_apart_cycles_does_not_matter(
    asked: tuple[list[float], list[float]],
) -> None:
    spec, ends = voice(window=1), []
    for order in asked:
        graph = first_graph(spec)
        for cycle, each in enumerate(order):
            graph = adjusted(graph, spec, "formality", each, 1.0, NOW + cycle * 3 * DAY)
        ends.append(value(graph))
    assert ends[0] == pytest.approx(ends[1], abs=1e-12)


class Traits(RuleBasedStateMachine):
    """Whatever people ask, in whatever order and at whatever pace."""

    @initialize(cap=st.floats(0.01, 1.0), rate=st.floats(0.01, 1.0), window=st.integers(1, 12))
    def begin(self, cap: float, rate: float, window: int) -> None:
        self.spec = voice(cap=cap, rate=rate, window=window)
        self.cap = cap
        self.graph = first_graph(self.spec)
        self.now = NOW
        self.began, self.stood = NOW, {"formality": 0.0, "warmth": 0.5}
        self.cycles: dict[str, tuple[datetime, float]] = {}

    @rule(
        trait=st.sampled_from(["formality", "warmth"]),
        asked=st.floats(-1, 1),
        weight=st.floats(0.001, 1),
    )
    def ask(self, trait: str, asked: float, weight: float) -> None:
        before = value(self.graph, trait)
        known = self.cycles.get(trait)
        if known is None or self.now - known[0] >= DAY:
            self.cycles[trait] = (self.now, before)
        self.graph = adjusted(self.graph, self.spec, trait, asked, weight, self.now)

    @rule(hours=st.floats(0, 60))
    def wait(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def stays_within(self) -> None:
        for trait, (_, stood) in getattr(self, "cycles", {}).items():
            assert abs(value(self.graph, trait) - stood) <= self.cap + 1e-9
            assert -1.0 <= value(self.graph, trait) <= 1.0


TestTraits = Traits.TestCase
TestTraits.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
