"""What every ``PersonStore`` must do: show everything of a person, and forget it everywhere."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Column, Engine, LargeBinary, Table, func, insert, select

from everloop.contracts import documents
from everloop.contracts.access import AuditEntry
from everloop.contracts.datasets import SIGNALS_FILE
from everloop.contracts.errors import ShouldFreeDisk, ShouldRestoreArtefact
from everloop.contracts.feedback import FeedbackStatus, implied_signal_id
from everloop.contracts.models import (
    ModelCheckpoint,
    ProfileSource,
    SyntheticProfile,
    inside_profile_id,
)
from everloop.contracts.oversight import ReviewState
from everloop.contracts.synthetic_jobs import AugmentParameters
from everloop.settings import Bucket
from everloop.storage.gcp.datasets import GcsDatasetStore
from everloop.storage.ledger_tables import privacy_people
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.local.erased_artefacts import CACHED, ErasedArtefacts, HeldFiles
from everloop.storage.rollout_tables import exposures, variant_experiments
from everloop.storage.schema import PSEUDONYM, metadata
from everloop.storage.sql import people
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.engine import open_database, reading, writing
from everloop.storage.sql.episode_reviews import SqlReviewStore
from everloop.storage.sql.erasure_marks import PersonErased
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.feedback import SqlFeedbackStore
from everloop.storage.sql.people import SqlPersonStore
from everloop.storage.sql.person_rows import KEPT, erasable_rows
from everloop.storage.sql.persona_revisions import SqlPersonaStore
from everloop.storage.sql.profiles import SqlProfileStore
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.synthetic_jobs import SqlSyntheticJobStore
from everloop.storage.sql.voices import SqlVoiceStore
from tests.conformance.test_registry import checkpoint
from tests.conformance.test_review_store import item as flagged_episode
from tests.conformance.test_synthetic_job_store import job as synthetic_job
from tests.feedback_records import decision, feedback, interaction, put, review
from tests.log_records import (
    ANN,
    BEN,
    DAY,
    NOON,
    TYPES,
    SetClock,
    dispute,
    episode,
    extraction,
    refusal,
    signal,
    uuid_of,
)
from tests.voice_records import graph, instance, package, revision, version

LATER = NOON + timedelta(days=20)
ACTOR = "key:admin"
PLANTED = "a sentence that nobody else says"


@dataclass(frozen=True)
class Opened:
    engine: Engine
    home: Path
    people: SqlPersonStore
    log: SqlEventLog
    datasets: LocalDatasetStore | GcsDatasetStore
    registry: SqlRegistry

    def rows(self, table: Table) -> int:
        with reading(self.engine) as connection:
            return connection.scalar(select(func.count()).select_from(table)) or 0

    def counts(self) -> dict[str, int]:
        return {table.name: self.rows(table) for table in metadata.tables.values()}

    def erase(self, person: str = ANN, **changes: Any) -> Any:
        return self.people.erase(person, ACTOR, LATER, **changes)

    def exported(self, person: str = ANN, tenant: str = "default") -> Counter[str]:
        return Counter(table for table, _ in self.people.export(person, tenant))

    def audited(self) -> list[AuditEntry]:
        entries = SqlAuditLog(self.engine, SetClock()).entries("default", limit=1000)
        return [entry for entry in entries if entry.action == "person.erase"]

    def made(self, dataset_id: str, number: int, **changes: Any) -> ModelCheckpoint:
        lineage = {"dataset": dataset_id, "seed": "7"}
        return self.registry.register(checkpoint(number, lineage=lineage, **changes))


def fill(store: Opened, person: str, first: int, tenant: str = "default") -> None:
    """Two episodes and a row in every table that can hold a person."""
    mine: dict[str, Any] = {"user_id": person, "tenant": tenant}
    put(
        store.engine,
        *(episode(n, **mine) for n in (first, first + 1)),
        signal(first, of=first, tenant=tenant),
        decision(first, **mine),
        interaction(first, input_data=PLANTED + person, episode_id=uuid_of(first), **mine),
        feedback(first, of=first, **mine),
    )
    store.log.record_dispute(dataclasses.replace(dispute(first), tenant=tenant))
    store.log.record_consent(dataclasses.replace(refusal(person, granted=True), tenant=tenant))
    reviews = SqlFeedbackStore(store.engine, SetClock())
    reviews.review(review(first, FeedbackStatus.RELEASED, tenant=tenant), (), ACTOR)
    flagged, queue = flagged_episode(first, tenant=tenant), SqlReviewStore(store.engine)
    queue.flag([flagged])
    queue.decide(flagged.review_id, ReviewState.REJECTED, PLANTED, ACTOR, LATER, tenant)
    put_exposure(store.engine, person, tenant)
    put_voice(store.engine, person, first, tenant)


def put_voice(engine: Engine, person: str, number: int, tenant: str) -> None:
    """A package, an instance that a model learned from, a twin with its graph, and a side."""
    mine: dict[str, Any] = {"user_id": person, "tenant": tenant}
    voices = SqlVoiceStore(engine, SetClock())
    voices.add_package(package(number, texts=(PLANTED + person,), **mine), ACTOR)
    learned = instance(number, completion=PLANTED + person, **mine)
    voices.add_instances([learned], f"model of {tenant}")
    voices.add_version(version(number, model_id=f"twin {number}", **mine))
    voices.judging("friend", {person: False}, tenant)
    content = graph((PLANTED + person, uuid_of(number, "feedback"), person))
    told = revision(1, content, persona=f"persona {number}", **mine)
    SqlPersonaStore(engine).append(told)


def put_exposure(engine: Engine, person: str, tenant: str) -> None:
    """A person's meeting with a variant of the tenant's one experiment, unless they met it before."""
    experiment = {"tenant": tenant, "experiment_id": uuid_of(1, f"experiment of {tenant}")}
    with writing(engine) as connection:
        known = select(variant_experiments.c.experiment_id).filter_by(**experiment)
        if connection.scalar(known) is None:
            connection.execute(
                insert(variant_experiments).values(
                    **experiment,
                    loop="walk",
                    subject="persona",
                    base="base",
                    state="running",
                    generation=0,
                    document={},
                    started_at=NOON,
                )
            )
        met = select(exposures.c.user_id).filter_by(**experiment, user_id=person)
        if connection.scalar(met) is None:
            connection.execute(
                insert(exposures).values(**experiment, user_id=person, variant_id="b", at=NOON)
            )


def implied(number: int) -> str:
    """The id of the signal that a feedback implies."""
    return implied_signal_id(uuid_of(number, "feedback"), TYPES[1])


EVERYTHING = {
    "training_episodes": 2,
    "reward_signals": 1,
    "disputes": 1,
    "decisions": 1,
    "interactions": 1,
    "feedback": 1,
    "feedback_reviews": 1,
    "consents": 1,
    "reviews": 1,
    "review_decisions": 2,
    "exposures": 1,
    "user_data_packages": 1,
    "training_data_instances": 1,
    "training_instance_sources": 1,
    "model_version_instances": 1,
    "model_versions": 1,
    "persona_revisions": 1,
    "voice_sides": 1,
}
VOICES = ("model of default", "twin 1")
"""What learned from the person whose first number is 1, and what speaks as them."""


class PersonStoreSuite(ABC):
    @abstractmethod
    def connect(self, folder: Path, request: pytest.FixtureRequest) -> Engine:
        """Open a database."""

    def person_store(self, engine: Engine, home: Path) -> SqlPersonStore:
        return SqlPersonStore(engine, home)

    def dataset_store(self, engine: Engine, home: Path) -> LocalDatasetStore | GcsDatasetStore:
        return LocalDatasetStore(engine, home / "datasets", SetClock())

    @pytest.fixture
    def store(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
        engine, home = self.connect(tmp_path, request), tmp_path
        yield Opened(
            engine,
            home,
            self.person_store(engine, home),
            SqlEventLog(engine, SetClock()),
            self.dataset_store(engine, home),
            SqlRegistry(engine, SetClock()),
        )
        engine.dispose()

    def test_shows_every_row_of_the_person_and_no_other(self, store: Opened) -> None:
        fill(store, ANN, 1)
        fill(store, BEN, 11)
        assert store.exported() == EVERYTHING
        text = json.dumps(list(store.people.export(ANN)))
        assert PLANTED + ANN in text
        assert PLANTED + BEN not in text
        assert uuid_of(11) not in text
        assert "payload_sha256" not in text
        assert store.exported("c" * 64) == {}
        assert store.exported(ANN, "other") == {}

    def test_who_reads_slowly_keeps_nobody_waiting(self, store: Opened) -> None:
        fill(store, ANN, 1)
        before = list(store.people.export(ANN))
        slow = [store.people.export(ANN) for _ in range(20)]
        shown = [[next(rows)] for rows in slow]
        store.erase()
        assert store.exported() == {"erasures": 1}
        for seen, rows in zip(shown, slow, strict=True):
            assert [*seen, *rows] == before

    def test_what_is_shown_of_many_rows_is_whole(
        self, store: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(store, ANN, 1)
        whole = list(store.people.export(ANN))
        monkeypatch.setattr(people, "_IN_MEMORY", 10)
        assert list(store.people.export(ANN)) == whole
        assert [path.name for path in store.home.iterdir() if path.name.startswith("tmp")] == []

    def test_an_export_that_does_not_fit_is_named(
        self, store: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(**_: object) -> BytesIO:
            class Full(BytesIO):
                def write(self, _: Any) -> int:
                    raise OSError(errno.ENOSPC, "No space left on device")

            return Full()

        fill(store, ANN, 1)
        monkeypatch.setattr(people, "SpooledTemporaryFile", full)
        with pytest.raises(ShouldFreeDisk, match="export"):
            next(store.people.export(ANN))

    def test_forgets_the_person_everywhere_and_nobody_else(self, store: Opened) -> None:
        fill(store, BEN, 11)
        fill(store, ANN, 21, tenant="other")
        before = store.counts()
        fill(store, ANN, 1)
        record = store.erase()
        assert record.deleted == EVERYTHING | {"mentions": 0, "persona_texts": 0}
        after = store.counts()
        changed = {name for name in after if after[name] != before[name]}
        kept = {"erasures", "erasure_marks", "forgotten_instances", "ingest_counters", "audit_log"}
        assert changed == kept & changed
        assert store.exported() == {"erasures": 1}
        assert store.exported(BEN) == EVERYTHING
        assert store.exported(ANN, "other") == EVERYTHING

    def test_every_table_that_can_hold_a_person_is_known(self, store: Opened) -> None:
        """A new table with a pseudonym, or with rows that hang on one's, must be taken up here."""

        def holds(column: Column[Any]) -> bool:
            named = column.name in {"user_id", "person", "pseudonym"}
            return named and column.type is PSEUDONYM

        direct = {table for table in metadata.tables.values() if any(map(holds, table.c))}
        assert len(direct) >= 7
        hanging, size = set(direct) - set(KEPT), 0
        while size != len(hanging):
            size = len(hanging)
            hanging |= {
                table
                for table in metadata.tables.values()
                if any(key.column.table in hanging for key in table.foreign_keys)
            }
        known = {part.table for part in erasable_rows(ANN, "default")}
        assert hanging - set(KEPT) == known

    def test_is_idempotent(self, store: Opened) -> None:
        fill(store, ANN, 1)
        first = store.erase()
        before = store.counts()
        again = store.people.erase(ANN, "key:other", LATER + timedelta(days=1))
        assert again == first
        assert store.counts() == before
        assert len(store.audited()) == 1

    def test_who_comes_back_can_be_erased_again(self, store: Opened) -> None:
        fill(store, ANN, 1)
        first = store.erase()
        put(store.engine, episode(5, user_id=ANN))
        second = store.erase()
        assert second.erasure_id != first.erasure_id
        assert second.deleted["training_episodes"] == 1
        assert store.exported() == {"erasures": 2}

    def test_an_unknown_person_is_erased_in_advance(self, store: Opened) -> None:
        record = store.erase()
        assert not any(record.deleted.values())
        assert store.erase() == record

    def test_is_audited_without_naming_the_person(self, store: Opened) -> None:
        fill(store, ANN, 1)
        record = store.erase(reason="asked by letter")
        (entry,) = store.audited()
        assert (entry.actor, entry.resource, entry.rows) == (ACTOR, record.erasure_id, 20)
        assert entry.detail == {"deleted": dict(record.deleted), "reason": "asked by letter"}
        assert ANN not in repr(entry)

    def test_who_had_withdrawn_stays_withdrawn(self, store: Opened) -> None:
        hour = timedelta(hours=1)
        serve = dataclasses.replace(refusal(ANN), purpose="serve")
        for row in (
            refusal(ANN, NOON - hour),
            refusal(ANN, NOON, granted=True),
            refusal(ANN, NOON + hour),
            serve,
            dataclasses.replace(serve, granted=True, recorded_at=NOON + hour),
        ):
            store.log.record_consent(row)
        assert store.erase().deleted["consents"] == 4
        assert store.log.consents(ANN) == (refusal(ANN, NOON + hour),)
        assert store.erase().deleted["consents"] == 4

    def test_what_privacy_has_cost_stays(self, store: Opened) -> None:
        with writing(store.engine) as connection:
            connection.execute(insert(privacy_people).values(number=1, person=ANN, mu_squared=0.25))
        fill(store, ANN, 1)
        store.erase()
        assert dict(store.people.export(ANN))["privacy_people"]["mu_squared"] == 0.25

    def test_what_others_decisions_were_about_names_the_person_no_more(self, store: Opened) -> None:
        about = {"user_ids": [ANN, BEN], "note": f"with {ANN}", "depth": {"of": 1}}
        own = episode(7, user_id=BEN, action_arguments=about)
        put(store.engine, own, decision(8, user_id=BEN, action_arguments=about))
        assert store.erase().deleted["mentions"] == 2
        (kept,) = store.log.episodes_of(BEN)
        assert kept.action_arguments == {
            "user_ids": ["erased", BEN],
            "note": "with erased",
            "depth": {"of": 1},
        }
        # The payload's checksum is the original's: the product may send it again.
        assert store.log.append_episodes([own]).replayed == 1

    def test_datasets_that_held_the_person_are_gone_and_come_out_anew(self, store: Opened) -> None:
        fill(store, ANN, 1)
        fill(store, BEN, 11)
        first = store.datasets.extract(extraction())
        untouched = store.datasets.extract(extraction(DAY - timedelta(days=9)))
        fed = store.made(first.manifest.dataset_id, 1)
        other = store.made(untouched.manifest.dataset_id, 2)
        record = store.erase()
        assert record.datasets == (first.manifest.dataset_id,)
        assert record.checkpoints == (fed.checkpoint_id, *VOICES)
        assert not first.root.exists()
        with pytest.raises(ShouldRestoreArtefact, match="erased on a person's request"):
            store.datasets.open(first.manifest.dataset_id)
        again = store.datasets.extract(extraction())
        assert again.manifest.dataset_id != first.manifest.dataset_id
        assert again.manifest.episode_watermark == first.manifest.episode_watermark
        assert set(pq.read_table(again.episodes_path)["person"].to_pylist()) == {BEN}
        assert store.datasets.extract(extraction()).manifest == again.manifest
        assert store.datasets.open(untouched.manifest.dataset_id) == untouched
        assert {(m.kind, m.artefact_id) for m in store.people.marks()} == {
            ("dataset", first.manifest.dataset_id),
            *(("checkpoint", name) for name in (fed.checkpoint_id, *VOICES)),
        }
        assert other.checkpoint_id not in {m.artefact_id for m in store.people.marks()}
        assert store.registry.checkpoint(fed.checkpoint_id) == fed

    def test_a_dataset_about_the_person_goes_too(self, store: Opened) -> None:
        put(store.engine, episode(7, user_id=BEN, action_arguments={"user_ids": [ANN]}))
        first = store.datasets.extract(extraction())
        assert store.erase().datasets == (first.manifest.dataset_id,)
        text = store.datasets.extract(extraction()).episodes_path.read_bytes()
        assert ANN.encode() not in text

    def test_what_was_made_of_the_person_s_data_goes_too(self, store: Opened) -> None:
        """Two augmentations with other seeds; the generated profile is nobody's."""
        jobs, profiles = SqlSyntheticJobStore(store.engine), SqlProfileStore(store.engine)
        for number, seed in enumerate((3, 9)):
            asked = AugmentParameters(per_person=2, seed=seed, logical_date=DAY)
            jobs.request(synthetic_job(number, parameters=asked, releases=()))

        def row(profile_id: str, source: ProfileSource) -> SyntheticProfile:
            return SyntheticProfile(profile_id, (0.5,), {"age": "old"}, (), source, "inside")

        mine, other = [
            [
                row(inside_profile_id(person), ProfileSource.REAL),
                row(inside_profile_id(person, "3/1"), ProfileSource.AUGMENTED),
                row(inside_profile_id(person, "9/0"), ProfileSource.AUGMENTED),
            ]
            for person in (ANN, BEN)
        ]
        nobody = row(uuid_of(1, "nobody"), ProfileSource.GENERATED)
        profiles.append([*mine, *other, nobody], "walk")
        assert store.exported() == {"synthetic_profiles": 3}
        record = store.erase()
        assert {n: rows for n, rows in record.deleted.items() if rows} == {"synthetic_profiles": 3}
        left = {profile.profile_id for profile in profiles.profiles("walk")}
        assert left == {profile.profile_id for profile in (*other, nobody)}

    def test_what_the_person_taught_of_others_decisions_goes_too(self, store: Opened) -> None:
        """Ben's decision, judged by Ann twice and by Ben once; one of Ann's is disputed."""
        fill(store, BEN, 11)
        fill(store, BEN, 21)
        kinds = {40: BEN, 41: ANN, 42: ANN}
        put(
            store.engine,
            interaction(40, user_id=BEN, episode_id=uuid_of(21)),
            *(feedback(n, of=40, user_id=who) for n, who in kinds.items()),
            *(signal(n, of=21, signal_id=implied(n), signal_type=TYPES[1]) for n in kinds),
        )
        store.log.record_dispute(dataclasses.replace(dispute(), signal_id=implied(42)))
        first = store.datasets.extract(extraction())
        fed = store.made(first.manifest.dataset_id, 1)
        assert store.exported() == {"feedback": 2, "reward_signals": 2, "disputes": 1}
        record = store.erase()
        assert {name: rows for name, rows in record.deleted.items() if rows} == {
            "feedback": 2,
            "reward_signals": 2,
            "disputes": 1,
        }
        left = store.log.signals_of([uuid_of(21)])[uuid_of(21)]
        assert {each.signal_id for each in left} == {uuid_of(21, "signal"), implied(40)}
        assert record.datasets == (first.manifest.dataset_id,)
        assert record.checkpoints == (fed.checkpoint_id,)
        again = store.datasets.extract(extraction())
        kept = set(pq.read_table(again.root / SIGNALS_FILE)["signal_id"].to_pylist())
        assert not {implied(41), implied(42)} & kept
        assert implied(40) in kept
        assert store.exported() == {"erasures": 1}
        assert store.exported(BEN)["reward_signals"] == 3

    def test_what_the_person_taught_elsewhere_marks_checkpoints_in_doubt(
        self, store: Opened
    ) -> None:
        put(
            store.engine,
            episode(1, user_id=BEN),
            interaction(1, user_id=BEN, episode_id=uuid_of(1)),
            feedback(1, user_id=ANN),
            signal(1, signal_id=implied(1), signal_type=TYPES[1]),
        )
        lost = store.made("d" * 64, 4)
        store.made("d" * 64, 5, loop="run")
        reports = store.home / "reports"
        reports.mkdir()
        (reports / "shows.html").write_text(f"<p>{uuid_of(1)}</p>")
        assert store.erase().checkpoints == (lost.checkpoint_id,)
        assert list(reports.iterdir()) == []

    def test_more_signals_than_fit_a_statement_go(self, store: Opened) -> None:
        numbers = range(1, 1203)
        put(
            store.engine,
            episode(1, user_id=BEN),
            interaction(1, user_id=BEN, episode_id=uuid_of(1)),
            *(feedback(n, user_id=ANN) for n in numbers),
            *(signal(n, signal_id=implied(n), signal_type=TYPES[1]) for n in numbers),
        )
        assert store.erase().deleted["reward_signals"] == len(numbers)
        assert store.log.signals_of([uuid_of(1)]) == {}

    def test_a_checkpoint_registered_after_the_erasure_is_marked(self, store: Opened) -> None:
        fill(store, ANN, 1)
        made = store.datasets.extract(extraction()).manifest.dataset_id
        store.erase()
        late = store.made(made, 3)
        marks = {m.artefact_id: m for m in store.people.marks()}
        assert marks[late.checkpoint_id].kind == "checkpoint"
        assert store.people.marks("other") == ()

    def test_a_checkpoint_whose_dataset_is_gone_is_marked_in_doubt(self, store: Opened) -> None:
        fill(store, ANN, 1)
        lost = store.made("d" * 64, 4)
        elsewhere = store.made("d" * 64, 5, loop="run")
        assert store.erase().checkpoints == (lost.checkpoint_id, *VOICES)
        assert elsewhere.checkpoint_id != lost.checkpoint_id

    def test_runs_and_reports_that_show_the_person_are_gone(self, store: Opened) -> None:
        fill(store, ANN, 1)
        fill(store, BEN, 11)
        version = store.datasets.extract(extraction())
        run = store.home / "runs" / "walk" / "default"
        for date, dataset_id in (("a", version.manifest.dataset_id), ("b", "e" * 64)):
            folder = run / date / "artifacts" / "daily" / "extract-episodes"
            folder.mkdir(parents=True)
            (folder / "dataset").write_text(json.dumps({"dataset_id": dataset_id}))
            (run / date / "cache").mkdir()
            (run / date / "graph.yaml").touch()
        reports = store.home / "reports"
        reports.mkdir()
        (reports / "shows.html").write_text(f"<p>{uuid_of(1)}</p>")
        (reports / "aggregates.html").write_text(f"<p>{uuid_of(11)}</p>")
        store.erase()
        assert sorted(p.name for p in (run / "a").iterdir()) == ["graph.yaml"]
        assert sorted(p.name for p in (run / "b").iterdir()) == ["artifacts", "cache", "graph.yaml"]
        assert [p.name for p in reports.iterdir()] == ["aggregates.html"]
        assert list((store.home / "erasing").iterdir()) == []

    def test_an_unreadable_dataset_counts_as_holding_the_person(self, store: Opened) -> None:
        fill(store, BEN, 11)
        version = store.datasets.extract(extraction())
        version.episodes_path.write_bytes(b"torn")
        assert store.erase(ANN).datasets == (version.manifest.dataset_id,)

    def test_a_killed_erasure_is_finished_on_the_next_start(
        self, store: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(store, ANN, 1)
        version = store.datasets.extract(extraction())

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(ErasedArtefacts, "_delete", killed)
        with pytest.raises(KeyboardInterrupt):
            store.erase()
        monkeypatch.undo()
        assert version.root.exists()
        assert store.exported() == {"erasures": 1}
        with pytest.raises(ShouldRestoreArtefact, match="erased on a person's request"):
            store.datasets.open(version.manifest.dataset_id)
        self.person_store(store.engine, store.home).finish()
        assert not version.root.exists()
        assert list((store.home / "erasing").iterdir()) == []

    def test_an_erasure_that_fails_deletes_nothing(
        self, store: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(store, ANN, 1)
        version = store.datasets.extract(extraction())
        before = store.counts()

        def failing(*_: object) -> None:
            raise RuntimeError("power cut")

        monkeypatch.setattr("everloop.storage.sql.erasing.append_audit", failing)
        with pytest.raises(RuntimeError, match="power cut"):
            store.erase()
        monkeypatch.undo()
        store.people.finish()
        assert store.counts() == before
        assert store.datasets.open(version.manifest.dataset_id) == version
        (note,) = (store.home / "erasing").iterdir()
        old = time.time() - 7200
        os.utime(note, (old, old))
        store.people.finish()
        assert list((store.home / "erasing").iterdir()) == []
        assert version.root.exists()

    def test_nobody_erased_during_an_extraction_is_in_it(
        self, store: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(store, ANN, 1)
        fill(store, BEN, 11)
        kind = type(store.datasets)
        publish = kind._publish
        tries: list[str] = []

        def slowly(self: Any, *rest: Any) -> Any:
            tries.append(rest[1].dataset_id)
            if len(tries) == 1:
                store.erase()
            return publish(self, *rest)

        monkeypatch.setattr(kind, "_publish", slowly)
        version = store.datasets.extract(extraction())
        assert len(tries) == 2
        assert set(pq.read_table(version.episodes_path)["person"].to_pylist()) == {BEN}
        assert [p.name for p in version.root.parent.iterdir()] == [version.manifest.dataset_id]
        assert issubclass(PersonErased, Exception)

    def test_a_person_logged_anew_unchanged_is_not_trained_on_by_an_erased_version(
        self, store: Opened
    ) -> None:
        put(store.engine, episode(1))
        first = store.datasets.extract(extraction())
        store.erase()
        put(store.engine, episode(1))
        with pytest.raises(ShouldRestoreArtefact, match="erase them again"):
            store.datasets.extract(extraction(refresh=True))
        assert first.manifest.episodes == 1

    def test_several_may_finish_and_erase_at_once(self, store: Opened) -> None:
        fill(store, ANN, 1)
        fill(store, BEN, 11)
        version = store.datasets.extract(extraction())
        others = [self.person_store(store.engine, store.home) for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            done = list(
                pool.map(lambda i: others[i].erase((ANN, BEN)[i % 2], ACTOR, LATER), range(6))
            )
        assert len({record.erasure_id for record in done}) == 2
        assert not version.root.exists()
        assert list((store.home / "erasing").iterdir()) == []
        assert store.rows(metadata.tables["training_episodes"]) == 0

    def test_notes_are_documents(self, store: Opened, tmp_path: Path) -> None:
        held = HeldFiles(("d" * 64,), ("a.html",))
        files = ErasedArtefacts(tmp_path / "x")
        files.note("id", held)
        assert documents.read(HeldFiles, tmp_path / "x" / "erasing" / "id.json") == held


class TestOnSqlite(PersonStoreSuite):
    def connect(self, folder: Path, request: pytest.FixtureRequest) -> Engine:
        return open_database("", folder / "state.db")

    def test_no_byte_of_the_person_is_left_in_the_files(self, store: Opened) -> None:
        for number in range(1, 400, 10):
            fill(store, BEN if number % 20 == 1 else ANN, number)
        planted = (PLANTED + ANN).encode()
        assert any(planted in path.read_bytes() for path in store.home.glob("state.db*"))
        store.erase()
        for path in store.home.glob("state.db*"):
            data = path.read_bytes()
            assert planted not in data
            assert (PLANTED + BEN).encode() in data or path.name != "state.db"


class TestOnPostgresql(PersonStoreSuite):
    def connect(self, folder: Path, request: pytest.FixtureRequest) -> Engine:
        return open_database(request.getfixturevalue("postgresql_url"), folder)


@pytest.mark.gcp
class TestInBucket(TestOnPostgresql):
    @pytest.fixture(autouse=True)
    def take_bucket(self, bucket: Bucket, gcs_client: Any) -> None:
        from everloop.storage.gcp.objects import Objects

        self.objects = Objects(bucket, gcs_client)

    def person_store(self, engine: Engine, home: Path) -> SqlPersonStore:
        from everloop.storage.gcp.opening import stores

        files = stores(self.objects, engine, home).artefacts
        return SqlPersonStore(engine, home, files=files)

    def dataset_store(self, engine: Engine, home: Path) -> GcsDatasetStore:
        from everloop.storage.gcp.versions import BucketVersions

        return GcsDatasetStore(engine, BucketVersions(self.objects), home / CACHED, SetClock())

    @pytest.fixture(autouse=True)
    def nothing_left(self, take_bucket: None, store: Opened) -> Iterator[None]:
        """What the bucket holds at the end is what is published."""
        yield
        left = {one.name.split("/")[1] for one in self.objects.list("datasets/")}
        assert left == set(self.person_store(store.engine, store.home)._files.present().datasets)


def test_checksums_are_the_only_bytes_of_person_tables() -> None:
    """Exports leave bytes out because they are checksums; another kind of bytes must be shown."""
    bytes_of = {
        column.name
        for part in erasable_rows(ANN, "default")
        for column in part.table.c
        if isinstance(column.type, LargeBinary)
    }
    assert bytes_of == {"payload_sha256"}
