"""The folders of a loop's looks, one a look, and how old ones leave with the dataset versions they made.

Every look reads the log anew over the whole trial, so what it leaves is as large as a night's. Kept are
the newest looks, which a rerun of the same moment continues from; a look's page and its row among the
runs stay.
A folder that leaves is renamed first: whoever is killed within leaves nothing that a rerun would take for a
look, and the next look finishes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.documents import read
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.ports import DatasetStore

KEPT = 3
"""Looks that are kept beside the one that runs."""
_LEAVING = ".leaving-"


def folder_of(place: Path, moment: datetime) -> Path:
    """The folder of a look at a moment in UTC; names sort by time."""
    return place / moment.strftime("%Y-%m-%dT%H%M%S.%f")


def make_room(datasets: DatasetStore, place: Path, running: Path) -> None:
    """Delete all but the newest looks and the one that runs, and the versions that only they read.

    What a pin, a model, a deployment or a release names is left (see ``DatasetStore.discard``). The caller
    holds ``exclusive(place)``.
    """
    looks = sorted(path for path in place.iterdir() if _is_look(path) and path != running)
    for look in looks[: -KEPT or None]:
        look.rename(place / f"{_LEAVING}{look.name}")
    read_still = set(_versions([*looks[-KEPT:], running]))
    for leaving in sorted(place.glob(f"{_LEAVING}*")):
        for dataset_id in _versions([leaving]):
            if dataset_id not in read_still:
                datasets.discard(dataset_id)
        shutil.rmtree(leaving)


def _is_look(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _versions(looks: Iterable[Path]) -> Iterable[str]:
    """Ids of the dataset versions that looks extracted."""
    for look in looks:
        for path in sorted((look / "artifacts").glob("*/extract-episodes/dataset")):
            with suppress(ShouldRestoreArtefact):  # killed while it was written: it names nothing
                yield read(DatasetManifest, path).dataset_id
