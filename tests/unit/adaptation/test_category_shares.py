"""Shares of categories beside their ranges, by hand."""

from __future__ import annotations

import pytest

from everloop.adaptation.categories import dominating, shares
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.voice_spec import CATEGORY_RANGES, Category, CategoryRange, DataSpec


def test_both_bounds_are_reported_for_all_ten() -> None:
    counts = {Category.TECHNICAL: 26, Category.CREATIVE: 7, Category.TOOL: 67}
    told = {each.category: each for each in shares(counts, DataSpec())}
    assert list(told) == list(Category)
    technical, creative, tool = (told[each] for each in counts)
    assert (technical.rows, technical.share, technical.low, technical.high) == (26, 0.26, 0.25, 0.3)
    assert (technical.within, creative.within, tool.within) == (True, False, False)
    assert (told[Category.ETHICAL].share, told[Category.ETHICAL].within) == (0.0, False)


@pytest.mark.parametrize(("rows", "within"), [(24, False), (25, True), (30, True), (31, False)])
def test_bounds_belong_to_the_range(rows: int, within: bool) -> None:
    counts = {Category.TECHNICAL: rows, Category.FACTUAL: 100 - rows}
    assert shares(counts, DataSpec())[0].within is within


def test_no_corpus_can_be_within_every_range_of_the_product_specification() -> None:
    assert sum(each.low for each in CATEGORY_RANGES.values()) == pytest.approx(1.05)
    assert sum(each.high for each in CATEGORY_RANGES.values()) == pytest.approx(1.37)


def test_a_category_without_a_range_may_have_any_share() -> None:
    spec = DataSpec(ranges={Category.TOOL: CategoryRange(low=0.5, high=0.6)})
    told = {each.category: each for each in shares({Category.FACTUAL: 3}, spec)}
    assert (told[Category.FACTUAL].low, told[Category.FACTUAL].high) == (0.0, 1.0)
    assert told[Category.FACTUAL].within
    assert not told[Category.TOOL].within


def test_no_examples_no_shares() -> None:
    assert {each.share for each in shares({}, DataSpec())} == {0.0}
    assert dominating({}, DataSpec()) is None


def test_one_category_dominates_above_its_limit_alone() -> None:
    spec = DataSpec(max_category_share=0.5)
    assert dominating({Category.TOOL: 50, Category.FACTUAL: 50}, spec) is None
    assert dominating({Category.TOOL: 51, Category.FACTUAL: 49}, spec) is Category.TOOL


def test_counts_are_counts() -> None:
    with pytest.raises(ShouldFixArgument, match="-1"):
        shares({Category.TOOL: -1}, DataSpec())
