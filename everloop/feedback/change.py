"""How much of a text a correction changed."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\w+|[^\w\s]")


def share_changed(before: str, after: str) -> float:
    """Share of words and punctuation marks that differ, in [0, 1]; 0 for texts of the same tokens.

    1 - 2 L / (n + m) for texts of n and m tokens whose longest common subsequence has L. The
    subsequence is found bit-parallel (Hyyrö 2004): one addition of an n-bit number per token of
    ``after``, so that even adversarial texts of 20,000 characters take milliseconds.
    """
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    if not old and not new:
        return 0.0
    return 1.0 - 2.0 * _common(old, new) / (len(old) + len(new))


def _common(old: list[str], new: list[str]) -> int:
    """Length of the longest common subsequence."""
    places: dict[str, int] = {}
    for position, token in enumerate(old):
        places[token] = places.get(token, 0) | 1 << position
    every = (1 << len(old)) - 1
    row = every
    for token in new:
        match = row & places.get(token, 0)
        row = ((row + match) | (row - match)) & every
    return len(old) - row.bit_count()
