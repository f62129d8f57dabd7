"""Scenarios as they run: what is asked, what is judged, what goes wrong alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from everloop.contracts.sandboxes import (
    Criterion,
    CriterionKind,
    RunStatus,
    TestRunLog,
    TestScenario,
)
from everloop.contracts.speaking import Answer, SpeakRequest
from everloop.contracts.voices import Message
from everloop.sandbox.journal import RunJournal
from everloop.sandbox.loading import parse, shipped
from everloop.sandbox.panel import Panel, local_panel
from everloop.sandbox.running import run_scenarios
from tests.fake_speaker import FakeSpeaker
from tests.unit.sandbox.screens import SCREENS

TWO = """
suite: user
scenarios:
  - id: talk
    description: Two turns, the first answer given.
    turns: ["Hello", {say: "How are you?", fault: duplicated}, {say: "Lost", fault: dropped}, "Bye"]
    scripted: ["Hi!"]
    expect:
      - {kind: min_words, at_least: 2}
      - {kind: contains_any, values: [well], turn: 1}
    metrics: [words, tokens, tone, toxicity, perplexity, repetition]
  - id: ask
    description: One turn.
    turns: ["What?"]
    expect: [{kind: llm_judge, values: ["Is it right?"]}]
"""


def prompt(
    said: Sequence[Message], traits: Mapping[str, float], user_id: str
) -> tuple[Message, ...]:
    return (Message("system", f"traits {sorted(traits.items())}"), *said)


def run(
    speaker: FakeSpeaker, scenarios: Sequence[TestScenario], adapter: str = "", **given: object
) -> tuple[TestRunLog, ...]:
    panel = local_panel(speaker, adapter, SCREENS)
    told = {"model_id": "m", **given}
    return run_scenarios(speaker, scenarios, adapter, prompt, panel, 5, **told)  # type: ignore[arg-type]


def test_a_conversation_is_continued_with_what_was_said() -> None:
    says = {("", "How are you?"): "I am well.", ("", "Bye"): "Goodbye now."}
    speaker = FakeSpeaker(says=says)
    talk, ask = run(speaker, parse(TWO))
    assert talk.status is RunStatus.PASSED
    assert talk.outputs == ("Hi!", "I am well.", "", "Goodbye now.")
    assert [each.turn for each in talk.criteria] == [1, 3, 1]
    assert talk.metric_scores["words"] == 2.5
    assert talk.metric_scores["perplexity"] > 1
    assert {"tokens", "toxicity", "repetition", "tone empathetic"} <= (talk.metric_scores.keys())
    last = next(each for each in speaker.asked if each.messages[-1].content == "Bye")
    assert [each.content for each in last.messages[1:]] == [
        "Hello", "Hi!", "How are you?", "How are you?", "I am well.", "Bye",
    ]  # fmt: skip
    assert ask.status is RunStatus.SKIPPED
    assert ask.criteria[0].reason == "no judge answers llm_judge"


def test_the_same_seed_asks_the_same_and_another_draws_anew() -> None:
    scenarios = shipped(["safety"])[:4]
    one, two = FakeSpeaker(), FakeSpeaker()
    first, again = run(one, scenarios), run(two, scenarios)
    assert one.asked == two.asked
    assert [each.test_run_id for each in first] == [each.test_run_id for each in again]
    panel = local_panel(two, "", SCREENS)
    other = run_scenarios(two, scenarios, "", prompt, panel, 6, model_id="m")
    assert {each.seed for each in one.asked}.isdisjoint(
        {each.seed for each in two.asked[len(one.asked) :]}
    )
    assert {each.test_run_id for each in first}.isdisjoint({each.test_run_id for each in other})


def test_batches_hold_many_conversations() -> None:
    batches: list[int] = []

    class Counting(FakeSpeaker):
        def answer(self, requests: Sequence[SpeakRequest]) -> tuple[Answer, ...]:
            batches.append(len(requests))
            return super().answer(requests)

    run(Counting(), shipped(["bias"]), batch=8)
    assert batches == [8, 3]


class Breaking(FakeSpeaker):
    """Raises wherever it is asked of bombs."""

    def answer(self, requests: Sequence[SpeakRequest]) -> tuple[Answer, ...]:
        if any("bomb" in each.messages[-1].content for each in requests):
            raise RuntimeError("out of memory")
        return super().answer(requests)


def test_an_error_is_its_scenarios_alone() -> None:
    scenarios = shipped(["safety"])
    logs = run(Breaking(), scenarios)
    bad = {each.scenario_id: each.errors for each in logs if each.status is RunStatus.ERROR}
    assert bad == {
        each.id: ("RuntimeError: out of memory",)
        for each in scenarios
        if "bomb" in each.turns[-1].say
    }
    assert bad
    assert len(logs) == len(scenarios)


def test_a_judge_that_fails_is_an_error_and_so_is_one_that_is_missing() -> None:
    class Broken:
        kinds = frozenset({shipped(["safety"])[0].expect[0].kind})

        def judge(self, *_: object) -> object:
            raise ValueError("no model")

    speaker = FakeSpeaker()
    scenario = shipped(["safety"])[0]
    panel = Panel([Broken()], speaker, "")  # type: ignore[list-item]
    (log,) = run_scenarios(speaker, [scenario], "", prompt, panel, 1, model_id="m")
    assert log.status is RunStatus.ERROR
    assert "ValueError: no model" in log.errors
    assert "no judge answers max_toxicity" in log.errors


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    scenarios = shipped(["golden"])
    whole = run(FakeSpeaker(), scenarios)
    journal = RunJournal(tmp_path / "run.jsonl", "a" * 64)
    assert journal.done() == {}

    class Stopped(Exception):
        pass

    def until_four(log: TestRunLog) -> None:
        journal.add(log)
        if len(journal.done()) == 4:
            raise Stopped

    with pytest.raises(Stopped):
        run(FakeSpeaker(), scenarios, on_log=until_four)
    with (tmp_path / "run.jsonl").open("ab") as file:
        file.write(b'{"test_run_id": "half')
    done = RunJournal(tmp_path / "run.jsonl", "a" * 64).done()
    assert len(done) == 4
    speaker = FakeSpeaker()
    rest = run(speaker, scenarios, done=done, on_log=journal.add)
    assert len(speaker.asked) == len(scenarios) - 4
    assert [each.outputs for each in rest] == [each.outputs for each in whole]
    assert len(journal.done()) == len(scenarios)
    assert RunJournal(tmp_path / "run.jsonl", "b" * 64).done() == {}, "another run begins anew"


def strict(expect: str, turns: str = '["Hello"]') -> str:
    return f"""
suite: safety
scenarios:
  - id: one
    description: One.
    turns: {turns}
    expect: {expect}
"""


def test_a_scenario_is_never_passed_where_something_of_it_was_not_judged() -> None:
    speaker = FakeSpeaker(says={("", "Hello"): "Hi there."})
    outside = '[{kind: min_words, at_least: 1}, {kind: llm_judge, values: ["Is it right?"]}]'
    (log,) = run(speaker, parse(strict(outside)))
    assert [each.status for each in log.criteria] == [RunStatus.PASSED, RunStatus.SKIPPED]
    assert log.status is RunStatus.SKIPPED
    (known,) = parse(strict("[{kind: min_words, at_least: 1}]"))
    (log,) = run(speaker, [known])
    assert log.status is RunStatus.PASSED
    (log,) = run(speaker, [known.model_copy(update={"expect": ()})])
    assert log.status is RunStatus.SKIPPED, "it expects nothing"
    tone = Criterion(kind=CriterionKind.SAME_TONE)
    (log,) = run(speaker, [known.model_copy(update={"expect": (*known.expect, tone)})])
    assert (len(log.criteria), log.status) == (1, RunStatus.SKIPPED), "a tone is kept from none"


def test_saying_nothing_meets_no_expectation_on_what_is_said() -> None:
    speaker = FakeSpeaker(says=lambda _: " ", likes={"": {"a": -1.0, "b": -2.0}})
    expect = "[{kind: max_words, at_most: 9}, {kind: prefers, values: [a, b], at_least: 0.5}]"
    (log,) = run(speaker, parse(strict(expect)))
    assert [each.status for each in log.criteria] == [RunStatus.FAILED] * 2
    (log,) = run(speaker, parse(strict(expect).replace("safety", "user")))
    assert [each.status for each in log.criteria] == [RunStatus.FAILED, RunStatus.PASSED]
    assert log.status is RunStatus.FAILED
