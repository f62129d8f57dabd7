"""Two voices' answers side by side, rated by people who do not know which is which.

The page holds pairs in an order of their own each; what is which stands in a key kept apart. Whoever
rates gets the page, gives back a file, and never the key.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import beta

from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixInput
from everloop.contracts.evaluation import Estimate
from everloop.contracts.sandboxes import STRICT, SandboxReport, TestRunLog, TestScenario


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(StrEnum):
    LEFT = "left"
    RIGHT = "right"
    SAME = "same"


class RatedPair(_Value):
    """Two answers to the same words; ``said``: what came before them, person and voice by turns."""

    item: str
    said: tuple[str, ...]
    left: str
    right: str


class RatingKey(_Value):
    """Which side the candidate is on; not for those who rate."""

    page: str
    model_id: str
    active_id: str
    candidate_on: Mapping[str, Choice]


class Ratings(_Value):
    """What one person gave back."""

    page: str
    rater: Annotated[str, Field(min_length=1, max_length=200)]
    answers: Mapping[str, Choice]


class RatingResult(_Value):
    """``win_rate``'s n counts the items that are not even; ``raters``: names that rated."""

    candidate: int
    active: int
    even: int
    raters: tuple[str, ...]
    low: float
    high: float
    win_rate: float
    confidence: float


def pairs_of(
    report: SandboxReport, scenarios: Iterable[TestScenario], seed: int, count: int = 30
) -> tuple[tuple[RatedPair, ...], RatingKey]:
    """Up to ``count`` pairs drawn by ``seed`` in an order drawn by it, and their key.

    Left out: answers that are the same, and the scenarios of safety, bias and attacks, which nobody should
    have to read for this.

    Raises:
        ShouldCollectMoreData: no two answers differ.
    """
    known = {each.id: each for each in scenarios}
    theirs = {run.scenario_id: run for run in report.active_runs}
    both = [
        (known[run.scenario_id], run, theirs[run.scenario_id])
        for run in report.runs
        if run.suite not in STRICT and run.scenario_id in known and run.scenario_id in theirs
    ]
    differing = [each for each in both if _last(each[1]) != _last(each[2])]
    if not differing:
        raise ShouldCollectMoreData(
            "No answer of the candidate differs from the active voice's.",
            "There is nothing to rate.",
        )
    rng = random.Random(f"{seed}\0{report.model_id}\0{report.active_id}")
    drawn = rng.sample(differing, min(count, len(differing)))
    pairs, sides = [], {}
    for number, (scenario, mine, other) in enumerate(drawn, start=1):
        left_is_candidate = rng.random() < 0.5
        first, second = (mine, other) if left_is_candidate else (other, mine)
        item = f"{number:02d}"
        sides[item] = Choice.LEFT if left_is_candidate else Choice.RIGHT
        pairs.append(
            RatedPair(item=item, said=_said(scenario, mine), left=_last(first), right=_last(second))
        )
    # Of what raters see alone: a hash that the sides go into is found by trying them all.
    page = hashlib.sha256(repr(pairs).encode()).hexdigest()[:16]
    key = RatingKey(
        page=page, model_id=report.model_id, active_id=report.active_id, candidate_on=sides
    )
    return tuple(pairs), key


def result_of(key: RatingKey, given: Sequence[Ratings], confidence: float = 0.95) -> RatingResult:
    """Who won how many items, and the candidate's share with Clopper and Pearson's exact interval.

    An item is won by whom more people chose. Even items are left out of the share. Items are counted and
    not votes, since the votes on one item are not independent.

    Raises:
        ShouldFixInput: ratings are of another page, name unknown items, or a person rated twice.
        ShouldCollectMoreData: no item was decided.
    """
    votes: dict[str, Counter[str]] = {item: Counter() for item in key.candidate_on}
    raters: list[str] = []
    for ratings in given:
        if ratings.page != key.page:
            raise ShouldFixInput(
                f"{ratings.rater} rated page {ratings.page}; the key is of {key.page}.",
                "Give the key of their page.",
            )
        if unknown := sorted(ratings.answers.keys() - votes.keys()):
            raise ShouldFixInput(f"{ratings.rater} rated item {unknown[0]}, which the page lacks.")
        if ratings.rater in raters:
            raise ShouldFixInput(f"{ratings.rater} rated twice.", "Give one file of each person.")
        raters.append(ratings.rater)
        for item, choice in ratings.answers.items():
            if choice is not Choice.SAME:
                mine = choice is key.candidate_on[item]
                votes[item]["candidate" if mine else "active"] += 1
    rated = {item for ratings in given for item in ratings.answers}
    won = sum(each["candidate"] > each["active"] for each in votes.values())
    lost = sum(each["active"] > each["candidate"] for each in votes.values())
    if won + lost == 0:
        raise ShouldCollectMoreData("No item was decided.", "Let more people rate.")
    found = win_rate(won, lost, confidence)
    return RatingResult(
        candidate=won,
        active=lost,
        even=len(rated) - won - lost,
        raters=tuple(raters),
        low=found.low,
        high=found.high,
        win_rate=found.value,
        confidence=confidence,
    )


def win_rate(won: int, lost: int, confidence: float) -> Estimate:
    """won / (won + lost) with Clopper and Pearson's exact interval (1934)."""
    n, tail = won + lost, (1 - confidence) / 2
    low = float(beta.ppf(tail, won, n - won + 1)) if won else 0.0
    high = float(beta.ppf(1 - tail, won + 1, n - won)) if lost else 1.0
    return Estimate("win rate", won / n, low, high, confidence, n, n, "Clopper-Pearson")


def _said(scenario: TestScenario, run: TestRunLog) -> tuple[str, ...]:
    """The conversation up to the last answer. Answers in between are the scenario's own, or left out:
    they differ between the voices."""
    said: list[str] = []
    for number, turn in enumerate(scenario.turns):
        said.append(turn.say)
        if number < len(scenario.scripted) and number + 1 < len(scenario.turns):
            said.append(scenario.scripted[number])
    answered = [number for number, text in enumerate(run.outputs) if text]
    return tuple(said) if answered else ()


def _last(run: TestRunLog) -> str:
    return next((text for text in reversed(run.outputs) if text), "")
