"""Scenarios from what people disliked: the same thing said again must be answered better.

They are made anew of the log for each run, so that somebody's erasure or objection takes theirs away. What
names a person's data is left out whole; no pseudonym goes in; and since the words are a person's, no judge
outside is asked about them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from everloop.contracts.sandboxes import (
    Criterion,
    CriterionKind,
    ScenarioTurn,
    Suite,
    TestScenario,
)
from everloop.contracts.screens import PersonalDataFinder
from everloop.contracts.voices import Message
from everloop.sandbox.judges.rules import words_of

MOST_TURNS = 6
"""Of the conversation before; older turns are left out."""
_TOO_LONG = frozenset({"too_long", "too_verbose", "verbose", "too_wordy"})
_TOO_SHORT = frozenset({"too_short", "too_brief", "not_enough_detail"})
_TONES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "too_formal": (
            "casual",
            "plain",
            "empathetic",
            "enthusiastic",
            "technical",
            "analytical",
            "creative",
        ),
        "too_casual": ("formal", "plain", "empathetic", "technical", "analytical", "creative"),
        "too_cold": ("empathetic", "enthusiastic", "casual", "plain"),
    }
)


@dataclass(frozen=True, slots=True)
class LoggedFailure:
    """An answer that somebody disliked.

    Attributes:
        feedback_id: of what they said of it.
        asked: the conversation up to the answer; the last turn is theirs.
        answered: what the voice said.
        wanted: what they would have had it say; "" where they did not say.
        complaints: labels of what was wrong (``too_formal``, ``too_long``, …).
    """

    feedback_id: str
    asked: tuple[Message, ...]
    answered: str
    wanted: str = ""
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grown:
    """Scenarios, and how many failures made none: reason -> number."""

    scenarios: tuple[TestScenario, ...]
    left_out: Mapping[str, int]


def scenarios_from(
    failures: Iterable[LoggedFailure], finder: PersonalDataFinder, limit: int = 50
) -> Grown:
    """One scenario a failure, at most ``limit``; in the order of their ids.

    A corrected answer must be likelier than the one that was disliked. Every one expects an answer that is
    neither the disliked one again, nor empty, nor going round in circles.
    """
    found: dict[str, TestScenario] = {}
    left_out: dict[str, int] = {}

    def leave(reason: str) -> None:
        left_out[reason] = left_out.get(reason, 0) + 1

    for failure in failures:
        turns = _turns(failure.asked)
        if not turns or not failure.answered.strip():
            leave("no conversation")
            continue
        texts = [*(each.content for each in turns), failure.answered, failure.wanted]
        if any(finder.personal_data(text) for text in texts if text):
            leave("personal data")
            continue
        name = hashlib.sha256(failure.feedback_id.encode()).hexdigest()[:16]
        if f"failure.{name}" in found:
            leave("said twice")
            continue
        found[f"failure.{name}"] = _scenario(f"failure.{name}", failure, turns)
    kept = [found[key] for key in sorted(found)]
    if len(kept) > limit:
        left_out["beyond the limit"] = len(kept) - limit
    return Grown(tuple(kept[:limit]), left_out)


def _turns(asked: tuple[Message, ...]) -> tuple[Message, ...]:
    """The newest turns, person and voice by turns, beginning and ending with the person; else ()."""
    said = [each for each in asked if each.role != "system"][-MOST_TURNS:]
    while said and said[0].role != "user":
        said = said[1:]
    roles = ["user" if n % 2 == 0 else "assistant" for n in range(len(said))]
    good = bool(said) and [each.role for each in said] == roles and said[-1].role == "user"
    return tuple(said) if good else ()


def _scenario(name: str, failure: LoggedFailure, turns: tuple[Message, ...]) -> TestScenario:
    people = tuple(ScenarioTurn(say=each.content) for each in turns if each.role == "user")
    last = len(people) - 1
    expect = [
        Criterion(kind=CriterionKind.MIN_WORDS, at_least=1, turn=last),
        Criterion(kind=CriterionKind.NOT_REPEATING, at_most=4, turn=last),
        Criterion(kind=CriterionKind.MAX_TOXICITY, at_most=0.5, turn=last),
    ]
    length = len(words_of(failure.answered))
    complaints = set(failure.complaints)
    if length >= 4:
        said = Criterion(
            kind=CriterionKind.CONTAINS_NONE, values=(failure.answered.strip(),), turn=last
        )
        expect.append(said)
    if failure.wanted.strip() and failure.wanted.strip() != failure.answered.strip():
        pair = (failure.wanted.strip(), failure.answered.strip())
        expect.append(Criterion(kind=CriterionKind.PREFERS, values=pair, at_least=0.0, turn=last))
    if complaints & _TOO_LONG:
        expect.append(Criterion(kind=CriterionKind.MAX_WORDS, at_most=length, turn=last))
    if complaints & _TOO_SHORT:
        expect.append(Criterion(kind=CriterionKind.MIN_WORDS, at_least=length, turn=last))
    expect += [
        Criterion(kind=CriterionKind.TONE, values=_TONES[complaint], turn=last)
        for complaint in sorted(complaints & _TONES.keys())
    ]
    return TestScenario(
        id=name,
        suite=Suite.LOGGED_FAILURE,
        description="Somebody disliked what was answered here.",
        turns=people,
        scripted=tuple(each.content for each in turns if each.role == "assistant"),
        expect=tuple(expect),
        metrics=("words", "tone"),
        source=f"feedback {failure.feedback_id}",
    )
