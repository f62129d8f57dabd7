"""Health fields stay sealed in the database and in datasets; steps open them and it is written down."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components._contexts import audited_contexts
from everloop import settings
from everloop.contracts.contexts import SEALED
from everloop.contracts.datasets import DatasetManifest, DatasetVersion
from everloop.contracts.episodes import Episode
from everloop.contracts.errors import ShouldProvideKey, ShouldRestoreArtefact
from everloop.contracts.ports import Extraction
from everloop.loops import load
from everloop.rewards.runner import aggregate
from everloop.validation.contexts import look_into
from everloop.wiring import Workspace, open_workspace
from rl.encoders import encode
from tests.log_records import uuid_of

SPEC = load("companion")
DAY = date(2026, 3, 14)
NOON = datetime(2026, 3, 10, 9, tzinfo=UTC)
EMOTION = [round(-1 + 2 * i / 127, 6) for i in range(128)]
PULSE = 71.515625


def _episode(number: int, **changes: Any) -> Episode:
    values: dict[str, Any] = {
        "episode_id": uuid_of(number),
        "user_id": f"{number:064x}",
        "loop": SPEC.name,
        "context_snapshot": {
            "emotion": EMOTION,
            "recent_interactions": [],
            "heart_rate": PULSE,
            "pulse_variability": 41.25,
            "hour": 9,
            "weekday": 1,
            "week": 11,
            "connections": 3,
            "active_connections": 1,
            "age_group": "under_25",
        },
        "action_taken": "no_action",
        "timestamp": NOON + timedelta(seconds=number),
        "model_version": "v1",
        "propensity": 0.5,
        "valid_actions": ("no_action", "pair-one"),
    }
    return Episode(**(values | changes))


def _sealed(place: Workspace, episode: Episode) -> Episode:
    context = place.vault.seal(
        SPEC, episode.tenant, episode.episode_id, dict(episode.context_snapshot)
    )
    return replace(episode, context_snapshot=context)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in (settings.HOME_VARIABLE, *settings.KEYS):
        monkeypatch.delenv(name, raising=False)
    settings.initialise(tmp_path / "w")
    return open_workspace(tmp_path / "w")


Logged = Callable[..., DatasetVersion]


@pytest.fixture
def logged(place: Workspace) -> Logged:
    def log(*episodes: Episode) -> DatasetVersion:
        place.log.append_episodes(episodes)
        return place.datasets.extract(Extraction(SPEC, DAY, 7))

    return log


def _reads(place: Workspace) -> list[tuple[str, str, int]]:
    return [
        (entry.actor, entry.resource, entry.rows)
        for entry in place.audit.entries("default")
        if entry.action == "health.read"
    ]


def test_what_lies_on_disk_holds_no_health_value(place: Workspace, logged: Logged) -> None:
    version = logged(*(_sealed(place, _episode(number)) for number in range(8)))
    # A reader without the WAL sees what a backup of the file would hold.
    with closing(sqlite3.connect(place.home / settings.DATABASE_FILE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = [path for path in place.home.rglob("*") if path.is_file()]
    assert version.episodes_path in files
    planted = [str(PULSE), "41.25", "heart_rate", "pulse_variability", '"emotion"', str(EMOTION[3])]
    for path in files:
        data = path.read_bytes()
        assert [text for text in planted if text.encode() in data] == [], path
    import pyarrow.parquet as pq

    texts = pq.read_table(version.episodes_path)["context"].to_pylist()
    assert len(texts) == 8
    assert all(not any(told in text for told in planted) for text in texts)
    assert all(SEALED in json.loads(text) for text in texts)


def test_steps_read_the_same_as_without_sealing(
    place: Workspace, logged: Logged, tmp_path: Path
) -> None:
    sealed = logged(*(_sealed(place, _episode(number)) for number in range(8)))
    settings.initialise(tmp_path / "plain")
    other = open_workspace(tmp_path / "plain")
    other.log.append_episodes([_episode(number) for number in range(8)])
    bare = other.datasets.extract(Extraction(SPEC, DAY, 7))
    contexts = audited_contexts(place, sealed.manifest, "test")
    assert look_into(SPEC, sealed, contexts) == look_into(SPEC, bare)
    encoded = []
    for version, opened in ((sealed, contexts), (bare, audited_contexts(other, bare.manifest, ""))):
        table = tmp_path / f"{version.manifest.dataset_id}.parquet"
        aggregate(SPEC, version, table)
        encoded.append(encode(SPEC, version, table, opened))
    assert np.array_equal(encoded[0].context, encoded[1].context)
    assert np.abs(encoded[0].context).sum() > 0
    assert _reads(other) == []


def test_a_reading_is_written_down_once_and_before_it_happens(
    place: Workspace, logged: Logged
) -> None:
    version = logged(*(_sealed(place, _episode(number)) for number in range(3)))
    opened = audited_contexts(place, version.manifest, "validate_episodes")
    assert _reads(place) == []
    look_into(SPEC, version, opened)
    entry = ("pipeline:validate_episodes", f"sha256:{version.manifest.dataset_id}", 3)
    assert _reads(place) == [entry]
    look_into(SPEC, version, opened)
    assert _reads(place) == [entry]
    failing = audited_contexts(place, version.manifest, "explain")
    with pytest.raises(ShouldRestoreArtefact):
        failing(uuid_of(1), {SEALED: "1.AAAA"})
    assert len(_reads(place)) == 2


def test_old_unsealed_rows_are_read_beside_sealed_ones(place: Workspace, logged: Logged) -> None:
    version = logged(_sealed(place, _episode(1)), _episode(2))
    facts = look_into(SPEC, version, audited_contexts(place, version.manifest, "test"))
    assert facts.rows == 2
    assert not any(field.missing or field.malformed for field in facts.fields)


def test_a_reader_without_the_vault_refuses(place: Workspace, logged: Logged) -> None:
    version = logged(_sealed(place, _episode(1)))
    with pytest.raises(ShouldProvideKey, match=uuid_of(1)):
        look_into(SPEC, version)


def test_a_context_moved_to_another_episode_stops_the_step(
    place: Workspace, logged: Logged
) -> None:
    moved = _sealed(place, _episode(1)).context_snapshot
    version = logged(replace(_episode(2), context_snapshot=moved))
    with pytest.raises(ShouldRestoreArtefact, match=uuid_of(2)):
        look_into(SPEC, version, audited_contexts(place, version.manifest, "test"))


def test_the_same_log_sealed_again_is_the_same_dataset(place: Workspace, logged: Logged) -> None:
    episodes = [_sealed(place, _episode(number)) for number in range(3)]
    first: DatasetManifest = logged(*episodes).manifest
    again = [_sealed(place, _episode(number)) for number in range(3)]
    assert place.log.append_episodes(again).replayed == 3
    refreshed = place.datasets.extract(Extraction(SPEC, DAY, 7, refresh=True)).manifest
    assert refreshed.dataset_id == first.dataset_id
