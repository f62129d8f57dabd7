"""What every ``ReviewStore`` must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput, ShouldNameKnownId
from everloop.contracts.oversight import ReviewItem, ReviewKind, ReviewState, review_id_of
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.engine import open_database, reading
from everloop.storage.sql.episode_reviews import EPISODE_REVIEWS, SqlReviewStore
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.ingest_counters import last_number
from tests.log_records import NOON, SetClock, episode, uuid_of

Opener = Callable[[], Engine]
LATER = NOON + timedelta(days=2)


def item(
    number: int = 1,
    kind: ReviewKind = ReviewKind.ANOMALY,
    tenant: str = "default",
    **changes: Any,
) -> ReviewItem:
    values: dict[str, Any] = {
        "review_id": review_id_of("walk", kind, uuid_of(number), tenant),
        "kind": kind,
        "loop": "walk",
        "episode_id": uuid_of(number),
        "reason": "signals contradict each other: é",
        "score": 5.0 + number / 3,
        "flagged_at": NOON + timedelta(hours=number),
        "tenant": tenant,
    }
    return ReviewItem(**(values | changes))


class ReviewStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        """A function that opens the same database again and again."""

    @pytest.fixture
    def engine(self, tmp_path: Path, request: pytest.FixtureRequest) -> Engine:
        engine = self.opener(tmp_path, request)()
        log = SqlEventLog(engine, SetClock())
        log.append_episodes([episode(n) for n in range(1, 8)])
        log.append_episodes([episode(n, tenant="acme") for n in range(1, 3)])
        return engine

    @pytest.fixture
    def store(self, engine: Engine) -> SqlReviewStore:
        return SqlReviewStore(engine)

    def revision(self, engine: Engine, tenant: str = "default") -> int:
        with reading(engine) as connection:
            return last_number(connection, tenant, EPISODE_REVIEWS)

    def audited(self, engine: Engine) -> list[str]:
        entries = SqlAuditLog(engine, SetClock()).entries("default", limit=1000)
        return [entry.action for entry in entries]

    def test_what_was_flagged_is_read_as_it_was(
        self, store: SqlReviewStore, engine: Engine
    ) -> None:
        assert store.flag([item(1), item(2, ReviewKind.OUTLIER_ACTION)]) == 2
        again = SqlReviewStore(engine)
        assert again.items() == (item(1), item(2, ReviewKind.OUTLIER_ACTION))
        assert again.item(item(1).review_id) == item(1)
        assert again.item(item(1).review_id.upper()) == item(1)

    def test_flagging_again_is_the_same_item_and_takes_no_revision(
        self, store: SqlReviewStore, engine: Engine
    ) -> None:
        assert store.flag([item(1), item(1, score=9.0)]) == 1
        before = self.revision(engine)
        assert store.flag([item(1, score=8.0, flagged_at=LATER)]) == 0
        assert store.items() == (item(1),)
        assert self.revision(engine) == before == 1
        assert store.flag([]) == 0

    def test_one_kind_of_suspicion_is_not_another(self, store: SqlReviewStore) -> None:
        store.flag([item(1)])
        self.decide(store, item(1), ReviewState.RELEASED)
        assert store.flag([item(1, ReviewKind.OUTLIER_ACTION)]) == 1
        assert [found.kind for found in store.items()] == [ReviewKind.OUTLIER_ACTION]

    def decide(
        self, store: SqlReviewStore, of: ReviewItem, state: ReviewState, **changes: Any
    ) -> ReviewItem:
        said = {"reason": "looked at it", "actor": "ann", "at": LATER, "tenant": of.tenant}
        return store.decide(of.review_id, state, **(said | changes))

    @pytest.mark.parametrize("state", [ReviewState.RELEASED, ReviewState.REJECTED])
    def test_what_was_decided_stays_decided_when_it_is_flagged_again(
        self, store: SqlReviewStore, state: ReviewState
    ) -> None:
        store.flag([item(1), item(2)])
        decided = self.decide(store, item(1), state)
        assert decided == replace(
            item(1),
            state=state,
            decided_by="ann",
            decided_at=LATER,
            decision_reason="looked at it",
        )
        assert store.flag([item(1)]) == 0
        assert store.item(item(1).review_id) == decided
        assert store.items() == (item(2),)
        assert store.items(state=state) == (decided,)
        assert store.items(state=None) == (decided, item(2))

    def test_every_change_takes_the_next_revision_and_is_audited(
        self, store: SqlReviewStore, engine: Engine
    ) -> None:
        store.flag([item(1), item(2)])
        assert (self.revision(engine), self.audited(engine)) == (2, [])
        self.decide(store, item(1), ReviewState.REJECTED)
        self.decide(store, item(1), ReviewState.RELEASED)
        opened = self.decide(store, item(1), ReviewState.OPEN)
        assert (opened.state, opened.decided_by) == (ReviewState.OPEN, "ann")
        assert self.revision(engine) == 5
        assert self.audited(engine) == ["review.reject", "review.release", "review.reopen"]

    def test_saying_the_same_again_changes_nothing(
        self, store: SqlReviewStore, engine: Engine
    ) -> None:
        store.flag([item(1)])
        first = self.decide(store, item(1), ReviewState.REJECTED)
        again = self.decide(store, item(1), ReviewState.REJECTED, at=LATER + timedelta(days=1))
        assert again == first
        assert (self.revision(engine), len(self.audited(engine))) == (2, 1)
        other = self.decide(store, item(1), ReviewState.REJECTED, actor="ben")
        assert other.decided_by == "ben"
        assert (self.revision(engine), len(self.audited(engine))) == (3, 2)

    def test_opening_what_is_open_changes_nothing(
        self, store: SqlReviewStore, engine: Engine
    ) -> None:
        store.flag([item(1)])
        assert self.decide(store, item(1), ReviewState.OPEN) == item(1)
        assert (self.revision(engine), self.audited(engine)) == (1, [])

    def test_pages_hold_every_item_once_oldest_first(self, store: SqlReviewStore) -> None:
        same = [item(n, flagged_at=NOON) for n in (4, 5, 6)]
        store.flag([item(3), *same, item(2), item(1, flagged_at=NOON - timedelta(days=1))])
        whole = store.items()
        tied = sorted(same, key=lambda one: one.review_id)
        first = item(1, flagged_at=NOON - timedelta(days=1))
        assert whole == (first, *tied, item(2), item(3))
        paged: list[ReviewItem] = []
        while page := store.items(after=paged[-1].review_id if paged else "", limit=2):
            assert len(page) <= 2
            paged += page
        assert tuple(paged) == whole

    def test_a_page_goes_on_after_one_that_was_decided_meanwhile(
        self, store: SqlReviewStore
    ) -> None:
        store.flag([item(n) for n in (1, 2, 3)])
        self.decide(store, item(2), ReviewState.RELEASED)
        assert store.items(after=item(2).review_id) == (item(3),)

    def test_loops_are_told_apart(self, store: SqlReviewStore) -> None:
        swim = item(2, loop="swim")
        store.flag([item(1), swim])
        assert store.items("swim") == (swim,)
        assert store.items(None) == (item(1), swim)
        assert store.counts("walk") == {
            ReviewState.OPEN: 1,
            ReviewState.RELEASED: 0,
            ReviewState.REJECTED: 0,
        }

    def test_counts_are_by_the_newest_state(self, store: SqlReviewStore) -> None:
        store.flag([item(n) for n in range(1, 6)])
        for number, states in {
            1: (ReviewState.RELEASED,),
            2: (ReviewState.RELEASED, ReviewState.REJECTED),
            3: (ReviewState.REJECTED, ReviewState.OPEN),
        }.items():
            for state in states:
                self.decide(store, item(number), state)
        assert store.counts("walk") == {
            ReviewState.OPEN: 3,
            ReviewState.RELEASED: 1,
            ReviewState.REJECTED: 1,
        }

    def test_tenants_see_their_own_alone(self, store: SqlReviewStore, engine: Engine) -> None:
        mine, theirs = item(1), item(1, tenant="acme")
        assert store.flag([mine, theirs]) == 2
        assert store.items() == (mine,)
        assert store.items(tenant="acme") == (theirs,)
        assert (self.revision(engine), self.revision(engine, "acme")) == (1, 1)
        with pytest.raises(ShouldNameKnownId, match=theirs.review_id):
            store.item(theirs.review_id)
        with pytest.raises(ShouldNameKnownId):
            self.decide(store, replace(theirs, tenant="default"), ReviewState.RELEASED)
        assert store.items(tenant="acme") == (theirs,)
        assert sum(store.counts("walk", "acme").values()) == 1

    def test_an_episode_that_was_erased_meanwhile_is_not_queued(
        self, store: SqlReviewStore, engine: Engine
    ) -> None:
        assert store.flag([item(1), item(99)]) == 1
        assert store.items() == (item(1),)
        assert self.revision(engine) == 1
        assert store.flag([item(5, tenant="acme")]) == 0

    def test_more_than_fit_a_statement(self, store: SqlReviewStore, engine: Engine) -> None:
        log = SqlEventLog(engine, SetClock())
        log.append_episodes([episode(n) for n in range(100, 1300)])
        many = [item(n) for n in range(100, 1300)]
        assert store.flag(many[:700]) == 700
        assert store.flag(many) == 500
        assert store.counts("walk")[ReviewState.OPEN] == 1200
        assert len(store.items(limit=1000)) == 1000

    @pytest.mark.parametrize("said", [{"actor": " "}, {"reason": ""}])
    def test_a_decision_without_a_name_or_a_reason_is_refused(
        self, store: SqlReviewStore, said: dict[str, str]
    ) -> None:
        store.flag([item(1)])
        with pytest.raises(ShouldFixArgument, match="who decides and why"):
            self.decide(store, item(1), ReviewState.RELEASED, **said)
        assert store.items() == (item(1),)

    def test_text_that_no_database_keeps_is_refused(self, store: SqlReviewStore) -> None:
        with pytest.raises(ShouldFixInput, match="NUL"):
            store.flag([item(1, reason="a\x00b")])
        store.flag([item(1)])
        with pytest.raises(ShouldFixInput, match="NUL"):
            self.decide(store, item(1), ReviewState.RELEASED, reason="a\x00b")

    def test_only_open_ones_are_flagged(self, store: SqlReviewStore) -> None:
        with pytest.raises(ShouldFixArgument, match="released"):
            store.flag([item(1, state=ReviewState.RELEASED)])

    @pytest.mark.parametrize("wrong", ["", "nope", uuid_of(77, "review")])
    def test_what_is_unknown_is_named(self, store: SqlReviewStore, wrong: str) -> None:
        with pytest.raises(ShouldNameKnownId, match="review"):
            store.item(wrong)
        with pytest.raises(ShouldNameKnownId):
            self.decide(store, item(1, review_id=wrong), ReviewState.RELEASED)
        if wrong:
            with pytest.raises(ShouldNameKnownId):
                store.items(after=wrong)

    @pytest.mark.parametrize("limit", [0, -1, 1001])
    def test_a_page_has_limits(self, store: SqlReviewStore, limit: int) -> None:
        with pytest.raises(ShouldFixArgument, match=str(limit)):
            store.items(limit=limit)


class TestOnSqlite(ReviewStoreSuite):
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        return lambda: open_database("", folder / "state.db")


class TestOnPostgresql(ReviewStoreSuite):
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        url = request.getfixturevalue("postgresql_url")
        return lambda: open_database(url, folder)
