"""What is looked at is drawn first, fairly, and as much of it as is needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from everloop.adaptation.drawing import AHEAD, DrawingOrder, Shortlist, ahead, in_turn
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import LearningTask, SourceType, TrainingDataInstance
from tests.voice_records import corpus_row


def row(
    number: int, owner: int = 0, source: SourceType = SourceType.NEW_DATA
) -> TrainingDataInstance:
    return replace(
        corpus_row(number), user_id=f"{owner:064x}", source_type=source, source_ids=(f"{number}",)
    )


def kind(instance: TrainingDataInstance) -> str:
    return instance.task.value


def test_everybody_comes_before_anybodys_second_and_feedback_first() -> None:
    order = DrawingOrder(seed=3)
    for number in range(50):
        order.add(number, row(number, owner=0 if number < 40 else number))
    assert {number for number in order.first(11) if number >= 40} == set(range(40, 50))
    order.add(50, row(50, owner=0, source=SourceType.FEEDBACK))
    assert order.first(1) == {50}
    assert order.first(10, after=1).isdisjoint(order.first(1))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_it_goes_on_until_enough_are_fit_or_none_is_left(
    rows: list[tuple[int, bool]], most: int, seed: int
) -> None:
    listed, found, seen = Shortlist(most, seed, kind), Counter[str](), set[int]()
    for number, (owner, _) in enumerate(rows):
        listed.add(number, (row(number, owner),))
    while numbers := listed.further(found):
        assert not numbers & seen
        seen |= numbers
        found[LearningTask.SFT.value] += sum(rows[number][1] for number in numbers)
    fit = sum(fits for _, fits in rows)
    assert found.total() >= min(most, fit)
    if all(fits for _, fits in rows):
        assert len(seen) == min(len(rows), AHEAD * most)


def test_a_group_is_looked_at_once_for_all_that_it_has() -> None:
    listed = Shortlist(1, 0, kind)
    for number in range(6):
        pair = replace(row(number), task=LearningTask.PREFERENCE, rejected="other words")
        listed.add(number, (row(number), pair))
    first = listed.further({})
    found = {LearningTask.SFT.value: 9}
    second = listed.further(found)
    assert not first & second
    assert first | second == set(range(6))
    assert listed.further(found) == frozenset()


def test_of_a_corpus_a_few_are_held_and_the_others_counted() -> None:
    rows = [corpus_row(number) for number in range(100)]
    failure = replace(corpus_row(200), source_type=SourceType.SANDBOX)
    left: list[int] = []
    found = list(ahead([*rows, failure], 5, 1, left.append))
    assert len(found) == AHEAD * 5 + 1
    assert left == [100 - AHEAD * 5]
    assert failure in found
    kept = [each for each in found if each is not failure]
    assert kept == [each for each in rows if each in kept]
    assert kept != rows[: len(kept)]
    assert found == list(ahead([*rows, failure], 5, 1, left.append))
    assert found != list(ahead([*rows, failure], 5, 2, left.append))
    assert list(ahead(rows[:7], 5, 1, left.append)) == rows[:7]


def test_of_a_corpus_every_category_is_looked_at() -> None:
    rows = [corpus_row(number) for number in range(300)]
    rare = [replace(corpus_row(number), category=Category.TOOL) for number in range(300, 303)]
    left: list[int] = []
    found = list(ahead([*rows, *rare], 5, 1, left.append))
    assert [each for each in found if each in rare] == rare
    assert (len(found), left) == (AHEAD * 5, [303 - AHEAD * 5])


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 30)), st.integers(1, 60))
def test_each_kind_gives_in_turn(rows: dict[str, int], most: int) -> None:
    found = in_turn(rows, most)
    assert sum(found.values()) == min(most, sum(rows.values()))
    assert all(found[kind] <= there for kind, there in rows.items())
    largest = max(found.values(), default=0)
    assert all(found[kind] in (there, largest, largest - 1) for kind, there in rows.items())


def test_of_all_kinds_together_each_is_looked_at() -> None:
    listed, most = Shortlist(6, 0, kind, together=True), 6
    for number in range(90):
        listed.add(number, (row(number),))
    for number in range(90, 92):
        listed.add(
            number, (replace(row(number), task=LearningTask.PREFERENCE, rejected="other words"),)
        )
    first = listed.further({})
    assert {90, 91} <= first
    assert len(first) == AHEAD * (most - 2) + 2
    assert listed.further({LearningTask.SFT.value: 4, LearningTask.PREFERENCE.value: 2}) == set()
