"""What the steps of a voice's graph say of their results."""

from __future__ import annotations

from components._voice_pages import measure_rows
from everloop.reporting.voice import UNSCORED
from tests.made_voices import comparison


def test_what_could_not_be_judged_is_told_where_there_is_any() -> None:
    _, rows, *_ = measure_rows(comparison(unscored=1234))
    assert (UNSCORED, "1,234") in rows
    _, rows, *_ = measure_rows(comparison())
    assert UNSCORED not in dict(rows)
