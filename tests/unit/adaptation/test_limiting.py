from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from everloop.adaptation.data_tally import DataTally
from everloop.adaptation.drawing import NOT_DRAWN
from everloop.adaptation.instance_file import read_instances, write_instances
from everloop.adaptation.limiting import limit
from everloop.adaptation.taught import NOTHING, Taught, taught_by
from everloop.contracts.voice_spec import Category, DataSpec
from everloop.contracts.voices import (
    DataFigures,
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    instance_id_of,
)


def row(
    number: int,
    person: str | None = None,
    source: SourceType = SourceType.NEW_DATA,
    **more: Any,
) -> TrainingDataInstance:
    prompt, sources = (Message("user", f"Question {number}"),), (f"source-{number}",)
    task = LearningTask.SFT
    return TrainingDataInstance(
        instance_id=instance_id_of("default", task, prompt, "so", None, None, sources),
        source_type=SourceType.CORPUS if person is None else source,
        source_ids=sources,
        task=task,
        prompt=prompt,
        completion="so",
        user_id=person,
        **more,
    )


def liked(number: int, person: str) -> TrainingDataInstance:
    return replace(row(number, person), task=LearningTask.THUMB, liked=True)


def compared(number: int, person: str) -> TrainingDataInstance:
    return replace(row(number, person), task=LearningTask.PREFERENCE, rejected="no")


def drawn(
    folder: Path,
    train: list[TrainingDataInstance],
    judges: list[TrainingDataInstance],
    spec: DataSpec,
    seed: int = 1,
    taught: Taught = NOTHING,
    replay: float = 0.0,
) -> tuple[DataFigures, list[TrainingDataInstance], list[TrainingDataInstance]]:
    folder.mkdir(exist_ok=True)
    files = folder / f"train-{seed}", folder / f"held-{seed}"
    write_instances(train, files[0])
    write_instances(judges, files[1])
    tally = DataTally()
    tally.removed("pii", 3)
    for each in train:
        tally.teaches(each)
    for each in judges:
        tally.judges(each)
    figures = limit(*files, tally.figures(spec), spec, seed, taught=taught, replay=replay)
    return figures, list(read_instances(files[0])), list(read_instances(files[1]))


def test_one_of_each_person_comes_before_anybodys_second(tmp_path: Path) -> None:
    rows = [row(i, "loud") for i in range(50)] + [row(50 + i, f"p{i}") for i in range(9)]
    _, kept, _ = drawn(tmp_path, rows, [], DataSpec(max_examples=10))
    assert len({each.user_id for each in kept}) == 10


def test_what_people_said_of_answers_comes_before_their_other_texts(tmp_path: Path) -> None:
    rows = [row(i, f"p{i}") for i in range(30)]
    rows += [row(100 + i, "critic", SourceType.FEEDBACK) for i in range(5)]
    _, kept, _ = drawn(tmp_path, rows, [], DataSpec(max_examples=6))
    assert Counter(each.source_type for each in kept)[SourceType.FEEDBACK] == 5


@pytest.mark.parametrize(("people", "corpora", "expected"), [(50, 50, 2), (4, 50, 6), (50, 1, 1)])
def test_a_fifth_is_of_corpora_and_more_where_people_gave_little(
    tmp_path: Path, people: int, corpora: int, expected: int
) -> None:
    rows = [row(i, f"p{i}") for i in range(people)] + [row(900 + i) for i in range(corpora)]
    _, kept, _ = drawn(tmp_path, rows, [], DataSpec(max_examples=10))
    assert len(kept) == 10
    assert sum(each.user_id is None for each in kept) == expected


def test_everything_is_accounted_for_and_order_stays(tmp_path: Path) -> None:
    rows = [row(i, f"p{i % 7}") for i in range(40)]
    judges = [row(500 + i, f"j{i % 3}") for i in range(20)]
    spec = DataSpec(max_examples=12, max_held_out=5)
    figures, kept, judging = drawn(tmp_path, rows, judges, spec)
    assert (figures.rows_out, figures.held_out) == (12, 5) == (len(kept), len(judging))
    assert figures.removed == {NOT_DRAWN: 28 + 15, "pii": 3}
    assert figures.rows_in == 40 + 20 + 3
    assert kept == [each for each in rows if each in kept]
    assert len({each.user_id for each in judging}) == 3
    again, same, _ = drawn(tmp_path / "again", rows, judges, spec)
    assert (again, same) == (figures, kept)
    assert drawn(tmp_path, rows, judges, spec, seed=2)[1] != kept


def test_small_files_stay_as_they_are(tmp_path: Path) -> None:
    rows = [row(i, f"p{i}") for i in range(4)]
    figures, kept, _ = drawn(tmp_path, rows, [], DataSpec())
    assert kept == rows
    assert NOT_DRAWN not in figures.removed


@pytest.mark.parametrize(
    ("new", "replay", "expected"), [(4, 0.0, 4), (4, 0.3, 4), (50, 0.0, 10), (50, 0.3, 7)]
)
def test_what_was_learned_comes_last_and_for_replay(
    tmp_path: Path, new: int, replay: float, expected: int
) -> None:
    old = [row(i, f"p{i}", SourceType.FEEDBACK) for i in range(300)]
    said = [row(500 + i, f"p{i}") for i in range(new)]
    spec = DataSpec(max_examples=10)
    figures, kept, _ = drawn(
        tmp_path, [*old, *said], [], spec, taught=taught_by(old), replay=replay
    )
    assert len(kept) == 10
    assert sum(each in said for each in kept) == expected
    assert figures.undrawn == ({"own_texts": new - expected} if new > expected else {})


def test_what_judges_is_of_every_task(tmp_path: Path) -> None:
    """Most people only ever thumbed; whatever trains is judged all the same."""
    judges = [liked(i, f"p{i}") for i in range(80)]
    judges += [compared(100 + i, f"p{i}") for i in range(3)]
    judges += [row(200 + i, f"p{i}") for i in range(80)]
    figures, _, judging = drawn(tmp_path, [], judges, DataSpec(max_held_out=21))
    assert Counter(each.task.value for each in judging) == {"thumb": 9, "preference": 3, "sft": 9}
    assert figures.held_out_by_task == {"thumb": 9, "preference": 3, "sft": 9}


def test_of_corpora_each_category_gives_in_turn_and_those_that_lack_first(tmp_path: Path) -> None:
    people = [row(i, f"p{i}") for i in range(50)]
    kinds = {Category.CONVERSATIONAL: 500, Category.EMPATHETIC: 20, Category.TOOL: 20}
    kinds |= {Category.FACTUAL: 1}
    corpora = [
        row(1000 * place + i, category=kind)
        for place, (kind, rows) in enumerate(kinds.items(), start=1)
        for i in range(rows)
    ]
    _, kept, _ = drawn(tmp_path, [*people, *corpora], [], DataSpec(max_examples=50))
    found = Counter(each.category for each in kept if each.user_id is None)
    # Of fifty rows 5 to 6 are to be empathetic, 2.5 to 4 of tools; 40 of people's are conversational.
    assert found == {Category.EMPATHETIC: 5, Category.TOOL: 4, Category.FACTUAL: 1}
