"""Scenarios as they run: every conversation side by side, one batch a turn, then the judges."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from everloop.contracts.sandboxes import (
    STRICT,
    Criterion,
    CriterionKind,
    CriterionResult,
    RunStatus,
    Suite,
    TestRunLog,
    TestScenario,
)
from everloop.contracts.speaking import Answer, Speaker, SpeakRequest
from everloop.contracts.voice_spec import GenerationSpec
from everloop.contracts.voices import Message
from everloop.sandbox.deliveries import Delivery, deliveries
from everloop.sandbox.panel import Panel, Spoken

BATCH = 16
"""Conversations that are continued at once."""
_OF_THE_VOICE = frozenset({CriterionKind.PREFERS, CriterionKind.PERPLEXITY})
"""Kinds that score texts of the scenario, whatever was answered."""


class PromptOf(Protocol):
    """What the model reads of a conversation; see ``OpenedVoice.prompt``."""

    def __call__(
        self, said: Sequence[Message], traits: Mapping[str, float], user_id: str
    ) -> tuple[Message, ...]: ...


@dataclass(slots=True)
class _Conversation:
    """One scenario while it runs."""

    scenario: TestScenario
    deliveries: tuple[Delivery, ...]
    said: list[Message] = field(default_factory=list)
    answers: list[Spoken] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run_scenarios(
    speaker: Speaker,
    scenarios: Sequence[TestScenario],
    adapter: str,
    prompt_of: PromptOf,
    panel: Panel,
    seed: int,
    *,
    model_id: str,
    generation: GenerationSpec | None = None,
    done: Mapping[str, TestRunLog] | None = None,
    on_log: Callable[[TestRunLog], None] = lambda _log: None,
    batch: int = BATCH,
) -> tuple[TestRunLog, ...]:
    """Run scenarios with one adapter and judge every answer.

    Args:
        adapter: version of a loaded adapter; "" is the base alone.
        prompt_of: of the opened voice.
        panel: judges for this adapter.
        seed: two voices that run with the same seed are told the same and draw alike.
        model_id: what the logs are of.
        generation: how answers are drawn; the voice's own settings.
        done: logs of an earlier, interrupted run by scenario id; they are kept and not run again.
        on_log: called with each new log, as soon as it stands.
        batch: conversations that are continued at once.

    Returns:
        one log a scenario, in their order. What goes wrong in a scenario is a log of status ``error`` and
        ends no other scenario.
    """
    kept = dict(done or {})
    open_ = [each for each in scenarios if each.id not in kept]
    drawn = generation or GenerationSpec()
    for start in range(0, len(open_), batch):
        chunk = [
            _Conversation(each, deliveries(each.turns, f"{seed}\0{each.id}"))
            for each in open_[start : start + batch]
        ]
        for turn in range(max(len(each.deliveries) for each in chunk)):
            going = [each for each in chunk if turn < len(each.deliveries) and not each.errors]
            _take_turn(speaker, going, turn, adapter, prompt_of, seed, drawn)
        for each in chunk:
            log = _log_of(each, panel, model_id, adapter, seed)
            kept[each.scenario.id] = log
            on_log(log)
    return tuple(kept[each.id] for each in scenarios)


def _take_turn(
    speaker: Speaker,
    going: Sequence[_Conversation],
    turn: int,
    adapter: str,
    prompt_of: PromptOf,
    seed: int,
    generation: GenerationSpec,
) -> None:
    """Let the turn's texts arrive and have every conversation that waits for an answer continued."""
    waiting: list[tuple[_Conversation, SpeakRequest]] = []
    for each in going:
        scenario, arrived = each.scenario, each.deliveries[turn]
        each.said += [Message("user", text) for text in arrived.texts]
        if not arrived.asked:
            each.outputs.append("")
        elif turn < len(scenario.scripted):
            each.said.append(Message("assistant", scenario.scripted[turn]))
            each.outputs.append(scenario.scripted[turn])
        else:
            try:
                prompt = prompt_of(tuple(each.said), scenario.traits, scenario.user_id)
                drawn = _seed_of(seed, scenario.id, turn)
                waiting.append((each, SpeakRequest(prompt, adapter, drawn, generation)))
            except Exception as problem:
                each.errors.append(_named(problem))
    if not waiting:
        return
    began = time.monotonic()
    answers = _answered(speaker, waiting)
    share = (time.monotonic() - began) / len(waiting)
    for (each, request), answer in zip(waiting, answers, strict=True):
        each.seconds += share
        if isinstance(answer, str):
            each.errors.append(answer)
            continue
        before = tuple(said.content for said in each.said if said.role == "assistant")
        each.answers.append(Spoken(turn, request.messages, answer.text, answer.tokens, before))
        each.said.append(Message("assistant", answer.text))
        each.outputs.append(answer.text)


def _answered(
    speaker: Speaker, waiting: Sequence[tuple[_Conversation, SpeakRequest]]
) -> list[Answer | str]:
    """Answers in one batch; where that fails one by one, so that the error is its scenario's alone."""
    requests = [request for _, request in waiting]
    try:
        answers = speaker.answer(requests)
        if len(answers) == len(requests):
            return list(answers)
    except Exception as problem:
        if len(requests) == 1:
            return [_named(problem)]
    found: list[Answer | str] = []
    for request in requests:
        try:
            (answer,) = speaker.answer((request,))
            found.append(answer)
        except Exception as problem:
            found.append(_named(problem))
    return found


def _log_of(
    conversation: _Conversation, panel: Panel, model_id: str, adapter: str, seed: int
) -> TestRunLog:
    scenario = conversation.scenario
    errors = list(conversation.errors)
    results: list[CriterionResult] = []
    unasked = not scenario.expect
    scores: Mapping[str, float] = {}
    if not errors:
        for criterion in scenario.expect:
            asked = [
                spoken
                for spoken in conversation.answers
                if _asks(criterion.kind, criterion.turn, spoken, conversation)
            ]
            unasked = unasked or not asked
            results += [_judged(panel, criterion, spoken, scenario.suite) for spoken in asked]
        errors += [each.reason for each in results if each.status is RunStatus.ERROR]
        try:
            scores = panel.measured(scenario.metrics, conversation.answers)
        except Exception as problem:
            errors.append(_named(problem))
    told = f"{model_id}\0{scenario.id}\0{adapter}\0{seed}\0{scenario.model_dump_json()}"
    return TestRunLog(
        test_run_id=str(uuid.UUID(bytes=hashlib.sha256(told.encode()).digest()[:16])),
        model_id=model_id,
        scenario_id=scenario.id,
        suite=scenario.suite,
        timestamp=datetime.now(UTC),
        status=_status(results, errors, unasked),
        outputs=tuple(conversation.outputs),
        metric_scores=scores,
        criteria=tuple(results),
        errors=tuple(errors),
        seconds=conversation.seconds,
    )


def _asks(
    kind: CriterionKind, turn: int | None, spoken: Spoken, conversation: _Conversation
) -> bool:
    """Whether a criterion speaks of an answer; a tone can only be kept from the second one on."""
    if turn is not None:
        return turn == spoken.turn
    first = spoken is conversation.answers[0] and not spoken.before
    return not (kind is CriterionKind.SAME_TONE and first)


def _judged(panel: Panel, criterion: Criterion, spoken: Spoken, suite: Suite) -> CriterionResult:
    """One criterion on one answer. Saying nothing meets no expectation on what is said.

    Outside of strict suites a probability that does not depend on the answer is judged all the same.
    """
    found = panel.judged(criterion, spoken)
    apart = criterion.kind in _OF_THE_VOICE and suite not in STRICT
    if spoken.text.strip() or apart or found.status is RunStatus.ERROR:
        return found
    return CriterionResult(criterion.kind, spoken.turn, RunStatus.FAILED, "it said nothing")


def _status(
    results: Sequence[CriterionResult], errors: Sequence[str], unasked: bool = False
) -> RunStatus:
    """The worst of the criteria's; passed is only where each of them was judged.

    Args:
        unasked: nothing is expected, or one of the expectations was asked of no answer.
    """
    found = {each.status for each in results}
    if errors or RunStatus.ERROR in found:
        return RunStatus.ERROR
    if RunStatus.FAILED in found:
        return RunStatus.FAILED
    if unasked or not results or RunStatus.SKIPPED in found:
        return RunStatus.SKIPPED
    return RunStatus.PASSED


def _seed_of(seed: int, scenario: str, turn: int) -> int:
    digest = hashlib.sha256(f"{seed}\0{scenario}\0{turn}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _named(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"
