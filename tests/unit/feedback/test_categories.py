"""Categories: what each teaches, how people spell them, and a product's own."""

from __future__ import annotations

import pytest

from everloop.contracts.errors import ShouldFixFeedback
from everloop.feedback.categories import CATEGORIES, Category, CategoryTable


@pytest.mark.parametrize(
    ("name", "trait", "adjustment"),
    [
        ("too_formal", "formality", -0.2),
        ("too_casual", "formality", 0.2),
        ("too_long", "verbosity", -0.2),
        ("too_short", "verbosity", 0.2),
        ("rude", "warmth", 0.2),
        ("incorrect_information", None, 0.0),
        ("not_like_me", None, 0.0),
        ("nailed_it", None, 0.0),
    ],
)
def test_a_category_moves_its_trait(name: str, trait: str | None, adjustment: float) -> None:
    said = CATEGORIES[name].interpretation()
    assert (said.intent, said.trait, said.adjustment) == (name, trait, adjustment)


def test_praise_is_above_zero_and_complaints_below() -> None:
    praise = {"nailed_it", "sounds_like_me", "helpful", "liked"}
    assert {category.name for category in CATEGORIES if category.value > 0} == praise
    assert all(category.value != 0 for category in CATEGORIES)


@pytest.mark.parametrize("spelled", ["too_formal", "Too formal", " TOO-FORMAL ", "too  formal"])
def test_spellings_are_one(spelled: str) -> None:
    assert CATEGORIES.named(spelled).name == "too_formal"


def test_an_unknown_category_names_the_nearest() -> None:
    with pytest.raises(ShouldFixFeedback, match=r"'too_fromal'.*Did you mean 'too_formal'"):
        CATEGORIES.named("too_fromal")
    with pytest.raises(ShouldFixFeedback, match=r"Known: .*nailed_it"):
        CATEGORIES.named("qqqqqqqq")


def test_strength_stays_within_range() -> None:
    strong = CATEGORIES["incorrect_information"].interpretation(1.5)
    assert strong.value == -1.0
    assert CATEGORIES["too_formal"].interpretation(0.5).adjustment == pytest.approx(-0.1)
    assert CATEGORIES["too_formal"].interpretation(100.0).adjustment == -1.0


def test_a_product_adds_its_own_and_replaces_ours() -> None:
    own = CATEGORIES.extended(
        (
            Category("too_poetic", -0.3, "imagery", -0.1),
            Category("rude", -1.0, "warmth", 0.4),
        )
    )
    assert own.named("Too poetic").interpretation().trait == "imagery"
    assert own["rude"].adjustment == 0.4
    assert CATEGORIES["rude"].adjustment == 0.2
    assert "too_poetic" not in CATEGORIES


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"name": "Too formal", "value": 0.1}, "Too formal"),
        ({"name": "x", "value": 1.5}, "value=1.5"),
        ({"name": "x", "value": 0.5, "trait": "t", "adjustment": -2.0}, "adjustment=-2.0"),
        ({"name": "x", "value": 0.5, "trait": "t"}, "trait='t'"),
        ({"name": "x", "value": 0.5, "adjustment": 0.1}, "adjustment=0.1"),
    ],
)
def test_a_malformed_category_cannot_exist(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ShouldFixFeedback, match=named):
        Category(**wrong)  # type: ignore[arg-type]


def test_a_name_is_listed_once() -> None:
    with pytest.raises(ShouldFixFeedback, match="twice"):
        CategoryTable((Category("x", 0.1), Category("x", 0.2)))
