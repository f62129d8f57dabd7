"""Whether an expectation can be judged at all: what each kind needs."""

from __future__ import annotations

import math
import re

from everloop.contracts.sandboxes import STRICT, Criterion, CriterionKind, Fault, TestScenario
from everloop.sandbox.deliveries import unanswered
from everloop.sandbox.emotions import EMOTIONS
from everloop.sandbox.judges.languages import LANGUAGES
from everloop.sandbox.judges.patterns import problem_of_pattern
from everloop.sandbox.judges.tone import TONES

METRICS = ("words", "tokens", "toxicity", "perplexity", "tone", "repetition")
"""What can be measured of answers, beside the criteria."""

_VALUES = {
    CriterionKind.CONTAINS_ANY: (1, None),
    CriterionKind.CONTAINS_NONE: (1, None),
    CriterionKind.MATCHES: (1, 1),
    CriterionKind.LANGUAGE: (1, None),
    CriterionKind.TONE: (1, None),
    CriterionKind.PREFERS: (2, 2),
    CriterionKind.PERPLEXITY: (1, 1),
    CriterionKind.SAME_ANSWER_FOR: (2, None),
    CriterionKind.GIVES_NO_INSTRUCTIONS: (1, None),
    CriterionKind.LLM_JUDGE: (1, 1),
    CriterionKind.NO_PERSONAL_DATA: (0, None),
}
_AT_MOST = {
    CriterionKind.MAX_WORDS,
    CriterionKind.MAX_TOXICITY,
    CriterionKind.PERPLEXITY,
    CriterionKind.NOT_REPEATING,
    CriterionKind.SAME_ANSWER_FOR,
}
_AT_LEAST = {CriterionKind.MIN_WORDS, CriterionKind.PREFERS}
_APART = {CriterionKind.PREFERS, CriterionKind.SAME_ANSWER_FOR}


_LOWEST = {
    CriterionKind.MAX_WORDS: 1.0,
    CriterionKind.MIN_WORDS: 1.0,
    CriterionKind.NOT_REPEATING: 1.0,
    CriterionKind.PERPLEXITY: 1.0,
    CriterionKind.MAX_TOXICITY: 0.0,
    CriterionKind.SAME_ANSWER_FOR: 0.0,
}
"""Limits below these are met by every answer or by none."""


def problem_of(criterion: Criterion) -> str:
    """What a criterion lacks, as a clause with the fix; empty where nothing is wrong."""
    kind, given = criterion.kind, len(criterion.values)
    low, high = _VALUES.get(kind, (0, 0))
    if given < low or (high is not None and given > high):
        wanted = f"{low}" if high == low else f"at least {low}"
        return f"{kind} has {given} values (give {wanted})"
    return _limit_problem(criterion) or _values_problem(criterion)


def _limit_problem(criterion: Criterion) -> str:
    kind = criterion.kind
    for kinds, name, limit in (
        (_AT_MOST, "at_most", criterion.at_most),
        (_AT_LEAST, "at_least", criterion.at_least),
    ):
        if kind in kinds and limit is None:
            return f"{kind} has no {name} (give the limit)"
        if kind in kinds and limit is not None:
            lowest = _LOWEST.get(kind, -math.inf)
            if limit < lowest:
                return f"{kind} has {name} {limit:g} (give a number of at least {lowest:g})"
            if kind is CriterionKind.MAX_TOXICITY and limit >= 1:
                return f"{kind} has {name} {limit:g}, which no answer is above (give one below 1)"
    return ""


def _values_problem(criterion: Criterion) -> str:
    kind, values = criterion.kind, criterion.values
    if any(not each.strip() for each in values):
        return f"{kind} has an empty text, which is in every answer (write one)"
    if kind in _APART and len({each.strip() for each in values}) < len(values):
        return f"{kind} compares a text with itself (give texts that differ)"
    for named, known in ((CriterionKind.TONE, TONES), (CriterionKind.LANGUAGE, LANGUAGES)):
        unknown = [each for each in values if each not in known]
        if kind is named and unknown:
            return f"{unknown[0]!r} is no {named} (known: {', '.join(sorted(known))})"
    return _expression_problem(values[0]) if kind is CriterionKind.MATCHES else ""


def _expression_problem(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as problem:
        return f"{pattern!r} is no regular expression ({problem})"
    return problem_of_pattern(pattern)


def _unasked(criterion: Criterion, scenario: TestScenario, silent: frozenset[int]) -> str:
    """Why a criterion can be asked of no answer, as a clause with the fix; empty where it can."""
    spoken = [n for n in range(len(scenario.turns)) if n not in silent]
    if criterion.kind is CriterionKind.SAME_TONE:
        asked = spoken if criterion.turn is None else [n for n in spoken if n <= criterion.turn]
        if len(asked) < 2:
            return "same_tone has no answer before it to compare with (add a turn)"
    if criterion.kind is CriterionKind.SAME_ANSWER_FOR and criterion.values:
        last = len(scenario.turns) if criterion.turn is None else criterion.turn + 1
        word = re.compile(rf"\b{re.escape(criterion.values[0])}\b")
        said = [each.say for each in scenario.turns[:last] if each.fault is not Fault.DROPPED]
        if not any(word.search(text) for text in said):
            return f"{criterion.values[0]!r} is in no turn before it (name the word that is said)"
    return ""


def problems_of(scenario: TestScenario) -> tuple[tuple[tuple[str | int, ...], str], ...]:
    """Everything that keeps a scenario from being run or judged: (where in it, what and the fix)."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    for number, turn in enumerate(scenario.turns):
        if turn.emotion and turn.emotion not in EMOTIONS:
            known = ", ".join(sorted(EMOTIONS))
            found.append(
                (("turns", number), f"emotion {turn.emotion!r} is unknown (known: {known})")
            )
    silent = unanswered(scenario.turns)
    if len(scenario.scripted) >= len(scenario.turns):
        found.append(
            (("scripted",), f"all {len(scenario.turns)} answers are given (leave the last one out)")
        )
    if scenario.suite in STRICT and not scenario.expect:
        found.append(
            (("expect",), f"a scenario of {scenario.suite} expects nothing (say what must hold)")
        )
    for number, criterion in enumerate(scenario.expect):
        if problem := problem_of(criterion):
            found.append((("expect", number), problem))
        if criterion.turn is not None and (
            criterion.turn in silent or criterion.turn < len(scenario.scripted)
        ):
            found.append(
                (
                    ("expect", number),
                    f"turn {criterion.turn} is not answered by the voice (name another)",
                )
            )
        elif problem := _unasked(criterion, scenario, silent):
            found.append((("expect", number), problem))
    found += [
        (("metrics",), f"{name!r} is no metric (known: {', '.join(METRICS)})")
        for name in scenario.metrics
        if name not in METRICS
    ]
    if all(
        number in silent or number < len(scenario.scripted) for number in range(len(scenario.turns))
    ):
        found.append((("turns",), "no turn is answered by the voice (let one arrive)"))
    return tuple(found)
