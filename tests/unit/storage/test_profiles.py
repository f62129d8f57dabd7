"""Synthetic people in the workspace database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.models import ProfileSource, SyntheticProfile
from everloop.contracts.ports import Appended
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.profiles import SqlProfileStore
from tests.log_records import uuid_of


def profile(number: int = 1, **changes: Any) -> SyntheticProfile:
    values: dict[str, Any] = {
        "profile_id": uuid_of(number, "profile"),
        "persona_vector": (0.1 + 0.2, -1.0, number / 3),
        "traits": {"archetype": "explorer", "pace": 0.5},
        "interaction_history": ({"action": "left", "reward": None}, {"action": "right"}),
        "source": ProfileSource.GENERATED,
        "release_id": "r1",
    }
    return SyntheticProfile(**(values | changes))


@pytest.fixture
def store(tmp_path: Path) -> SqlProfileStore:
    return SqlProfileStore(open_workspace_database(tmp_path / "state.db"))


def test_what_was_appended_is_read_as_it_was(store: SqlProfileStore) -> None:
    made = [profile(1), profile(2, source=ProfileSource.AUGMENTED, persona_vector=())]
    assert store.append(iter(made), "walk") == Appended(new=2, replayed=0)
    assert list(store.profiles("walk")) == sorted(made, key=lambda p: p.profile_id)


def test_replays_change_nothing(store: SqlProfileStore) -> None:
    store.append([profile(1)], "walk")
    assert store.append([profile(1), profile(2), profile(2)], "walk") == Appended(1, 2)
    assert store.counts("walk") == {ProfileSource.GENERATED: 2}


def test_another_payload_is_a_conflict_and_stores_nothing(store: SqlProfileStore) -> None:
    store.append([profile(1)], "walk")
    changed = profile(1, source=ProfileSource.REAL)
    with pytest.raises(ShouldResolveConflict, match=profile(1).profile_id):
        store.append([profile(2), changed], "walk")
    assert list(store.profiles("walk")) == [profile(1)]


def test_many_are_streamed_in_one_transaction(store: SqlProfileStore) -> None:
    def broken() -> Iterator[SyntheticProfile]:
        yield from (profile(n) for n in range(1200))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.append(broken(), "walk")
    assert store.counts("walk") == {}
    assert store.append((profile(n) for n in range(1200)), "walk") == Appended(1200, 0)


def test_sources_releases_loops_and_tenants_are_apart(store: SqlProfileStore) -> None:
    store.append([profile(1), profile(2, source=ProfileSource.REAL, release_id="r2")], "walk")
    store.append([profile(3)], "run")
    store.append([profile(1)], "walk", "other")
    assert store.counts("walk") == {ProfileSource.GENERATED: 1, ProfileSource.REAL: 1}
    assert store.counts("walk", "other") == {ProfileSource.GENERATED: 1}
    assert [p.release_id for p in store.profiles("walk", "r2")] == ["r2"]
    assert [p.profile_id for p in store.profiles("run")] == [uuid_of(3, "profile")]


def test_profiles_are_counted_by_release_and_removed_by_source(store: SqlProfileStore) -> None:
    inside = (ProfileSource.AUGMENTED, ProfileSource.REAL)
    store.append([profile(1), profile(2, release_id="r2"), profile(3)], "walk")
    store.append([profile(4, source=inside[0]), profile(5, source=inside[1])], "walk")
    store.append([profile(6, source=inside[0])], "run")
    store.append([profile(7, source=inside[0])], "walk", "other")
    assert store.counts_by_release("walk") == {
        (ProfileSource.AUGMENTED, "r1"): 1,
        (ProfileSource.GENERATED, "r1"): 2,
        (ProfileSource.GENERATED, "r2"): 1,
        (ProfileSource.REAL, "r1"): 1,
    }
    assert store.remove("walk", inside) == 2
    assert store.remove("walk", inside) == 0
    assert store.counts("walk") == {ProfileSource.GENERATED: 3}
    assert store.counts("run") == store.counts("walk", "other") == {ProfileSource.AUGMENTED: 1}
