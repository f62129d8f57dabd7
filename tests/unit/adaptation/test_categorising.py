"""Whose category nobody named is named by a classifier, in its place and alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from everloop.adaptation.categorising import UNNAMED, categorised, is_unnamed
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import TrainingDataInstance
from tests.voice_records import instance


def test_a_classifier_names_what_nobody_named() -> None:
    asked: list[int] = []

    def classifier(rows: Sequence[TrainingDataInstance]) -> tuple[Category, ...]:
        asked.append(len(rows))
        return tuple(Category.CREATIVE for _ in rows)

    named = [instance(number) for number in range(1, 81)]
    rows = [
        replace(row, metadata={**row.metadata, **UNNAMED}) if number % 2 else row
        for number, row in enumerate(named)
    ]
    found = list(categorised(rows, classifier))
    assert [row.category for row in found] == [Category.EMPATHETIC, Category.CREATIVE] * 40
    assert asked == [32, 8]
    assert not any(map(is_unnamed, found))
    assert found[::2] == rows[::2]
    assert [row.instance_id for row in found] == [row.instance_id for row in rows]
    assert list(categorised(named, classifier)) == named
    assert asked == [32, 8]
