"""Categories by sentence vectors: on vectors by hand, and measured on the golden set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from everloop.adaptation.category_classifier import (
    CategoryClassifier,
    MiniLmEmbedder,
    is_call,
)
from everloop.adaptation.corpora import stream
from everloop.adaptation.own import LICENSE, golden_set
from everloop.contracts.voice_spec import Category, CorpusSpec


class _ByLetters:
    """Vectors that say how often each letter stands in a text."""

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counts = np.array(
            [
                [text.lower().count(letter) + 1e-3 for letter in "abcdefghijklmnopqrstuvwxyz"]
                for text in texts
            ],
            dtype=np.float32,
        )
        unit: NDArray[np.float32] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return unit


def test_every_example_gets_a_category_in_order() -> None:
    rows = list(stream(CorpusSpec(name="own", source="own", license=LICENSE), 1))
    classifier = CategoryClassifier(_ByLetters())
    named = classifier.categories(rows)
    assert len(named) == len(rows)
    assert classifier.categories(rows[5:6]) == named[5:6]
    assert classifier.categories([]) == ()
    calls = [name for row, name in zip(rows, named, strict=True) if is_call(row.completion)]
    assert set(calls) == {Category.TOOL}
    assert len(calls) >= 5


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('[{"name": "f", "arguments": {}}]', True),
        (' [{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]', True),
        ("[]", False),
        ('[{"name": "f"}]', False),
        ("[1, 2]", False),
        ("[not JSON", False),
        ("Oslo.", False),
    ],
)
def test_calls_are_told_from_text(text: str, wanted: bool) -> None:
    assert is_call(text) is wanted


@pytest.mark.slow
def test_most_of_the_golden_set_is_named_right() -> None:
    rows = golden_set()
    named = CategoryClassifier(MiniLmEmbedder()).categories(rows)
    right = sum(row.category is name for row, name in zip(rows, named, strict=True))
    assert right / len(rows) >= 0.85
