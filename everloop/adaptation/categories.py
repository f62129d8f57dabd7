"""What the examples teach, by category: shares beside the ranges that the specification asks for."""

from __future__ import annotations

from collections.abc import Mapping

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.voice_spec import Category, DataSpec
from everloop.contracts.voices import CategoryShare


def shares(counts: Mapping[Category, int], spec: DataSpec) -> tuple[CategoryShare, ...]:
    """Every category's share with both bounds of its range, in the order of ``Category``.

    A category without a range may have any share. Without examples every share is 0. The product
    specification's lower bounds add up to more than 1, so not every category can be within its range; each
    is reported by itself.

    Raises:
        ShouldFixArgument: a count is below 0.
    """
    total = _total(counts)
    reported = []
    for category in Category:
        rows = counts.get(category, 0)
        wanted = spec.ranges.get(category)
        low, high = (0.0, 1.0) if wanted is None else (wanted.low, wanted.high)
        share = rows / total if total else 0.0
        reported.append(CategoryShare(category, rows, share, low, high, low <= share <= high))
    return tuple(reported)


def dominating(counts: Mapping[Category, int], spec: DataSpec) -> Category | None:
    """The largest category where it has more than ``max_category_share``; None where none has.

    Raises:
        ShouldFixArgument: a count is below 0.
    """
    total = _total(counts)
    if not total:
        return None
    largest = max(Category, key=lambda category: counts.get(category, 0))
    return largest if counts.get(largest, 0) / total > spec.max_category_share else None


def _total(counts: Mapping[Category, int]) -> int:
    for category, rows in counts.items():
        if rows < 0:
            raise ShouldFixArgument(f"{category} has {rows} examples.", "Count from 0.")
    return sum(counts.values())
