"""The conversations that everloop's authors wrote: enough, of every category, and never the same twice."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest

from everloop.adaptation.corpora import stream
from everloop.adaptation.near_duplicates import NearDuplicates
from everloop.adaptation.own import LICENSE, golden_set
from everloop.contracts.voice_spec import Category, CorpusSpec, DataSpec
from everloop.contracts.voices import TrainingDataInstance


@pytest.fixture(scope="module")
def own() -> tuple[TrainingDataInstance, ...]:
    return tuple(stream(CorpusSpec(name="own", source="own", license=LICENSE), seed=1))


def said(instance: TrainingDataInstance) -> tuple[str, ...]:
    """Every turn but the system's."""
    return (
        *(turn.content for turn in instance.prompt if turn.role != "system"),
        instance.completion,
    )


def whole(instance: TrainingDataInstance) -> str:
    return " ".join(said(instance))


def opening(instance: TrainingDataInstance) -> str:
    return said(instance)[0]


def answer(instance: TrainingDataInstance) -> str:
    return instance.completion


def test_there_are_enough_of_every_category(own: tuple[TrainingDataInstance, ...]) -> None:
    assert len(own) >= 240
    assert len(golden_set()) >= 80
    for rows in (own, golden_set()):
        counts = Counter(row.category for row in rows)
        assert set(counts) == set(Category)
        assert min(counts.values()) >= 3
        assert max(counts.values()) / len(rows) <= 0.30
    assert sum(len(said(row)) > 2 for row in own) >= 30


def test_turns_alternate(own: tuple[TrainingDataInstance, ...]) -> None:
    for row in (*own, *golden_set()):
        roles = [turn.role for turn in row.prompt if turn.role != "system"]
        assert roles[0] == roles[-1] == "user"
        assert all(one != other for one, other in pairwise(roles))


def test_golden_and_training_sets_are_disjoint(own: tuple[TrainingDataInstance, ...]) -> None:
    for part in (whole, opening, answer):
        known = NearDuplicates(0.6)
        known.seen_many([part(row) for row in own])
        assert not [part(row) for row in golden_set() if known.seen(part(row))]
    opened = {said(row)[0].casefold().strip(" ?.!") for row in own}
    assert not opened & {said(row)[0].casefold().strip(" ?.!") for row in golden_set()}


def test_nothing_is_said_twice(own: tuple[TrainingDataInstance, ...]) -> None:
    for rows in (own, golden_set()):
        known = NearDuplicates(0.7)
        assert not [row.completion for row in rows if known.seen(whole(row))]


def test_no_tag_reaches_a_text(own: tuple[TrainingDataInstance, ...]) -> None:
    names = "|".join(Category)
    tags = re.compile(
        rf"<\||\|>|\[/?[A-Z_]{{3,}}\]|_category|_source|(?im:^\s*\W?(?:{names})\W?\s*:)"
    )
    for row in (*own, *golden_set()):
        for text in said(row):
            assert not tags.search(text), text


def test_simple_questions_get_brief_answers_and_complex_ones_detail(
    own: tuple[TrainingDataInstance, ...],
) -> None:
    words = {row.prompt[-1].content: len(row.completion.split()) for row in (*own, *golden_set())}
    assert words["What is the capital of Australia?"] == 1
    assert words["How do I reverse a string in Python?"] == 1
    assert words["Compare renting and buying a flat for me, in principle."] > 60
    assert max(words.values()) < 150


@pytest.mark.slow
def test_the_screen_lets_all_of_the_training_set_pass(
    own: tuple[TrainingDataInstance, ...],
) -> None:
    from everloop.adaptation.screens.screen import VoiceScreen

    screen = VoiceScreen(DataSpec())
    assert not [(screen.reason(said(row)), said(row)) for row in own if screen.reason(said(row))]
