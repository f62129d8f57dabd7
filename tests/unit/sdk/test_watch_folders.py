"""What old looks left is deleted, and nothing that anybody needs."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from everloop import settings
from everloop.contracts.documents import write
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.ports import Extraction
from everloop.loops import load
from everloop.sdk import watch_folders
from everloop.sdk.watch_folders import KEPT, folder_of, make_room
from everloop.storage.rollout_tables import rollout_events
from everloop.storage.schema import dataset_pins
from everloop.storage.sql.engine import writing
from everloop.wiring import Workspace, open_workspace

SPEC = load("companion")
FIRST = datetime(2026, 3, 10, 9, tzinfo=UTC)
OLD = 2
"""Looks more than are kept."""


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


@pytest.fixture
def folder(place: Workspace) -> Path:
    return place.home / "runs" / SPEC.name / "default" / "watch"


def looked(place: Workspace, folder: Path, hours: int) -> str:
    """A look's folder with the version that it extracted; its id."""
    at = FIRST + timedelta(hours=hours)
    asked = Extraction(SPEC, at.date(), 42 + hours, refresh=True, pinned=False)
    manifest = place.datasets.extract(asked).manifest
    artefacts = folder_of(folder, at) / "artifacts" / f"rollout-watch-{hours}"
    write(manifest, artefacts / "extract-episodes" / "dataset")
    write("kept by kfp", folder_of(folder, at) / "cache" / "key.json")
    return manifest.dataset_id


def versions(place: Workspace) -> set[str]:
    return {path.name for path in (place.home / "datasets").iterdir() if len(path.name) == 64}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folders_sort_by_moment(folder: Path) -> None:
    moments = [FIRST + timedelta(microseconds=n) for n in (0, 1, 10**6, 86_400 * 10**6)]
    assert sorted(folder_of(folder, m) for m in reversed(moments)) == [
        folder_of(folder, m) for m in moments
    ]


def test_the_newest_looks_stay_and_older_ones_leave_with_their_versions(
    place: Workspace, folder: Path
) -> None:
    made = [looked(place, folder, hours) for hours in range(KEPT + OLD)]
    night = place.datasets.extract(Extraction(SPEC, FIRST.date(), 28)).manifest.dataset_id
    running = folder_of(folder, FIRST + timedelta(hours=99))
    make_room(place.datasets, folder, running)
    assert versions(place) == {night, *made[OLD:]}
    assert names(folder) == [
        folder_of(folder, FIRST + timedelta(hours=h)).name for h in range(OLD, KEPT + OLD)
    ]
    make_room(place.datasets, folder, running)
    assert len(names(folder)) == KEPT


def test_few_looks_all_stay(place: Workspace, folder: Path) -> None:
    made = {looked(place, folder, hours) for hours in range(KEPT)}
    make_room(place.datasets, folder, folder_of(folder, FIRST + timedelta(hours=99)))
    assert versions(place) == made
    assert len(names(folder)) == KEPT


def test_a_repeated_old_look_keeps_what_it_continues_from(place: Workspace, folder: Path) -> None:
    made = [looked(place, folder, hours) for hours in range(KEPT + OLD)]
    make_room(place.datasets, folder, folder_of(folder, FIRST))
    assert versions(place) == {made[0], *made[OLD:]}


def test_a_version_that_a_look_shares_with_a_newer_one_stays(
    place: Workspace, folder: Path
) -> None:
    made = [looked(place, folder, hours) for hours in range(KEPT + 1)]
    manifest = place.datasets.open(made[0]).manifest
    newest = folder_of(folder, FIRST + timedelta(hours=KEPT))
    write(manifest, newest / "artifacts" / "rollout-watch-again" / "extract-episodes" / "dataset")
    make_room(place.datasets, folder, folder_of(folder, FIRST + timedelta(hours=99)))
    assert made[0] in versions(place)


def pinned(place: Workspace, dataset_id: str) -> None:
    place.datasets.extract(Extraction(SPEC, FIRST.date(), 28))
    with writing(place.engine) as connection:
        connection.execute(update(dataset_pins).values(dataset_id=dataset_id))


def learned(place: Workspace, dataset_id: str) -> None:
    place.registry.register(
        ModelCheckpoint(
            checkpoint_id="model",
            model_type=ModelType.INTERVENTION,
            loop=SPEC.name,
            weights_url=f"blobs/{'a' * 64}",
            weights_sha256="a" * 64,
            performance_metrics={},
            training_date=FIRST,
            provenance=Provenance.RAW_LOG,
            lineage={"dataset": dataset_id},
            verdict="continue",
        )
    )


def judged(place: Workspace, dataset_id: str) -> None:
    event = {
        "tenant": "default",
        "loop": SPEC.name,
        "sequence": 1,
        "kind": "refused",
        "at": FIRST,
        "actor": "the watch",
        "reason": "It may not.",
        "deployment_id": "",
        "rollout_id": "trial",
        "evidence": {"inputs": {"dataset": dataset_id}},
    }
    with writing(place.engine) as connection:
        connection.execute(insert(rollout_events).values(event))


@pytest.mark.parametrize("named", [pinned, learned, judged])
def test_a_version_that_something_names_stays_though_its_look_leaves(
    place: Workspace, folder: Path, named: Any
) -> None:
    made = [looked(place, folder, hours) for hours in range(KEPT + OLD)]
    named(place, made[0])
    make_room(place.datasets, folder, folder_of(folder, FIRST + timedelta(hours=99)))
    assert made[0] in versions(place)
    assert made[1] not in versions(place)
    assert len(names(folder)) == KEPT


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("calls", range(4))
@pytest.mark.parametrize("of", ["discard", "rmtree"])
def test_whoever_is_killed_within_leaves_nothing_half_and_the_next_look_finishes(
    place: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch, of: str, calls: int
) -> None:
    made = [looked(place, folder, hours) for hours in range(KEPT + OLD)]
    running = folder_of(folder, FIRST + timedelta(hours=99))
    left = calls

    def dying(real: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*given, **named)

        return call

    with monkeypatch.context() as patched:
        if of == "rmtree":
            patched.setattr(watch_folders.shutil, "rmtree", dying(shutil.rmtree))
        else:
            patched.setattr(type(place.datasets), "discard", dying(type(place.datasets).discard))
        try:
            make_room(place.datasets, folder, running)
        except Killed:
            visible = [name for name in names(folder) if not name.startswith(".")]
            assert len(visible) == KEPT, "a rerun would take a folder for a look"
    for name in versions(place):
        place.datasets.open(name)
    make_room(place.datasets, folder, running)
    assert versions(place) == set(made[OLD:])
    assert len(names(folder)) == KEPT


def test_a_folder_without_a_readable_manifest_leaves_too(place: Workspace, folder: Path) -> None:
    made = [looked(place, folder, hours) for hours in range(KEPT + 1)]
    manifest = next(folder_of(folder, FIRST).glob("artifacts/*/extract-episodes/dataset"))
    manifest.write_text('{"dataset_id"')
    make_room(place.datasets, folder, folder_of(folder, FIRST + timedelta(hours=99)))
    assert len(names(folder)) == KEPT
    assert versions(place) == set(made)
