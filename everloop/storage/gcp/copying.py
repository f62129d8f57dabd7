"""What a workspace has in its own folders, copied into a bucket.

A version goes as a whole and verified; whoever is killed repeats it, and what is there already is not sent
again. The folders stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument
from everloop.storage.gcp.blobs import GcsBlobStore, blob_name
from everloop.storage.gcp.datasets import GcsDatasetStore
from everloop.storage.gcp.objects import Objects
from everloop.storage.gcp.versions import BucketVersions
from everloop.storage.local.blobs import address_of

_SHA256 = re.compile(r"[0-9a-f]{64}")
Told = Callable[[int, int], None]
"""So many of so many are copied."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Dataset versions and blobs by their ids, sorted."""

    datasets: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.datasets) + len(self.blobs)


@dataclass(frozen=True, slots=True)
class Copied:
    """Dataset versions and blobs that are in the bucket at ``url``, by their ids."""

    url: str
    datasets: tuple[str, ...]
    blobs: tuple[str, ...]


def held_here(home: Path) -> Holding:
    """What lies in a workspace's ``datasets/`` and ``blobs/``."""
    return Holding(
        tuple(sorted(p.name for p in (home / "datasets").glob("*") if _SHA256.fullmatch(p.name))),
        tuple(sorted(p.name for p in (home / "blobs").glob("??/*") if _SHA256.fullmatch(p.name))),
    )


def lacking(home: Path, objects: Objects) -> Holding:
    """What of it the bucket lacks; a workspace that has nothing asks nothing."""
    here = held_here(home)
    versions = set(BucketVersions(objects).ids()) if here.datasets else set()
    blobs = {one.name for one in objects.list("blobs/")} if here.blobs else set()
    return Holding(
        tuple(name for name in here.datasets if name not in versions),
        tuple(name for name in here.blobs if blob_name(name) not in blobs),
    )


def require_copied(home: Path, objects: Objects) -> None:
    """Refuse a bucket that lacks what the workspace has; ``ShouldFixArgument`` says how to copy it."""
    missing = lacking(home, objects)
    if missing:
        raise ShouldFixArgument(
            f"The workspace {home} has {len(missing.datasets)} datasets and {len(missing.blobs)} blobs "
            f"that {objects.url} lacks.",
            f"Run `everloop storage copy --to {objects.url}`, or unset EVERLOOP_STORAGE_URL.",
        )


def copy_workspace(
    home: Path, datasets: GcsDatasetStore, blobs: GcsBlobStore, url: str, told: Told
) -> Copied:
    """Copy every version and blob that is here; what was copied or there already.

    Versions that were erased meanwhile are left out.

    Args:
        datasets, blobs: of the bucket at ``url``.

    Raises:
        ShouldRestoreArtefact: a version or a blob of the workspace is damaged; those before it are copied.
    """
    here = held_here(home)
    done: list[str] = []
    for number, dataset_id in enumerate(here.datasets):
        told(number, len(here))
        with suppress(FileNotFoundError):  # erased meanwhile
            if datasets.adopt(home / "datasets" / dataset_id):
                done.append(dataset_id)
    for number, sha256 in enumerate(here.blobs, len(here.datasets)):
        told(number, len(here))
        blobs.adopt(home / "blobs" / sha256[:2] / sha256, address_of(sha256))
    told(len(here), len(here))
    return Copied(url, tuple(done), here.blobs)
