"""What of histograms may leave the workspace: no cell of fewer than ``SMALLEST`` episodes.

A cell of 1 or 2 is told as 0, one of 3 or 4 as ``SMALLEST``, and the field's most frequent cell makes up
for it. Nobody reads a small cell back: sums stay what they were, so no other field's sum gives it away,
and the cell that made up for it is known to nobody. The rule asks for nothing but the field itself, so both
sides of a comparison are treated alike without telling one from the other. Merging rare values into one
would move every one of them from its own share to another's, up to four episodes each, and look like
drift; so each cell moves by two at most, the most frequent one by two for every small cell.
"""

from __future__ import annotations

from dataclasses import replace

from everloop.contracts.monitoring import FieldCounts, InputHistograms
from everloop.monitoring.drift import FEWEST

SMALLEST = 5
"""Episodes in a cell that is told."""


def told(histograms: InputHistograms) -> InputHistograms | None:
    """Histograms whose every cell is 0 or at least ``SMALLEST``.

    Fields that fewer than ``FEWEST`` episodes had are left out, as are those whose most frequent cell is
    too small to make up for the others.

    Returns:
        None where there are fewer than ``FEWEST`` episodes or nothing is left: nothing of them is told.
    """
    if histograms.episodes < FEWEST:
        return None
    fields = tuple(found for each in histograms.fields if (found := _told(each)) is not None)
    return replace(histograms, fields=fields) if fields else None


def _told(field: FieldCounts) -> FieldCounts | None:
    largest = max(range(len(field.counts)), key=field.counts.__getitem__)
    if field.total < FEWEST or field.counts[largest] < SMALLEST:
        return None
    counts = [_rounded(count) for count in field.counts]
    counts[largest] += field.total - sum(counts)
    return replace(field, counts=tuple(counts)) if counts[largest] >= SMALLEST else None


def _rounded(count: int) -> int:
    if count >= SMALLEST:
        return count
    return SMALLEST if 2 * count > SMALLEST else 0
