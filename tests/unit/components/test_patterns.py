"""What the people's page says of groups."""

from __future__ import annotations

from components._patterns import pattern_rows
from everloop.contracts.group_patterns import GroupPattern


def pattern(people: float) -> GroupPattern:
    return GroupPattern(("pulse", "group"), ("40 to 54", "b"), people, 12.0, people / 1_000)


def test_the_largest_groups_come_first_in_words() -> None:
    rows = pattern_rows([pattern(120.0), pattern(250.0)])
    assert rows[0] == (
        "group: pulse 40 to 54, group b",
        "about 250 people, 25% (noise ± 12)",
    )
    assert len(rows) == 2
    assert pattern_rows([]) == ()


def test_what_is_not_shown_is_counted() -> None:
    rows = pattern_rows([pattern(float(i)) for i in range(100)])
    assert len(rows) == 61
    assert rows[-1] == ("more groups", "40")
