"""Specifications: the shipped ones hold what was asked for; a wrong one names its line and fix."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.actions import ActionKind
from everloop.contracts.errors import ShouldFixLoopSpec
from everloop.contracts.loop_spec import FieldKind, LoopSpec
from everloop.loops import SHIPPED, load, shipped_path
from everloop.loops.loader import parse
from everloop.loops.sections import assemble, override, split, voice_text

COMPANION = shipped_path("companion").read_text()


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(COMPANION.splitlines(), 1) if text in line)


def test_companion_is_the_specification() -> None:
    spec = load("companion")
    emotion = spec.field("emotion")
    assert (emotion.kind, emotion.width) == (FieldKind.VECTOR, 128)
    assert spec.field("recent_interactions").width == 10
    weights = {signal.name: signal.weight for signal in spec.signals}
    assert weights == {"engagement": 0.3, "resonance": 0.4, "explicit_feedback": 0.3}
    assert {action.kind for action in spec.actions} == set(ActionKind)
    assert {action.people for action in spec.actions if action.people} == {1, 3}
    assert (spec.privacy.epsilon, spec.privacy.delta) == (1.0, 1e-5)
    assert (spec.training.minibatch, spec.training.learning_rate) == (256, 3e-4)
    assert (spec.exploration.start, spec.exploration.training_floor) == (0.3, 0.05)


def test_open_bandit_has_80_items_and_clicks() -> None:
    spec = load("open_bandit")
    assert len(spec.actions) == 80
    assert spec.signal_names == ("click",)
    assert "CC BY 4.0" in spec.source


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ("weight: 0.3, silence: zero", "wieght: 0.3, silence: zero", "name: engagement",
         "did you mean 'weight'?"),
        (", weight: 0.4", "", "name: resonance", "'signals.1.weight' is missing"),
        ("low: 40, high: 180", "low: 180, high: 40", "name: heart_rate",
         "low=180.0 is not below high=40.0"),
        ("kind: cycle, period: 24", "kind: circle, period: 24", "name: hour", "circle"),
        ("half_life_seconds: 86400", "half_life_seconds: .nan", "half_life_seconds", "finite"),
        ("half_life_seconds: 86400", "half_life_seconds: -1", "half_life_seconds", "greater than 0"),
        ("period: 24", "period: 0", "name: hour", "greater than 0"),
        ("kind: intervention, tone: cheerful", "kind: intervention", "intervene-cheerful", "needs tone"),
        ("kind: no_action,", "kind: no_action, people: 2,", "id: no_action", "does not take people"),
        ("id: pair-three", "id: pair-one", "actions:", "pair-one is declared more than once"),
        ("attainable_low: -0.7", "attainable_low: 2", "attainable_low", "less than or equal to 1"),
    ],
)  # fmt: skip
def test_a_wrong_specification_names_the_line_and_the_fix(
    old: str, new: str, where: str, said: str
) -> None:
    assert old in COMPANION
    with pytest.raises(ShouldFixLoopSpec) as refused:
        parse(COMPANION.replace(old, new, 1), "mine.yaml")
    named = [line for line in str(refused.value).splitlines() if said in line]
    assert named, str(refused.value)
    assert named[0].startswith(f"mine.yaml:{line_of(where)}:")


def test_a_protected_field_must_exist() -> None:
    with pytest.raises(ShouldFixLoopSpec, match="protected field 'age'") as refused:
        parse(COMPANION.replace("protected: [age_group]", "protected: [age]"), "mine.yaml")
    assert str(refused.value).startswith(f"mine.yaml:{line_of('protected: [age_group]')}:")


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "\t: x", "a: b: c\n", "\x00"])
def test_what_is_no_mapping_is_refused_with_a_line(text: str) -> None:
    with pytest.raises(ShouldFixLoopSpec, match=r"mine\.yaml:\d+:"):
        parse(text, "mine.yaml")


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ShouldFixLoopSpec, match="Did you mean 'companion'"):
        load("compagnion")
    with pytest.raises(ShouldFixLoopSpec, match="cannot be read"):
        load(tmp_path / "none.yaml")


@given(st.text(max_size=200))
def test_no_text_crashes_the_parser(text: str) -> None:
    with contextlib.suppress(ShouldFixLoopSpec):
        parse(text)


@pytest.mark.parametrize("name", SHIPPED)
def test_sections_put_together_are_the_specification(name: str) -> None:
    spec = load(name)
    parts = split(spec)
    again = assemble(**dataclasses.asdict(parts), voice=voice_text(spec))
    assert again == spec
    assert again.checksum == spec.checksum
    assert split(again) == parts


def test_a_change_of_one_section_leaves_the_others_alone() -> None:
    spec = load("companion")
    before, after = split(spec), split(override(spec, ("training.iterations=3",)))
    assert after.training != before.training
    assert (after.product, after.privacy, after.thresholds) == (
        before.product,
        before.privacy,
        before.thresholds,
    )


def test_how_exploration_decays_reaches_the_stages_and_when_to_train_does_not() -> None:
    before = load("companion")
    sooner = before.model_copy(
        update={"serving": before.serving.model_copy(update={"train_after_episodes": 7})}
    )
    slower = before.model_copy(
        update={"serving": before.serving.model_copy(update={"exploration_halves_after": 77})}
    )
    assert split(sooner) == split(before)
    assert assemble(split(slower).product).serving_epsilon(77) == slower.serving_epsilon(77)
    assert slower.serving_epsilon(77) != before.serving_epsilon(77)


@pytest.mark.parametrize(
    "setting", ["training.iteration=3", "iterations", "training.iterations=0", "a.b.c=1", "=", ""]
)
def test_a_setting_that_cannot_be_applied_is_named(setting: str) -> None:
    with pytest.raises(ShouldFixLoopSpec):
        override(load("companion"), (setting,))


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_a_section_must_be_a_json_object(text: str) -> None:
    with pytest.raises(ShouldFixLoopSpec):
        assemble(text)
    with pytest.raises(ShouldFixLoopSpec):
        assemble(split(load("companion")).product, training=text)


def test_the_checksum_follows_the_content() -> None:
    spec = load("companion")
    assert spec.checksum == load("companion").checksum
    assert override(spec, ("version=2",)).checksum != spec.checksum
    assert isinstance(spec, LoopSpec)
