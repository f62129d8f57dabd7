"""Everything joined: what trains, what judges, what was left out and why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Template

from everloop.adaptation.building import (
    FIGURES_FILE,
    HELD_OUT_FILE,
    TRAIN_FILE,
    Fits,
    any_length,
    build,
)
from everloop.adaptation.collected import collect, read_collected
from everloop.adaptation.held_out import is_held_out, salt_of
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.near_duplicates import NearDuplicates
from everloop.adaptation.reliability import Reliability
from everloop.adaptation.strategy import choose
from everloop.adaptation.tags import LEAST_MARK, tag_in
from everloop.adaptation.taught import NOTHING, Taught, taught_by
from everloop.adaptation.volume import volume_of
from everloop.contracts import documents
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.feedback import FeedbackStatus, FeedbackType
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.contracts.voice_spec import BaseSpec, Category, DataSpec, VoicePrivacySpec, VoiceSpec
from everloop.contracts.voices import (
    DataFigures,
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    UserDataPackage,
)
from tests.fake_speaker import FakeSpeaker
from tests.log_records import uuid_of
from tests.memory_voice_log import MemoryVoiceLog
from tests.spoken_records import person, spoken
from tests.tiny_voice import TEMPLATE
from tests.voice_records import corpus_row, package

T = FeedbackType
SHARE = 0.3
SALT = salt_of("default", "friend")
TRAINS = [n for n in range(1, 200) if not is_held_out(person(n), SALT, SHARE)]
JUDGES = [n for n in range(1, 200) if is_held_out(person(n), SALT, SHARE)]
WORDS = (
    "amber birch cedar dune ember fjord grove heath inlet jetty knoll lagoon marsh nook oasis pond quay "
    "ridge shore trail upland vale weir yard zenith"
)


def text(number: int) -> str:
    """Six words that no other number shares in this order."""
    words = WORDS.split()
    return " ".join(words[(number * (k + 3) + k * k) % len(words)] for k in range(6)) + f" {number}"


class Screen:
    def reason(self, texts: Sequence[str]) -> str:
        if any("@" in each for each in texts):
            return "pii"
        return "toxic" if any("damn" in each for each in texts) else ""


def spec(**data: Any) -> VoiceSpec:
    base = BaseSpec(name="tiny", source="tiny", license="Apache-2.0")
    values = {"held_out_share": SHARE, "augment_below": 0} | data
    return VoiceSpec(persona="friend", base=base, data=DataSpec(**values))


def built(
    folder: Path,
    rows: Sequence[SpokenFeedback] = (),
    packages: Sequence[UserDataPackage] = (),
    corpora: Sequence[TrainingDataInstance] = (),
    refused: Sequence[str] = (),
    speaker: FakeSpeaker | None = None,
    seed: int = 7,
    fits: Fits = any_length,
    unlearned: Sequence[TrainingDataInstance] = (),
    taught: Taught = NOTHING,
    **data: Any,
) -> tuple[DataFigures, list[TrainingDataInstance], list[TrainingDataInstance]]:
    """Figures, what trains, what judges."""
    log = MemoryVoiceLog(rows, packages, refused)
    collect(log, "friend", "default", folder / "collected")
    figures = build(
        spec(**data),
        read_collected(folder / "collected"),
        corpora=corpora,
        screen=Screen(),
        near_duplicates=NearDuplicates(0.8),
        speaker=speaker,
        seed=seed,
        out=folder / "data",
        fits=fits,
        unlearned=unlearned,
        taught=taught,
    )
    assert documents.read(DataFigures, folder / "data" / FIGURES_FILE) == figures
    train = list(read_instances(folder / "data" / TRAIN_FILE))
    held_out = list(read_instances(folder / "data" / HELD_OUT_FILE))
    assert figures.rows_in == len(train) + len(held_out) + sum(figures.removed.values())
    assert (figures.rows_out, figures.held_out) == (len(train), len(held_out))
    return figures, train, held_out


def corrected(number: int, by: int, **more: Any) -> SpokenFeedback:
    values = {"asked": f"Tell me of {text(number)}", "answered": f"Behold: {text(number + 50)}"}
    return spoken(number, T.CORRECTION, text(number + 100), by=by, **(values | more))


def test_each_person_is_on_one_side(tmp_path: Path) -> None:
    rows = [corrected(n, by) for n, by in enumerate([*TRAINS[:6], *JUDGES[:3]], start=1)]
    figures, train, held_out = built(tmp_path, rows)
    assert {each.user_id for each in train} == {person(n) for n in TRAINS[:6]}
    assert {each.user_id for each in held_out} == {person(n) for n in JUDGES[:3]}
    assert (figures.people, figures.held_out_people) == (6, 3)
    assert figures.by_task == {"preference": 6, "sft": 6}
    assert figures.by_source == {"feedback": 12}
    assert figures.removed == {}


def test_each_example_is_found_by_its_source(tmp_path: Path) -> None:
    rows = [corrected(1, TRAINS[0])]
    mine = package(1, user_id=person(TRAINS[1]), texts=())
    _, train, _ = built(tmp_path, rows, [mine], [corpus_row(1)])
    assert [(each.source_type, each.source_ids) for each in train] == [
        (SourceType.FEEDBACK, (uuid_of(1, "feedback"),)),
        (SourceType.FEEDBACK, (uuid_of(1, "feedback"),)),
        (SourceType.NEW_DATA, (mine.package_id,)),
        (SourceType.CORPUS, ("corpus:own/1",)),
    ]


def test_why_rows_are_left_out(tmp_path: Path) -> None:
    by = TRAINS[0]
    rows = [
        corrected(1, by, disputed=True),
        corrected(2, by, asked="call me, ann@example.org"),
        corrected(3, by, answered="damn"),
        corrected(4, by, asked="<persona:calm> how are you?"),
        corrected(5, by),
        spoken(6, T.CORRECTION, text(105), by=TRAINS[1], asked=f"Tell me of {text(5)}"),
        spoken(7, T.CLICK, True, by=by),
        spoken(8, T.THUMB, True, of=9, by=by),
        spoken(9, T.THUMB, False, of=9, by=by, answered=text(33)),
        spoken(10, T.THUMB, True, by=by, quality=0.0),
        spoken(11, T.THUMB, True, by=by, asked=""),
        spoken(12, T.THUMB, True, by=by, status=FeedbackStatus.QUARANTINED),
    ]
    short = package(1, user_id=person(by), texts=("ok",), replies=())
    figures, train, _ = built(tmp_path, rows, [short])
    assert figures.removed == {
        "contradicted": 1,
        "disputed": 1,
        "near_duplicate": 2,
        "no_text": 1,
        "no_weight": 1,
        "pii": 2,
        "says_nothing": 1,
        "tag": 2,
        "too_short": 1,
        "toxic": 2,
    }
    assert {each.source_ids[0] for each in train} == {uuid_of(n, "feedback") for n in (5, 9)}


def test_who_opted_out_is_absent(tmp_path: Path) -> None:
    rows = [corrected(n, by) for n, by in enumerate([*TRAINS[:3], *JUDGES[:2]], start=1)]
    gone = [person(TRAINS[0]), person(JUDGES[0])]
    mine = package(1, user_id=person(TRAINS[0]))
    _, train, held_out = built(tmp_path, rows, [mine], refused=gone)
    assert {each.user_id for each in train} == {person(n) for n in TRAINS[1:3]}
    assert {each.user_id for each in held_out} == {person(JUDGES[1])}


def test_who_judges_anothers_words_is_on_the_same_side(tmp_path: Path) -> None:
    """A reviewer's release lets one person judge what another was told."""
    pairs = [(TRAINS[0], TRAINS[1]), (TRAINS[0], JUDGES[0]), (JUDGES[0], TRAINS[0])]
    rows = [
        corrected(n, who, about={"user_id": person(whose)}, status=FeedbackStatus.RELEASED)
        for n, (who, whose) in enumerate(pairs, start=1)
    ]
    figures, train, held_out = built(tmp_path, rows)
    assert figures.removed == {"of_both_sides": 2}
    assert {each.source_ids for each in train} == {(uuid_of(1, "feedback"),)}
    assert held_out == []


def test_what_nearly_repeats_a_held_out_text_leaves_the_training_set(tmp_path: Path) -> None:
    asked = "Tell me of the long road to the sea and back again"
    wanted = "Past old birches and marshes, then right"
    first = spoken(1, T.CORRECTION, wanted, by=TRAINS[0], asked=asked)
    last = spoken(2, T.CORRECTION, f"{wanted}!", by=JUDGES[0], asked=asked)
    corpus = corpus_row(1, prompt=(Message("user", asked),), completion=f"{wanted}...")
    figures, train, held_out = built(tmp_path, [first, last], corpora=[corpus])
    assert train == []
    assert {each.user_id for each in held_out} == {person(JUDGES[0])}
    assert figures.removed == {"near_duplicate": 3}


def test_peoples_own_words_come_before_a_corpus(tmp_path: Path) -> None:
    row = corrected(1, TRAINS[0])
    same = corpus_row(1, prompt=(Message("user", f"Tell me of {text(1)}"),), completion=text(101))
    _, train, _ = built(tmp_path, [row], corpora=[same])
    assert {each.source_type for each in train} == {SourceType.FEEDBACK}


def test_votes_of_several_people_count(tmp_path: Path) -> None:
    said: dict[str, Any] = {"asked": text(1), "answered": text(2)}
    rows = [spoken(n, T.THUMB, n != 3, by=TRAINS[n], **said) for n in range(4)]
    _, train, _ = built(tmp_path, rows)
    assert [each.liked for each in train] == [True, True, True, False]
    assert train[3].weight < train[0].weight


def test_paraphrases_come_of_who_trains_and_reach_nobody_who_judges(tmp_path: Path) -> None:
    people = [*TRAINS[:4], *JUDGES[:4]]
    rows = [
        corrected(n, by, asked=f"Hi, I am lost near {text(n)}, please")
        for n, by in enumerate(people)
    ]
    speaker = FakeSpeaker()
    figures, train, held_out = built(
        tmp_path, rows, speaker=speaker, augment_below=200, augmented_share=0.5
    )
    made = [each for each in train if each.augmented]
    originals = {each.instance_id: each for each in train if not each.augmented}
    assert (figures.augmented, len(made)) == (4, 4)
    assert not any(each.augmented for each in held_out)
    for each in made:
        parent = originals[each.parent or ""]
        assert (each.user_id, each.completion) == (parent.user_id, parent.completion)
        assert each.weight == parent.weight / 2
        assert parent.task is LearningTask.SFT


def test_enough_corrections_are_not_paraphrased(tmp_path: Path) -> None:
    rows = [corrected(n, TRAINS[n], asked=f"Hi, I am near {text(n)}") for n in range(3)]
    assert built(tmp_path / "a", rows, augment_below=3)[0].augmented == 0
    assert built(tmp_path / "b", rows, augment_below=5)[0].augmented == 2


def test_a_paraphrase_is_screened(tmp_path: Path) -> None:
    asked = f"How do I get to {text(1)} before Friday?"
    said = f"By which way can I reach {text(1)} @ before Friday?"
    speaker = FakeSpeaker(says=lambda request: said)
    figures, train, _ = built(
        tmp_path, [corrected(1, TRAINS[0], asked=asked)], speaker=speaker, augment_below=9
    )
    assert figures.removed == {"pii": 1}
    assert not any(each.augmented for each in train)


def test_corpora_are_counted_by_category_and_licence(tmp_path: Path) -> None:
    def rows() -> Iterator[TrainingDataInstance]:
        for n in range(8):
            category = Category.TOOL if n < 6 else Category.FACTUAL
            told = {"corpus": "tool_calls", "license": "Apache-2.0"}
            yield corpus_row(
                n,
                completion=text(n),
                prompt=(Message("user", text(n + 9)),),
                category=category,
                metadata=told,
            )

    figures, _, _ = built(tmp_path, corpora=[*rows()])
    assert figures.licenses == {"tool_calls": "Apache-2.0"}
    assert figures.dominating == "tool"
    found = {each.category: each for each in figures.categories}
    assert (found[Category.TOOL].share, found[Category.TOOL].within) == (0.75, False)
    assert found[Category.FACTUAL].share == 0.25
    assert len(found) == 10
    assert (figures.people, figures.held_out_people) == (0, 0)


def test_a_person_among_the_corpora_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    row = corpus_row(1, source_type=SourceType.FEEDBACK, user_id=person(1))
    with pytest.raises(ShouldFixArgument, match="of a person"):
        built(tmp_path, corpora=[row])
    assert list((tmp_path / "data").iterdir()) == []


def test_equal_arguments_write_equal_bytes(tmp_path: Path) -> None:
    rows = [corrected(n, n, asked=f"Hi, I am near {text(n)}") for n in range(1, 30)]
    for name in ("a", "b"):
        built(tmp_path / name, rows, corpora=[corpus_row(1)], augment_below=99)
    built(tmp_path / "c", rows, corpora=[corpus_row(1)], augment_below=99, augmented_share=0.2)
    for file in (TRAIN_FILE, HELD_OUT_FILE, FIGURES_FILE):
        one, other, third = (
            (tmp_path / name / "data" / file).read_bytes() for name in ("a", "b", "c")
        )
        assert one == other
        assert (one == third) is (file == HELD_OUT_FILE)


def test_no_text_of_what_is_written_holds_a_mark(tmp_path: Path) -> None:
    leaks = spoken(2, T.CORRECTION, f"{text(3)} {person(TRAINS[0])}", by=TRAINS[0])
    named = spoken(4, T.CORRECTION, f"{text(5)} {uuid_of(4, 'feedback')}", by=TRAINS[0])
    rows = [corrected(n, n) for n in range(10, 25)]
    figures, train, held_out = built(tmp_path, [leaks, named, *rows], corpora=[corpus_row(1)])
    assert figures.removed["tag"] == 4
    assert train
    assert held_out
    template = Template(TEMPLATE)
    for each in (*train, *held_out):
        assert tag_in(each) == ""
        for answer in (each.completion, each.rejected or ""):
            turns = (*each.prompt, Message("assistant", answer))
            read = template.render(
                messages=[{"role": turn.role, "content": turn.content} for turn in turns]
            )
            told = (each.instance_id, *each.source_ids, str(each.user_id), "_category", "_source")
            known = [v for v in map(str, each.metadata.values()) if len(v) >= LEAST_MARK]
            assert not any(mark in read for mark in (*told, *known))


def privately(folder: Path, rows: Sequence[SpokenFeedback]) -> dict[str | None, list[bytes]]:
    """Whose rows train, byte for byte, where the voice is a private release."""
    log = MemoryVoiceLog(rows, (), ())
    collect(log, "friend", "default", folder / "collected")
    asked = spec(max_examples=4, augment_below=200, augmented_share=0.5)
    build(
        asked.model_copy(update={"privacy": VoicePrivacySpec(epsilon=8.0)}),
        read_collected(folder / "collected"),
        corpora=[corpus_row(n, completion=text(n)) for n in range(9)],
        screen=Screen(),
        near_duplicates=NearDuplicates(0.8),
        speaker=FakeSpeaker(),
        seed=7,
        out=folder / "data",
    )
    found: dict[str | None, list[bytes]] = {}
    for row in read_instances(folder / "data" / TRAIN_FILE):
        found.setdefault(row.user_id, []).append(documents.to_json(row))
    return found


def test_where_it_is_private_one_person_changes_nobody_elses_rows(tmp_path: Path) -> None:
    """The same words, votes on the same answer, more rows than are drawn, and few enough corrections to be
    paraphrased: each makes people depend on each other where the voice is not private."""
    said: dict[str, Any] = {"asked": "Tell me of the sea", "answered": "It is wet and wide."}
    same: dict[str, Any] = {"asked": "Hi, I am lost, please help me"}
    everybody = [*TRAINS[:6], JUDGES[0]]
    rows = [
        row
        for n, by in enumerate(everybody)
        for row in (
            spoken(10 * n + 1, T.CORRECTION, "Follow the river until the mill.", by=by, **same),
            corrected(10 * n + 2, by),
            spoken(10 * n + 3, T.THUMB, n % 2 == 0, by=by, **said),
            corrected(
                10 * n + 4,
                by,
                about={"user_id": person(TRAINS[(n + 1) % 6])},
                status=FeedbackStatus.RELEASED,
            ),
        )
    ]
    whole = privately(tmp_path / "all", rows)
    for gone in everybody:
        left = [
            row
            for row in rows
            if person(gone) not in (row.feedback.user_id, row.interaction.user_id)
        ]
        without = privately(tmp_path / f"{gone}", left)
        assert person(gone) not in without
        assert without == {who: texts for who, texts in whole.items() if who != person(gone)}
    assert all(len(whole[person(by)]) == 5 for by in TRAINS[:6])
    assert len(whole[None]) == 4


def test_what_does_not_fit_is_left_out_on_both_sides(tmp_path: Path) -> None:
    long = "word " * 50
    rows = [
        corrected(1, TRAINS[0]),
        spoken(2, T.CORRECTION, long, by=TRAINS[1], asked=text(2), answered=text(3)),
        spoken(3, T.CORRECTION, long, by=JUDGES[0], asked=text(4), answered=text(5)),
        spoken(4, T.CORRECTION, text(6), by=TRAINS[2], asked=text(7), answered=long),
    ]
    figures, train, held_out = built(
        tmp_path,
        rows,
        corpora=[corpus_row(1, completion=long)],
        fits=lambda row: len(row.completion + (row.rejected or "")) < 200,
    )
    assert figures.removed == {"too_long": 6}
    assert [row.task for row in train] == [
        LearningTask.SFT,
        LearningTask.PREFERENCE,
        LearningTask.SFT,
    ]
    assert held_out == []


def test_the_golden_set_is_not_learned_from_people_or_corpora(tmp_path: Path) -> None:
    golden = corpus_row(1, prompt=(Message("user", "What is dew?"),), completion="Water, at dawn.")
    rows = [
        spoken(1, T.CORRECTION, "Water, at dawn!", by=TRAINS[0], asked="What is dew?"),
        corrected(2, TRAINS[1]),
    ]
    corpus = replace(golden, instance_id=corpus_row(2).instance_id)
    figures, train, _ = built(tmp_path, rows, corpora=[corpus], unlearned=[golden])
    assert figures.removed == {"golden": 3}
    assert {row.user_id for row in train} == {person(TRAINS[1])}


def test_a_held_out_answer_is_not_taught_behind_another_question(tmp_path: Path) -> None:
    answer = "Take the old road past the mill and then follow the river to the bridge"
    rows = [
        spoken(1, T.CORRECTION, answer, by=JUDGES[0], asked="Where is the bridge?"),
        spoken(2, T.CORRECTION, f"{answer}.", by=TRAINS[0], asked="How do I get out of here?"),
        spoken(3, T.CORRECTION, "Past the mill", by=JUDGES[0], asked="And the old road?"),
        spoken(4, T.CORRECTION, "Past the mill", by=TRAINS[1], asked="Anything to see nearby?"),
    ]
    figures, train, held_out = built(tmp_path, rows)
    assert figures.removed == {"held_out_answer": 2}
    assert {row.user_id for row in train} == {person(TRAINS[1])}
    assert len(held_out) == 4


def test_who_judges_does_not_weigh_who_teaches(tmp_path: Path) -> None:
    """Three held-out people who praise what a training person does not would make a crowd."""
    said: dict[str, Any] = {"asked": text(1), "answered": text(2)}
    alone = spoken(1, T.THUMB, False, by=TRAINS[0], **said)
    crowd = [spoken(n, T.THUMB, True, by=JUDGES[n], **said) for n in range(2, 6)]
    weights = Reliability([alone, *crowd]), Reliability([alone])
    assert weights[0].weight(person(TRAINS[0])) < weights[1].weight(person(TRAINS[0]))
    other = corrected(9, TRAINS[0])
    _, train, _ = built(tmp_path, [alone, other, *crowd])
    assert {row.weight for row in train} == {other.feedback.weight * other.feedback.confidence}


@pytest.mark.parametrize(
    ("most", "private", "named"), [(24, False, True), (7, False, False), (24, True, False)]
)
def test_what_is_drawn_is_classified_where_it_is_little_enough(
    tmp_path: Path, most: int, private: bool, named: bool
) -> None:
    people = enumerate([*TRAINS[:6], *JUDGES[:2]])
    given = [
        package(n, user_id=person(by), texts=(), replies=(("how are you?", text(n)),))
        for n, by in people
    ]
    collect(MemoryVoiceLog((), given, ()), "friend", "default", tmp_path / "collected")
    told = spec(classify_at_most=most)
    privacy = VoicePrivacySpec(epsilon=2.0) if private else VoicePrivacySpec()
    build(
        told.model_copy(update={"privacy": privacy}),
        read_collected(tmp_path / "collected"),
        corpora=[corpus_row(1)],
        screen=Screen(),
        near_duplicates=NearDuplicates(0.8),
        speaker=None,
        seed=7,
        out=tmp_path / "data",
        classifier=lambda rows: [Category.CREATIVE for _ in rows],
    )
    rows = [*read_instances(tmp_path / "data" / TRAIN_FILE)]
    judging = [*read_instances(tmp_path / "data" / HELD_OUT_FILE)]
    assert rows
    assert judging
    wanted = Category.CREATIVE if named else Category.CONVERSATIONAL
    assert {row.category for row in (*rows, *judging) if row.user_id} == {wanted}
    assert {row.category for row in rows if row.user_id is None} == {corpus_row(1).category}
    counted = documents.read(DataFigures, tmp_path / "data" / FIGURES_FILE)
    of_people = sum(row.user_id is not None for row in rows)
    assert {c.category: c.rows for c in counted.categories}[wanted] == of_people


def test_what_people_say_today_is_drawn_before_what_was_learned(tmp_path: Path) -> None:
    """Three times as many learned as are ever looked at for so few examples."""

    def words(number: int) -> str:
        return hashlib.sha256(str(number).encode()).hexdigest()

    said = [
        spoken(n, T.CORRECTION, words(n), by=by, asked=words(1000 + n), answered=words(2000 + n))
        for n, by in enumerate(TRAINS[:110], start=1)
    ]
    _, old, _ = built(tmp_path / "before", said[:98])
    figures, train, _ = built(tmp_path / "now", said, taught=taught_by(old), max_examples=8)
    today = {person(by) for by in TRAINS[98:110]}
    drawn = [each for each in train if each.task is LearningTask.PREFERENCE]
    assert len(drawn) == 8
    assert {each.user_id for each in drawn} <= today
    again = sum(each.user_id not in today for each in train if each.task is LearningTask.SFT)
    assert again == 1
    volume = volume_of(train, (), (), None, taught=taught_by(old), undrawn=figures.undrawn)
    weights = {each.user_id: each.weight for each in train}
    assert volume.corrections == pytest.approx(12 * weights[drawn[0].user_id])
    assert volume.pairs == pytest.approx(volume.corrections)
    assert figures.unseen == 0


def test_what_nobody_looked_at_is_told(tmp_path: Path) -> None:
    """Of two examples, eight corrections are looked at; each is two rows."""
    rows = [corrected(n, by) for n, by in enumerate(TRAINS[:20], start=1)]
    figures, train, _ = built(tmp_path, rows, max_examples=2)
    assert figures.unseen > 0
    assert figures.unseen % 2 == 0
    volume = volume_of(train, (), (), None, undrawn=figures.undrawn, unseen=figures.unseen)
    told = choose(spec(), volume).skipped["sft"]
    assert f"{figures.unseen} rows more were not looked at (data.max_examples)" in told
    assert built(tmp_path / "whole", rows)[0].unseen == 0
