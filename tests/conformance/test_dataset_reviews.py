"""What people had said of flagged episodes is part of a dataset version, as of the moment it was pinned."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, update

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.oversight import ReviewItem, ReviewKind, ReviewState, review_id_of
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.schema import dataset_pins
from everloop.storage.sql.engine import open_database, writing
from everloop.storage.sql.episode_reviews import SqlReviewStore
from everloop.storage.sql.event_log import SqlEventLog
from tests.conformance.test_review_store import item
from tests.log_records import (
    BEN,
    CLOSES_AFTER,
    DAY,
    NOON,
    SetClock,
    episode,
    extraction,
    loop_spec,
    refusal,
    uuid_of,
)

OPEN, RELEASED, REJECTED = ReviewState.OPEN, ReviewState.RELEASED, ReviewState.REJECTED
ANOMALY, OUTLIER = ReviewKind.ANOMALY, ReviewKind.OUTLIER_ACTION
NEXT = DAY + timedelta(days=1)


def said(version: DatasetVersion) -> dict[tuple[int, ReviewKind], ReviewState]:
    """(number of the episode, kind) -> state, in the version's order."""
    path = version.reviews_path
    if path is None:
        return {}
    known = {uuid_of(n): n for n in range(20)}
    rows = pq.read_table(path).to_pylist()
    ordered = [(row["episode_id"], row["kind"]) for row in rows]
    assert ordered == sorted(ordered)
    return {
        (known[row["episode_id"]], ReviewKind(row["kind"])): ReviewState(row["state"])
        for row in rows
    }


class DatasetReviewsSuite:
    opener: Callable[[Path, pytest.FixtureRequest], Engine]

    @pytest.fixture
    def engine(self, tmp_path: Path, request: pytest.FixtureRequest) -> Engine:
        engine = self.opener(tmp_path, request)
        log = SqlEventLog(engine, SetClock())
        log.append_episodes([episode(n, at=NOON - timedelta(hours=n)) for n in range(1, 6)])
        return engine

    @pytest.fixture
    def queue(self, engine: Engine) -> SqlReviewStore:
        return SqlReviewStore(engine)

    @pytest.fixture
    def datasets(self, engine: Engine, tmp_path: Path) -> LocalDatasetStore:
        return LocalDatasetStore(engine, tmp_path / "datasets", SetClock())

    def decide(self, queue: SqlReviewStore, of: ReviewItem, state: ReviewState) -> None:
        queue.decide(of.review_id, state, "looked", "ann", NOON, of.tenant)

    def test_each_state_is_what_it_was_when_the_date_was_pinned(
        self, queue: SqlReviewStore, datasets: LocalDatasetStore
    ) -> None:
        flagged = [item(1), item(2), item(3), item(3, OUTLIER)]
        queue.flag(flagged)
        self.decide(queue, flagged[0], RELEASED)
        self.decide(queue, flagged[1], RELEASED)
        self.decide(queue, flagged[1], REJECTED)
        self.decide(queue, flagged[3], RELEASED)
        version = datasets.extract(extraction())
        assert said(version) == {
            (1, ANOMALY): RELEASED,
            (2, ANOMALY): REJECTED,
            (3, ANOMALY): OPEN,
            (3, OUTLIER): RELEASED,
        }
        assert (version.manifest.reviews, version.manifest.review_revision) == (4, 8)
        assert version.manifest.episodes == 5

    def test_a_pinned_date_comes_out_byte_for_byte_whatever_is_decided_later(
        self, queue: SqlReviewStore, datasets: LocalDatasetStore, tmp_path: Path
    ) -> None:
        queue.flag([item(1)])
        before = datasets.extract(extraction())
        content = {path.name: path.read_bytes() for path in before.root.iterdir()}
        self.decide(queue, item(1), RELEASED)
        queue.flag([item(2)])
        shutil.rmtree(tmp_path / "datasets")
        again = datasets.extract(extraction())
        assert again == before
        assert {path.name: path.read_bytes() for path in again.root.iterdir()} == content
        assert said(again) == {(1, ANOMALY): OPEN}
        later = datasets.extract(extraction(NEXT))
        assert said(later) == {(1, ANOMALY): RELEASED, (2, ANOMALY): OPEN}

    def test_reading_anew_takes_what_was_decided_since(
        self, queue: SqlReviewStore, datasets: LocalDatasetStore
    ) -> None:
        first = datasets.extract(extraction())
        queue.flag([item(1)])
        assert datasets.extract(extraction()) == first
        again = datasets.extract(extraction(refresh=True))
        assert said(again) == {(1, ANOMALY): OPEN}
        assert datasets.extract(extraction()) == again

    def test_a_version_that_nobody_reviewed_has_the_id_that_it_had_before_reviews(
        self, queue: SqlReviewStore, datasets: LocalDatasetStore, engine: Engine, tmp_path: Path
    ) -> None:
        plain = datasets.extract(extraction())
        assert plain.reviews_path is None
        assert [file.name for file in plain.manifest.files] == [
            "episodes.parquet",
            "signals.parquet",
        ]
        with writing(engine) as connection:  # as a workspace of an earlier version left it
            connection.execute(update(dataset_pins).values(review_revision=None, dataset_id=None))
        queue.flag([item(1)])
        shutil.rmtree(tmp_path / "datasets")
        again = datasets.extract(extraction())
        assert again.manifest.dataset_id == plain.manifest.dataset_id
        assert again.manifest.review_revision == 0

    def test_which_version_an_old_pin_made_is_remembered(
        self, datasets: LocalDatasetStore, engine: Engine
    ) -> None:
        version = datasets.extract(extraction())
        with writing(engine) as connection:
            connection.execute(update(dataset_pins).values(review_revision=None, dataset_id=None))
        datasets.extract(extraction())
        with writing(engine) as connection:
            (stored,) = connection.scalars(
                dataset_pins.select().with_only_columns(dataset_pins.c.dataset_id)
            )
        assert stored == version.manifest.dataset_id

    def test_only_reviews_of_the_version_s_own_episodes_are_in_it(
        self, queue: SqlReviewStore, datasets: LocalDatasetStore, engine: Engine
    ) -> None:
        log = SqlEventLog(engine, SetClock())
        log.append_episodes(
            [
                episode(6, user_id=BEN),
                episode(7, at=NOON - timedelta(days=9)),
                episode(8, at=NOON + timedelta(days=1)),
                episode(9, loop="swim"),
                episode(10, at=NOON + timedelta(hours=12) - timedelta(seconds=CLOSES_AFTER - 1)),
                episode(1, tenant="acme"),
            ]
        )
        log.record_consent(refusal(BEN))
        theirs = item(1, tenant="acme")
        swim = item(9, loop="swim", review_id=review_id_of("swim", ANOMALY, uuid_of(9), "default"))
        queue.flag([*(item(n) for n in (5, 6, 7, 8, 10)), swim, theirs])
        self.decide(queue, theirs, REJECTED)
        assert said(datasets.extract(extraction())) == {(5, ANOMALY): OPEN}
        swam = datasets.extract(extraction(spec=loop_spec(name="swim")))
        assert said(swam) == {(9, ANOMALY): OPEN}
        other = datasets.extract(extraction(tenant="acme"))
        assert said(other) == {(1, ANOMALY): REJECTED}

    def test_an_episode_that_came_after_the_pin_brings_no_review(
        self, queue: SqlReviewStore, datasets: LocalDatasetStore, engine: Engine, tmp_path: Path
    ) -> None:
        queue.flag([item(1)])
        datasets.extract(extraction())
        SqlEventLog(engine, SetClock()).append_episodes([episode(11)])
        queue.flag([item(11)])
        with writing(engine) as connection:
            connection.execute(update(dataset_pins).values(review_revision=99, dataset_id=None))
        shutil.rmtree(tmp_path / "datasets")
        assert said(datasets.extract(extraction())) == {(1, ANOMALY): OPEN}

    def test_a_damaged_list_of_reviews_is_made_again(
        self, queue: SqlReviewStore, datasets: LocalDatasetStore
    ) -> None:
        queue.flag([item(1)])
        version = datasets.extract(extraction())
        assert version.reviews_path is not None
        version.reviews_path.write_bytes(b"PAR1 no more")
        again = datasets.extract(extraction())
        assert again == version
        assert said(again) == {(1, ANOMALY): OPEN}


class TestOnSqlite(DatasetReviewsSuite):
    @staticmethod
    def opener(folder: Path, request: pytest.FixtureRequest) -> Engine:
        return open_database("", folder / "state.db")


class TestOnPostgresql(DatasetReviewsSuite):
    @staticmethod
    def opener(folder: Path, request: pytest.FixtureRequest) -> Engine:
        return open_database(request.getfixturevalue("postgresql_url"), folder)
