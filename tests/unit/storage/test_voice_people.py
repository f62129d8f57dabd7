"""Somebody's texts leave what voices learned from and say, and follow a change of pseudonyms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from sqlalchemy import Engine, text

from everloop.contracts.canonical import canonical_bytes
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.models import ModelType
from everloop.contracts.privacy import ErasureRecord
from everloop.contracts.voices import LearningTask, SourceType, VersionStatus
from everloop.privacy.renaming import renamed_arguments
from everloop.storage.local.blobs import LocalBlobStore
from everloop.storage.local.journal import FolderJournal
from everloop.storage.sql.engine import open_database, reading, writing
from everloop.storage.sql.erasure_journal import ErasureJournal
from everloop.storage.sql.people import SqlPersonStore
from everloop.storage.sql.persona_revisions import SqlPersonaStore
from everloop.storage.sql.persona_texts import PersonaTexts
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.renaming import Renaming
from everloop.storage.sql.voices import SqlVoiceStore
from tests.conformance.test_registry import checkpoint
from tests.feedback_records import SESSION, feedback, interaction, put
from tests.log_records import ANN, BEN, NOON, SetClock, uuid_of
from tests.voice_records import corpus_row, graph, instance, package, revision, version

CLEO = "c" * 64
SECRET = "the password of the cellar"
MODEL = uuid_of(1, "model")
LATER = NOON + timedelta(days=20)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database("", tmp_path / "state.db")


@pytest.fixture
def voices(engine: Engine) -> SqlVoiceStore:
    return SqlVoiceStore(engine, SetClock())


@pytest.fixture
def personas(engine: Engine) -> SqlPersonaStore:
    return SqlPersonaStore(engine)


def erase(engine: Engine, folder: Path, person: str = ANN) -> ErasureRecord:
    return SqlPersonStore(engine, folder).erase(person, "cli:ann", LATER)


def file_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("state.db*"))


def by(person: str, number: int) -> tuple[str, str, str]:
    return f"{SECRET} of {person[0]}{number}", uuid_of(number, "feedback"), person


class TestGraphs:
    def fill(self, engine: Engine, personas: SqlPersonaStore) -> None:
        """Ann's exemplar comes, Ben's comes, Ann's goes: three revisions after the first."""
        put(engine, interaction(1), feedback(1), interaction(2, user_id=BEN))
        put(engine, feedback(2, of=2, user_id=BEN))
        for number, held in enumerate(([], [by(ANN, 1)], [by(ANN, 1), by(BEN, 2)]), 1):
            cause = f"start {number}" if number == 1 else uuid_of(number - 1, "feedback")
            personas.append(revision(number, graph(*held), cause=cause, reason=f"because {SECRET}"))

    def test_no_revision_holds_the_person_and_a_new_one_serves(
        self, engine: Engine, personas: SqlPersonaStore, tmp_path: Path
    ) -> None:
        self.fill(engine, personas)
        before = {each.number: each for each in personas.revisions("friend")}
        record = erase(engine, tmp_path)
        after = {each.number: each for each in personas.revisions("friend")}
        assert after[1] == before[1]
        assert after[2].content == graph()
        assert after[3].content == after[4].content == graph(by(BEN, 2))
        assert [after[n].erased for n in (1, 2, 3, 4)] == [False, True, True, False]
        assert after[4].cause == f"erasure {record.erasure_id}"
        assert (after[2].cause, after[2].reason) == ("erased", "")
        assert after[3].cause == uuid_of(2, "feedback")
        assert personas.caused_by("friend", uuid_of(1, "feedback")) is None
        assert record.deleted["persona_texts"] == 2
        assert ANN.encode() not in after[3].content

    def test_undoing_to_a_revision_brings_nothing_back(
        self, engine: Engine, personas: SqlPersonaStore, tmp_path: Path
    ) -> None:
        self.fill(engine, personas)
        erase(engine, tmp_path)
        back = personas.revision("friend", 2)
        personas.append(revision(5, back.content, undoes=3))
        assert SECRET.encode() not in personas.revision("friend", 5).content

    def test_erasing_again_changes_nothing(
        self, engine: Engine, personas: SqlPersonaStore, tmp_path: Path
    ) -> None:
        self.fill(engine, personas)
        first = erase(engine, tmp_path)
        stood = personas.revisions("friend")
        assert erase(engine, tmp_path) == first
        assert personas.revisions("friend") == stood

    def test_what_served_without_them_goes_on_serving(
        self, engine: Engine, personas: SqlPersonaStore, tmp_path: Path
    ) -> None:
        self.fill(engine, personas)
        personas.append(revision(4, graph(by(BEN, 2))))
        erase(engine, tmp_path)
        newest = personas.newest("friend")
        assert newest is not None
        assert (newest.number, newest.cause, newest.erased) == (4, "cause 4", False)

    def test_what_others_said_of_their_interactions_goes_and_memories_too(
        self, engine: Engine, personas: SqlPersonaStore, tmp_path: Path
    ) -> None:
        """Ben corrected what Ann was told: the exemplar is his, the question hers."""
        put(engine, interaction(1), feedback(3, of=1, user_id=BEN))
        told = [{"text": SECRET, "source_id": uuid_of(1, "interaction"), "user_id": None}]
        kept = [{"text": "tea", "source_id": "run", "user_id": BEN}]
        personas.append(revision(1, graph(by(BEN, 3), memory=[*told, *kept])))
        personas.append(revision(1, graph(by(BEN, 3), user_id=BEN), user_id=BEN))
        erase(engine, tmp_path)
        assert personas.revision("friend", 1).content == graph(memory=kept)
        assert personas.revision("friend", 1, BEN).content == graph(user_id=BEN)
        newest = personas.newest("friend", BEN)
        assert newest is not None
        assert newest.number == 2

    def test_a_revision_that_comes_while_the_erasure_begins_is_reached(
        self, engine: Engine, personas: SqlPersonaStore
    ) -> None:
        with reading(engine) as connection:
            looked = PersonaTexts(connection, ANN, "default", frozenset())
        self.fill(engine, personas)
        with writing(engine) as connection:
            sources = frozenset({uuid_of(1, "feedback")})
            changed, contents = looked.erase(connection, sources, "e", LATER)
        assert (changed, len(contents)) == (2, 2)
        assert all(SECRET.encode() + b" of a" not in each.content for each in self.all(personas))

    def all(self, personas: SqlPersonaStore) -> Any:
        return personas.revisions("friend")

    def test_a_prompt_that_served_is_marked(
        self, engine: Engine, personas: SqlPersonaStore, tmp_path: Path
    ) -> None:
        self.fill(engine, personas)
        held = replace(
            checkpoint(1),
            model_type=ModelType.PROMPT,
            weights_sha256=personas.revision("friend", 3).sha256,
        )
        other = replace(
            checkpoint(2),
            model_type=ModelType.PROMPT,
            weights_sha256=personas.revision("friend", 1).sha256,
        )
        for made in (held, other):
            SqlRegistry(engine).register(made)
        assert erase(engine, tmp_path).checkpoints == (held.checkpoint_id,)

    def test_an_export_shows_what_others_graphs_hold(
        self, engine: Engine, personas: SqlPersonaStore, tmp_path: Path
    ) -> None:
        self.fill(engine, personas)
        personas.append(revision(1, graph(by(ANN, 1), user_id=ANN), user_id=ANN))
        shown = list(SqlPersonStore(engine, tmp_path).export(ANN))
        (said,) = [row for table, row in shown if table == "persona_texts"]
        assert (said["persona"], said["number"]) == ("friend", 2)
        assert said["said"]["answered"] == by(ANN, 1)[0]
        (own,) = [row for table, row in shown if table == "persona_revisions"]
        assert by(ANN, 1)[0] in own["content"]
        assert by(BEN, 2)[0] not in json.dumps(shown)


class TestInstances:
    def fill(self, engine: Engine, voices: SqlVoiceStore) -> dict[str, str]:
        """Name -> id of what the model learned from."""
        put(engine, interaction(1), feedback(1), interaction(2, user_id=BEN))
        put(engine, feedback(2, of=2, user_id=BEN), feedback(3, of=1, user_id=BEN))
        voices.add_package(package(1, texts=(SECRET,)), "key:ann")
        letter = {"source_type": SourceType.NEW_DATA}
        made = {
            "own": instance(1, completion=SECRET),
            "letter": instance(4, uuid_of(1, "package"), completion=SECRET + "!", **letter),
            "about": instance(3, user_id=BEN, completion=SECRET + "?"),
            "ben": instance(2, user_id=BEN),
            "corpus": corpus_row(1),
        }
        made["paraphrased"] = instance(
            2, user_id=BEN, completion="x", augmented="model", parent=made["own"].instance_id
        )
        made["again"] = instance(
            2, user_id=BEN, completion="y", augmented="rule", parent=made["paraphrased"].instance_id
        )
        voices.add_instances(list(made.values()), MODEL)
        return {name: one.instance_id for name, one in made.items()}

    def test_what_was_made_of_them_goes_and_models_are_to_forget(
        self, engine: Engine, voices: SqlVoiceStore, tmp_path: Path
    ) -> None:
        made = self.fill(engine, voices)
        voices.add_instances([corpus_row(1)], uuid_of(3, "model"))
        voices.add_version(version(1, status=VersionStatus.ACTIVE))
        voices.add_version(version(2, continued_from=MODEL))
        voices.add_version(version(3))
        record = erase(engine, tmp_path)
        left = {one.instance_id for one in voices.instances(MODEL)}
        assert left == {made["ben"], made["corpus"]}
        assert voices.instances_of(uuid_of(1, "feedback")) == ()
        assert [one.forgets for one in voices.versions("friend")] == [0, 5, 5]
        assert set(record.checkpoints) == {MODEL, uuid_of(2, "model")}
        assert record.deleted["training_data_instances"] == 5
        voices.set_status(uuid_of(3, "model"), VersionStatus.ARCHIVED)
        assert voices.learned_until("friend") is None

    def test_a_run_that_read_them_before_does_not_bring_them_back(
        self, engine: Engine, voices: SqlVoiceStore, tmp_path: Path
    ) -> None:
        put(engine, interaction(1), feedback(1))
        read = [instance(1, completion=SECRET), corpus_row(1)]
        erase(engine, tmp_path)
        assert voices.add_instances(read, MODEL) == 1
        made = voices.add_version(
            version(1, training_references=tuple(one.instance_id for one in read))
        )
        assert made.training_references == (read[1].instance_id,)
        assert made.forgets == 1
        assert SECRET.encode() not in file_bytes(tmp_path)

    def test_no_byte_is_left_in_the_files(
        self, engine: Engine, voices: SqlVoiceStore, personas: SqlPersonaStore, tmp_path: Path
    ) -> None:
        for number in range(1, 60):
            put(engine, interaction(number), feedback(number, of=number))
            voices.add_package(package(number, texts=(SECRET * 9,)), "key:ann")
            voices.add_instances([instance(number, completion=SECRET * 5)], MODEL)
            held = [by(ANN, one) for one in range(1, number + 1)]
            personas.append(revision(number, graph(*held), cause=uuid_of(number, "feedback")))
            personas.append(revision(number, graph(*held), user_id=ANN))
        voices.add_version(version(1, user_id=ANN))
        assert SECRET.encode() in file_bytes(tmp_path)
        erase(engine, tmp_path)
        left = file_bytes(tmp_path)
        assert SECRET.encode() not in left
        assert left.count(ANN.encode()) == 2, "the erasure and its index"
        newest = personas.newest("friend")
        assert newest is not None
        assert newest.number == 60

    def test_an_erasure_that_a_backup_lacks_is_made_up_for(
        self, engine: Engine, voices: SqlVoiceStore, tmp_path: Path
    ) -> None:
        journal = ErasureJournal(FolderJournal(tmp_path / "journal"), "key")
        lost = open_database("", tmp_path / "lost" / "state.db")
        SqlPersonStore(lost, tmp_path / "lost", journal).erase(ANN, "cli:ann", LATER)
        self.fill(engine, voices)
        SqlPersonStore(engine, tmp_path, journal).finish()
        assert SECRET.encode() not in file_bytes(tmp_path)
        assert voices.add_version(version(1)).forgets == 5


class TestFiles:
    def rows(self, folder: Path, name: str, *rows: object) -> Path:
        """A run whose artefacts hold rows, and its page."""
        place = folder / "runs" / "companion" / name / "artifacts" / "persona" / "build"
        place.mkdir(parents=True)
        lines = b"".join(canonical_bytes(row) + b"\n" for row in rows)
        (place / "train.jsonl.zst").write_bytes(pa.Codec("zstd").compress(lines, asbytes=True))
        (place / "page").write_text(f"<p>{name}</p>")
        (folder / "reports").mkdir(exist_ok=True)
        (folder / "reports" / f"{name}.html").write_text(f"<p>{name}</p>")
        return place

    def test_runs_that_hold_them_go_with_their_pages(self, engine: Engine, tmp_path: Path) -> None:
        put(engine, interaction(1), feedback(1), feedback(2, user_id=BEN))
        filler = ["x" * 1000] * 700
        made = {
            "own": self.rows(tmp_path, "own", filler, {"user_id": ANN}),
            "source": self.rows(
                tmp_path, "source", filler, {"source_ids": [uuid_of(2, "feedback")]}
            ),
            "other": self.rows(tmp_path, "other", filler, {"user_id": BEN}),
            "torn": self.rows(tmp_path, "torn", {}),
        }
        (made["torn"] / "train.jsonl.zst").write_bytes(b"torn")
        before = len(list((tmp_path / "reports").iterdir()))
        erase(engine, tmp_path)
        assert {name for name, place in made.items() if place.exists()} == {"other"}
        assert before == 4
        assert [page.name for page in (tmp_path / "reports").iterdir()] == ["other.html"]

    def test_a_graph_that_served_is_no_blob_any_more(
        self, engine: Engine, personas: SqlPersonaStore, tmp_path: Path
    ) -> None:
        blobs, file = LocalBlobStore(tmp_path / "blobs"), tmp_path / "persona.json"
        contents = (graph(), graph(by(ANN, 1)))
        put(engine, interaction(1), feedback(1))
        for number, content in enumerate(contents, 1):
            personas.append(revision(number, content))
        file.write_bytes(contents[0])
        kept = blobs.put(file)
        file.write_bytes(contents[1])
        gone = blobs.put(file)
        file.unlink()
        erase(engine, tmp_path)
        assert blobs.fetch(*kept).read_bytes() == graph()
        with pytest.raises(ShouldRestoreArtefact):
            blobs.fetch(*gone)
        assert list((tmp_path / "erasing").iterdir()) == []


class TestRenaming:
    NAMES: Mapping[str, str] = {ANN: "1" * 64, BEN: "2" * 64, CLEO: "3" * 64, SESSION: "5" * 64}

    def test_everybody_follows_and_is_known_again(
        self, engine: Engine, voices: SqlVoiceStore, personas: SqlPersonaStore
    ) -> None:
        put(engine, interaction(1), feedback(1))
        voices.add_package(package(1), "key:ann")
        voices.add_instances([instance(1), corpus_row(1)], MODEL)
        voices.add_version(version(1, user_id=ANN))
        voices.add_version(version(2))
        shared = graph(by(CLEO, 9), memory=[{"text": BEN, "source_id": "run", "user_id": BEN}])
        personas.append(revision(1, shared))
        personas.append(revision(1, graph(user_id=ANN), user_id=ANN))
        assert voices.judging("friend", {ANN: True, BEN: False}) == {ANN}
        with writing(engine) as connection:
            renaming = Renaming(connection, self.NAMES, renamed_arguments)
            assert renaming.uncovered() == {}
            done = renaming.carry_out()
        assert done.unrecognised == 0
        counted = {name: count for name, count in done.rows.items() if count}
        assert counted == {
            "interactions": 1,
            "feedback": 1,
            "user_data_packages": 1,
            "training_data_instances": 1,
            "model_versions": 1,
            "persona_revisions": 1,
            "voice_sides": 2,
            "persona_graphs": 2,
        }
        ann = self.NAMES[ANN]
        assert voices.add_package(package(1, user_id=ann), "key:ann") is False
        assert voices.instances_of(uuid_of(1, "feedback"))[0].user_id == ann
        assert [one.user_id for one in voices.versions("friend", ann)] == [ann]
        assert len(voices.versions("friend")) == 1
        assert voices.judging("friend", {ann: False, self.NAMES[BEN]: True}) == {ann}
        told = personas.revision("friend", 1)
        assert not told.erased
        assert orjson.loads(told.content)["exemplars"][0]["user_id"] == self.NAMES[CLEO]
        assert orjson.loads(told.content)["memory"][0] == {
            "text": BEN,
            "source_id": "run",
            "user_id": self.NAMES[BEN],
        }
        assert canonical_bytes(orjson.loads(told.content)) == told.content
        with reading(engine) as connection:
            stored = connection.execute(text("SELECT content, sha256 FROM persona_revisions"))
            for content, sha256 in stored:
                assert replace(told, content=content.encode()).sha256 == sha256
        assert personas.revision("friend", 1, ann).content == graph(user_id=ann)

    def test_who_is_not_listed_is_counted(
        self, engine: Engine, voices: SqlVoiceStore, personas: SqlPersonaStore
    ) -> None:
        voices.add_package(package(1), "key:ann")
        voices.add_version(version(1, user_id=BEN))
        voices.add_instances([corpus_row(1, task=LearningTask.THUMB, liked=True)], MODEL)
        personas.append(revision(1, graph(by(CLEO, 9))))
        with reading(engine) as connection:
            assert Renaming(connection, {}, renamed_arguments).uncovered() == {
                "user_data_packages": 1,
                "model_versions": 1,
                "persona_graphs": 1,
            }
