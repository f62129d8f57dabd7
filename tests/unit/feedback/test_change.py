"""How much a correction changed, against the textbook table of longest common subsequences."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.feedback.change import share_changed

words = st.lists(st.sampled_from("abcd"), max_size=24)


def longest_common(one: list[str], other: list[str]) -> int:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
            )
    return table[-1][-1]


@given(words, words)
def test_it_is_the_share_outside_the_longest_common_subsequence(
    one: list[str], other: list[str]
) -> None:
    total = len(one) + len(other)
    expected = 1 - 2 * longest_common(one, other) / total if total else 0.0
    assert share_changed(" ".join(one), " ".join(other)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ("", "", 0.0),
        ("", "hi", 1.0),
        ("hi", "hi", 0.0),
        ("a b c d", "a x c d", 0.25),
        ("See you.", "See you!", 1 / 3),
        ("spaces   do not\ncount", "spaces do not count", 0.0),
        ("alpha beta", "gamma delta", 1.0),
    ],
)
def test_known_changes(before: str, after: str, share: float) -> None:
    assert share_changed(before, after) == pytest.approx(share)


def test_the_worst_text_takes_no_time() -> None:
    began = time.perf_counter()
    share_changed("!" * 100_000, "!" * 20_000)
    assert time.perf_counter() - began < 2.0
