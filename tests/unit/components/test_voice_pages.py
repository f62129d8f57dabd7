"""What the steps of a voice's graph say of their results."""

from __future__ import annotations

from components._voice_pages import adapter_rows, measure_rows
from everloop.reporting.voice import UNSCORED
from tests.made_voices import PLACEBO, comparison, estimate, training


def test_what_could_not_be_judged_is_told_where_there_is_any() -> None:
    _, rows, *_ = measure_rows(comparison(unscored=1234))
    assert (UNSCORED, "1,234") in rows
    _, rows, *_ = measure_rows(comparison())
    assert UNSCORED not in dict(rows)


def test_the_effect_is_told_by_task_with_rows_and_people() -> None:
    judged = comparison(
        by_task=(estimate("thumb", 0.3, 0.1, 82),), disliked=estimate("disliked", 0.7, 0.2, 14)
    )
    _, rows, metrics, _ = measure_rows(judged)
    told = ("effect, answers that were liked", "0.30 [0.20, 0.40]; n = 82 from 41 people")
    assert told in rows
    assert metrics["disliked"] == 0.7
    assert "margin" not in metrics


def test_a_training_tells_what_it_read_and_whose_it_is() -> None:
    found = training(rows_by_task={"preference": 64, "sft": 1}, people=12)
    rows = dict(adapter_rows(found)[1])
    assert (rows["learned from: preference"], rows["learned from: sft"]) == (
        "64 examples",
        "1 example",
    )
    assert rows["people who taught it"] == "12"
    placebo = dict(adapter_rows(training(PLACEBO, placebo=True))[1])
    assert "people who taught it" not in placebo
