"""Scenarios from what people disliked, variants, drift of configuration, and ratings by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument, ShouldFixInput
from everloop.contracts.sandboxes import (
    ConfigurationDrift,
    CriterionKind,
    RunningVoice,
    RunStatus,
    SandboxReport,
    Suite,
    TestRunLog,
    VoiceConfiguration,
    VoiceOpening,
)
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voices import Message
from everloop.loops.loader import load as load_loop
from everloop.loops.sections import voice_of, voice_text
from everloop.sandbox.criteria import problems_of
from everloop.sandbox.drift import (
    code_sha256,
    configuration_of,
    drift_of,
    lasting,
    spoken_with,
)
from everloop.sandbox.growing import LoggedFailure, scenarios_from
from everloop.sandbox.loading import shipped
from everloop.sandbox.rating_page import render_ratings
from everloop.sandbox.ratings import Choice, RatingKey, Ratings, pairs_of, result_of, win_rate
from everloop.sandbox.variants import KINDS, variants_of
from tests.unit.sandbox.screens import WordScreen
from tests.unit.sandbox.test_deciding import CLOSED

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def asked(*texts: str) -> tuple[Message, ...]:
    return tuple(
        Message("user" if n % 2 == 0 else "assistant", text) for n, text in enumerate(texts)
    )


FAILURE = LoggedFailure(
    "6f1c1c0e-0000-4000-8000-000000000001",
    asked("Hi", "Hello!", "Why is the sky blue?"),
    "It is what it is and that is all there is.",
    "Air scatters blue light more than red.",
    ("too_long", "too_cold"),
)


def test_a_disliked_answer_becomes_a_scenario_that_the_same_answer_fails() -> None:
    (found,) = scenarios_from([FAILURE], WordScreen()).scenarios
    assert found.suite is Suite.LOGGED_FAILURE
    assert [turn.say for turn in found.turns] == ["Hi", "Why is the sky blue?"]
    assert found.scripted == ("Hello!",)
    assert problems_of(found) == ()
    by_kind = {each.kind: each for each in found.expect}
    assert by_kind[CriterionKind.PREFERS].values == (FAILURE.wanted, FAILURE.answered)
    assert by_kind[CriterionKind.CONTAINS_NONE].values == (FAILURE.answered,)
    assert by_kind[CriterionKind.MAX_WORDS].at_most == 11
    assert "empathetic" in by_kind[CriterionKind.TONE].values
    assert CriterionKind.LLM_JUDGE not in by_kind, "a person's words go to nobody outside"
    assert found.source == f"feedback {FAILURE.feedback_id}"
    assert found.user_id == ""


def test_personal_data_keeps_a_failure_out_wherever_it_stands() -> None:
    number = "call 5551234567"
    bad = [
        replace(FAILURE, feedback_id="1", asked=asked(number)),
        replace(FAILURE, feedback_id="2", answered=number),
        replace(FAILURE, feedback_id="3", wanted=number),
        replace(FAILURE, feedback_id="4", asked=()),
        replace(FAILURE, feedback_id="5", asked=asked("a", "b")),
    ]
    found = scenarios_from([*bad, FAILURE, FAILURE], WordScreen())
    assert len(found.scenarios) == 1
    assert found.left_out == {"personal data": 3, "no conversation": 2, "said twice": 1}
    many = [replace(FAILURE, feedback_id=str(n)) for n in range(9)]
    assert scenarios_from(many, WordScreen(), 4).left_out == {"beyond the limit": 5}


def test_variants_are_the_same_for_the_same_seed_and_keep_what_is_expected() -> None:
    scenario = next(each for each in shipped() if each.id == "range.technical")
    one, again, other = variants_of(scenario, 1), variants_of(scenario, 1), variants_of(scenario, 2)
    assert one == again
    assert [each.turns for each in one] != [each.turns for each in other]
    assert {each.id for each in one} <= {f"range.technical.{kind}" for kind in KINDS}
    assert len(one) >= 3
    for each in one:
        assert each.expect == scenario.expect
        assert each.turns != scenario.turns
        assert each.source == "variant of range.technical"
    with pytest.raises(ShouldFixArgument, match="no variation 'shouting'"):
        variants_of(scenario, 1, ["shouting"])


def opening(tmp_path: Path, *adapters: AdapterFolder) -> VoiceOpening:
    base = BaseFolder("b", tmp_path, "a" * 64, "MIT", 512)
    return VoiceOpening(voice_text(load_loop("companion")), base, adapters, "{}")


def test_a_service_that_runs_older_code_is_a_drift(tmp_path: Path) -> None:
    code = (["everloop.sandbox.judges"], ["everloop.sandbox.emotions"])
    service = configuration_of(opening(tmp_path, AdapterFolder("1", tmp_path, "1" * 64)), *code)
    running = RunningVoice("companion", "pod-1", NOW, lasting(service))
    assert {"persona", "adapter 1"}.isdisjoint(running.configuration.settings)
    same = drift_of(service, service, [running])
    assert same == ConfigurationDrift({}, f"pod-1 at {NOW.isoformat(timespec='seconds')}")
    old = VoiceConfiguration(dict(running.configuration.settings) | {"code": "old"})
    second = replace(running, instance="pod-2")
    found = drift_of(service, service, [replace(running, configuration=old), second])
    assert found.differing == {"code of pod-1": (service.settings["code"], "old")}
    assert [part.split(" at ")[0] for part in found.running.split(", ")] == ["pod-1", "pod-2"]
    assert drift_of(service, service).running == ""


def test_how_many_answers_are_drawn_and_what_takes_one_of_them_are_compared(
    tmp_path: Path,
) -> None:
    code = (["everloop.sandbox.judges"], ["everloop.sandbox.emotions"])
    spec = voice_of(load_loop("companion"))

    def of(best_of: int, scorer: str = "") -> VoiceConfiguration:
        rewarded = spec.reward_model.model_copy(update={"best_of": best_of})
        voice = spec.model_copy(update={"reward_model": rewarded}).model_dump_json()
        opened = replace(opening(tmp_path), voice=voice, scorer=scorer)
        return configuration_of(opened, *code)

    def tried(service: VoiceConfiguration) -> dict[str, tuple[str, str]]:
        return dict(drift_of(spoken_with(service, spec.generation), service).differing)

    assert tried(of(1)) == tried(of(1, "5" * 64)) == {}
    assert tried(of(8)) == tried(of(64)) == {"answers drawn": ("1", "8")}, (
        "a service draws 8 at most"
    )
    named = {"answers drawn": ("1", "2"), "scorer": ("none", "5" * 64)}
    assert tried(of(2, "5" * 64)) == named
    assert drift_of(of(2, "5" * 64), of(2, "6" * 64)).differing == {"scorer": ("5" * 64, "6" * 64)}
    running = RunningVoice("companion", "pod-1", NOW, lasting(of(4)))
    assert drift_of(of(1), of(1), [running]).differing == {"answers drawn of pod-1": ("1", "4")}
    assert lasting(of(2, "5" * 64)) == lasting(of(2, "6" * 64)), (
        "it comes and goes with its adapter"
    )


def test_a_drift_names_each_setting_and_ignores_adapters_to_compare_with(tmp_path: Path) -> None:
    code = (["everloop.sandbox.judges"], ["everloop.sandbox.emotions"])
    mine, active = (AdapterFolder(name, tmp_path, name * 64) for name in ("1", "2"))
    service = configuration_of(opening(tmp_path, mine), *code)
    sandbox = configuration_of(opening(tmp_path, mine, active), *code)
    assert drift_of(sandbox, service) == ConfigurationDrift({})
    other = AdapterFolder("1", tmp_path, "3" * 64)
    changed = replace(opening(tmp_path, other), graph='{"persona":"x"}')
    found = drift_of(configuration_of(changed, *code), service).differing
    assert set(found) == {"adapter 1", "persona"}
    assert found["adapter 1"] == ("3" * 64, "1" * 64)
    without = VoiceConfiguration({k: v for k, v in sandbox.settings.items() if k != "generation"})
    assert drift_of(without, service).differing["generation"][0] == "(absent)"
    assert {"package torch", "package transformers", "code", "prompt"} <= service.settings.keys()
    gpu = configuration_of(opening(tmp_path, mine), *code, device="cuda")
    assert drift_of(service, gpu).differing == {
        "device": ("cpu", "cuda"),
        "dtype": ("float32", "bfloat16"),
    }
    assert code_sha256(["everloop.sandbox.emotions"]) != code_sha256(
        ["everloop.sandbox.deliveries"]
    )


def log(name: str, suite: Suite, answer: str) -> TestRunLog:
    return TestRunLog("r", "m", name, suite, NOW, RunStatus.PASSED, (answer,), {})


def report(answers: Sequence[tuple[str, str]]) -> SandboxReport:
    known = shipped(["behavioural_range", "safety"])
    names = [(each.id, each.suite) for each in known][: len(answers)]
    mine = [log(name, suite, a) for (name, suite), (a, _) in zip(names, answers, strict=True)]
    theirs = [log(name, suite, b) for (name, suite), (_, b) in zip(names, answers, strict=True)]
    return SandboxReport(
        "c" * 64, "a" * 64, NOW, 1.0, tuple(mine), tuple(theirs), (), CLOSED, ConfigurationDrift({})
    )


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_blind_accessible_and_whole() -> None:
    tried = report([(f"mine {n} <b>", f"theirs {n}") for n in range(30)])
    pairs, key = pairs_of(tried, shipped(), 5, 12)
    page = render_ratings(pairs, key)
    assert len(pairs) == 12
    assert {key.candidate_on[each.item] for each in pairs} == {Choice.LEFT, Choice.RIGHT}
    for each in pairs:
        on_left = key.candidate_on[each.item] is Choice.LEFT
        assert (each.left if on_left else each.right).startswith("mine")
        assert (each.right if on_left else each.left).startswith("theirs")
    assert "c" * 16 not in page
    assert "a" * 64 not in page
    assert "candidate" not in page.lower()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    read = Page()
    read.feed(page)
    assert not [tags for tags in read.tags if tags[1].get("src") or tags[1].get("href")]
    labelled = sum(tag == "input" for tag, _ in read.tags)
    assert sum(tag == "label" for tag, _ in read.tags) == labelled == 12 * 3 + 1
    assert sum(tag == "legend" for tag, _ in read.tags) == 12
    assert ("html", {"lang": "en"}) in read.tags
    assert pairs_of(tried, shipped(), 5, 12) == (pairs, key)
    strict = {each.id for each in shipped(["safety"])}
    assert not strict & {run.scenario_id for run in tried.runs if run.suite is not Suite.SAFETY}
    with pytest.raises(ShouldCollectMoreData, match="No answer of the candidate differs"):
        pairs_of(report([("same", "same")]), shipped(), 5)


def test_votes_are_counted_by_item_with_an_exact_interval() -> None:
    sides = {"01": Choice.LEFT, "02": Choice.RIGHT, "03": Choice.LEFT, "04": Choice.LEFT}
    key = RatingKey(page="p", model_id="c", active_id="a", candidate_on=sides)

    def given(rater: str, *choices: Choice) -> Ratings:
        return Ratings(page="p", rater=rater, answers=dict(zip(sides, choices, strict=False)))

    left, right, same = Choice.LEFT, Choice.RIGHT, Choice.SAME
    people = [given("Ada", left, right, right, left), given("Bo", left, left, right, same)]
    found = result_of(key, people)
    assert (found.candidate, found.active, found.even) == (2, 1, 1)
    assert found.win_rate == pytest.approx(2 / 3)
    with pytest.raises(ShouldFixInput, match="Ada rated twice"):
        result_of(key, [people[0], people[0]])
    with pytest.raises(ShouldFixInput, match="rated page q"):
        result_of(key, [people[0].model_copy(update={"page": "q"})])
    with pytest.raises(ShouldFixInput, match="item 09"):
        result_of(key, [Ratings(page="p", rater="Cy", answers={"09": left})])
    with pytest.raises(ShouldCollectMoreData):
        result_of(key, [given("Di", same, same, same, same)])


def test_clopper_and_pearsons_interval_by_a_table() -> None:
    """8 of 10: [0.4439, 0.9748]; 0 of 5: [0, 0.5218] (Clopper and Pearson 1934, 95 %)."""
    found = win_rate(8, 2, 0.95)
    assert (found.low, found.high) == pytest.approx((0.4439, 0.9748), abs=1e-4)
    none = win_rate(0, 5, 0.95)
    assert (none.low, none.high) == pytest.approx((0.0, 0.5218), abs=1e-4)
