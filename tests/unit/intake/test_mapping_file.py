"""Mappings: what is refused with line and fix, and the template that is a mapping itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldFixMapping
from everloop.contracts.loop_spec import LoopSpec
from everloop.intake.mapping import TimeFormat
from everloop.intake.mapping_file import load_mapping, mapping_template, parse_mapping

GOOD = """\
episode_id: {key: [who, when]}
user_id: who
timestamp: {column: when, format: epoch_s}
action: {column: what, values: {A: show-a, 3: show-b, true: wait}}
propensity: p
context:
  hour: hour
  basket: {column: basket}
  taste: {prefix: taste_}
  plan: {const: free}
  recent: {const: []}
model_version: {const: rules}
signals:
  - {type: click, column: clicked, latency: {const: 0}}
  - type: stars
    column: stars
    at: {column: rated, format: epoch_ms}
    confidence: sure
"""


def test_a_good_mapping_is_read(shop: LoopSpec, tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(GOOD)
    mapping = load_mapping(path, shop)
    assert mapping.episode_id.key == ("who", "when")
    assert mapping.user_id.column == "who"
    assert mapping.timestamp.format is TimeFormat.EPOCH_S
    assert mapping.action.values == {"A": "show-a", "3": "show-b", "true": "wait"}
    assert mapping.context["taste"].prefix == "taste_"
    assert mapping.context["recent"].const == []
    assert mapping.arm.const == "active"
    assert [s.type for s in mapping.signals] == ["click", "stars"]
    assert mapping.signals[0].confidence.const == 1.0
    assert mapping.valid_actions is None


@pytest.mark.parametrize("loop", ["companion", "open_bandit", "shop"])
def test_the_template_of_a_loop_is_a_mapping_for_it(
    loop: str, request: pytest.FixtureRequest
) -> None:
    spec: LoopSpec = request.getfixturevalue(loop)
    mapping = parse_mapping(mapping_template(spec), spec)
    assert set(mapping.context) == {field.name for field in spec.context}
    assert [s.type for s in mapping.signals] == list(spec.signal_names)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("propensity: p", "propensty: p", ["map.yaml:5: unknown key 'propensty'", "'propensity'"]),
        ("{column: basket}", "{colum: basket}", ["map.yaml:8:", "did you mean 'column'"]),
        ("    confidence: sure", "    trust: sure", ["map.yaml:18: unknown key", "allowed: type"]),
        ("user_id: who\n", "", ["map.yaml:1: 'user_id' is missing (add it)"]),
        ("format: epoch_s", "format: unix", ["map.yaml:3: timestamp.format", "'unix'"]),
        ("{const: free}", "{const: free, column: c}", ["map.yaml:10:", "exactly one of column"]),
        ("{key: [who, when]}", "{}", ["map.yaml:1: episode_id", "exactly one of column, key"]),
        ("latency: {const: 0}", "latency: l, at: t", ["map.yaml:14:", "exactly one of latency"]),
        ("  hour: hour\n", "", ["map.yaml:6: context field 'hour' is not mapped (add it)"]),
        ("  hour: hour", "  hours: hour", ["map.yaml:7: 'hours' is no context field", "'hour'?"]),
        ("{column: basket}", "{prefix: b_}", ["map.yaml:8: 'basket' is a number, not a vector"]),
        ("type: stars", "type: star", ["map.yaml:15: 'star' is no signal", "'stars'?"]),
        ("A: show-a", "A: show-z", ["map.yaml:4: 'show-z' is no action of the loop"]),
        (
            "model_version:",
            "arm: {const: activ}\nmodel_version:",
            ["map.yaml:12: 'activ' is no arm"],
        ),
        ("user_id: who", "user_id: [who", ["map.yaml:3:", "Correct the YAML"]),
        ("user_id: who", "user_id: who\nuser_id: who", ["map.yaml:3:", "duplicate"]),
        ("user_id: who", "user_id: 3", ["map.yaml:2: user_id", "given: 3"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_named_with_line_and_fix(
    shop: LoopSpec, tmp_path: Path, before: str, after: str, expected: list[str]
) -> None:
    assert before in GOOD
    path = tmp_path / "map.yaml"
    path.write_text(GOOD.replace(before, after, 1))
    with pytest.raises(ShouldFixMapping) as caught:
        load_mapping(path, shop)
    for part in expected:
        assert part in str(caught.value)


def test_every_mistake_is_listed(shop: LoopSpec) -> None:
    text = GOOD.replace("propensity", "propensty").replace("user_id: who\n", "")
    with pytest.raises(ShouldFixMapping) as caught:
        parse_mapping(text, shop)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text"])
def test_what_is_no_mapping(shop: LoopSpec, text: str) -> None:
    with pytest.raises(ShouldFixMapping, match="holds no mapping"):
        parse_mapping(text, shop)


def test_control_characters_are_refused(shop: LoopSpec) -> None:
    with pytest.raises(ShouldFixMapping, match="Correct the YAML"):
        parse_mapping("a: \x00", shop)


def test_an_unreadable_mapping(shop: LoopSpec, tmp_path: Path) -> None:
    with pytest.raises(ShouldFixMapping, match=r"cannot be read.*Check the path"):
        load_mapping(tmp_path / "absent.yaml", shop)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ShouldFixMapping, match="cannot be read"):
        load_mapping(tmp_path / "binary.yaml", shop)
