"""Which of the things that one person said of one output count: by hand."""

from __future__ import annotations

import itertools
from typing import Any

from everloop.adaptation.standing import CONTRADICTED, Standing, Standings
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.voice_ports import SpokenFeedback
from tests.log_records import uuid_of
from tests.spoken_records import ANSWER, spoken

T = FeedbackType
SMALL = ANSWER.replace("delighted", "happy")


def stands(*rows: SpokenFeedback) -> list[Standing]:
    """The same whatever the stored order."""
    found = [
        [Standings(order).of(row.feedback.feedback_id) for row in rows]
        for order in itertools.permutations(rows)
    ]
    assert all(each == found[0] for each in found)
    return found[0]


def named(number: int) -> str:
    return uuid_of(number, "feedback")


def about(number: int, kind: FeedbackType, raw: Any, **more: Any) -> SpokenFeedback:
    return spoken(number, kind, raw, of=1, **more)


GONE = Standing(reason="contradicted")
AGAIN = Standing(reason="superseded")


def test_one_alone_counts_whole() -> None:
    assert stands(about(1, T.THUMB, True)) == [Standing()]


def test_of_praise_and_complaint_the_newest_counts_and_weighs_less() -> None:
    assert stands(about(1, T.THUMB, True), about(2, T.RATING, 1)) == [
        GONE,
        Standing(CONTRADICTED),
    ]


def test_the_newest_is_told_by_when_it_was_given_not_by_when_it_was_stored() -> None:
    late = about(2, T.THUMB, True)
    early = about(1, T.THUMB, False)
    assert stands(late, early) == [Standing(CONTRADICTED), GONE]


def test_what_is_said_again_counts_once() -> None:
    rows = [about(1, T.THUMB, True), about(2, T.RATING, 5), about(3, T.RATING, 4)]
    assert stands(*rows) == [AGAIN, AGAIN, Standing()]


def test_a_correction_and_a_thumb_say_two_things() -> None:
    rows = [about(1, T.THUMB, False), about(2, T.CORRECTION, "Sure!")]
    assert stands(*rows) == [Standing(), Standing()]


def test_of_two_corrections_the_newest_counts() -> None:
    rows = [about(1, T.CORRECTION, "Sure!"), about(2, T.CORRECTION, "Gladly!")]
    assert stands(*rows) == [AGAIN, Standing()]


def test_a_small_correction_contradicts_no_praise() -> None:
    rows = [about(1, T.THUMB, True), about(2, T.CORRECTION, SMALL)]
    assert stands(*rows) == [Standing(), Standing()]


def test_praise_after_a_large_correction_takes_it_back() -> None:
    rows = [about(1, T.CORRECTION, "Sure!"), about(2, T.THUMB, True)]
    assert stands(*rows) == [GONE, Standing(CONTRADICTED)]


def test_the_newest_correction_speaks_for_complaints_but_not_for_thumbs() -> None:
    rows = [
        about(1, T.CORRECTION, "Gladly!"),
        about(2, T.CATEGORICAL_CHOICE, "too_formal"),
        about(3, T.FREE_TEXT, "way too formal"),
        about(4, T.CORRECTION, "Sure!"),
        about(5, T.THUMB, False),
    ]
    told = Standing(reason="told_by_correction")
    spoken_for = Standing(also=(named(2), named(3)))
    assert stands(*rows) == [AGAIN, told, told, spoken_for, Standing()]


def test_comparisons_both_ways() -> None:
    yes, no = {"chosen": "yes", "rejected": "no"}, {"chosen": "no", "rejected": "yes"}
    rows = [about(1, T.COMPARISON, yes), about(2, T.COMPARISON, no), about(3, T.COMPARISON, yes)]
    assert stands(*rows) == [AGAIN, GONE, Standing(CONTRADICTED)]


def test_other_people_and_other_outputs_are_apart() -> None:
    rows = [
        about(1, T.THUMB, True),
        about(2, T.THUMB, False, by=2),
        spoken(3, T.THUMB, False, of=3),
        about(4, T.THUMB, False, disputed=True),
    ]
    assert stands(*rows) == [Standing()] * 4
