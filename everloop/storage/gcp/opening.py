"""Storage of a workspace whose datasets and blobs are in a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from everloop.settings import Bucket
from everloop.storage.gcp import copying
from everloop.storage.gcp.blobs import GcsBlobStore
from everloop.storage.gcp.checking import look_at
from everloop.storage.gcp.copying import Copied, Told, require_copied
from everloop.storage.gcp.dataset_key import keep_bucket_datasets_of
from everloop.storage.gcp.datasets import GcsDatasetStore
from everloop.storage.gcp.erased_artefacts import GcsErasedArtefacts
from everloop.storage.gcp.objects import Objects
from everloop.storage.gcp.versions import BucketVersions
from everloop.storage.local.dataset_making import LogReaders
from everloop.storage.local.erased_artefacts import CACHED

CACHED_BLOBS = "cache/blobs"


@dataclass(frozen=True, slots=True)
class BucketStorage:
    """The stores of one workspace on a bucket."""

    datasets: GcsDatasetStore
    blobs: GcsBlobStore
    artefacts: GcsErasedArtefacts


def open_storage(
    place: Bucket, engine: Engine, home: Path, readers: LogReaders | None = None
) -> BucketStorage:
    """Stores on a bucket; copies are in ``cache/`` of the workspace.

    Raises:
        ShouldFixArgument: the workspace holds versions or blobs that the bucket lacks, or as
            ``client.named`` says.
        ShouldProvideKey, ShouldAskForScope, ShouldSlowDown, ShouldRetryLater: as ``client.named`` says.
    """
    objects = Objects(place)
    require_copied(home, objects)
    return stores(objects, engine, home, readers)


def stores(
    objects: Objects, engine: Engine, home: Path, readers: LogReaders | None = None
) -> BucketStorage:
    """Stores on a bucket, whatever the workspace's own folders hold."""
    return BucketStorage(
        GcsDatasetStore(engine, BucketVersions(objects), home / CACHED, readers=readers),
        GcsBlobStore(objects, home / CACHED_BLOBS),
        GcsErasedArtefacts(engine, home, objects),
    )


def keep_datasets(place: Bucket, fingerprint: str) -> int:
    """See ``keep_bucket_datasets_of``."""
    return keep_bucket_datasets_of(Objects(place), fingerprint)


def copy_workspace(place: Bucket, engine: Engine, home: Path, told: Told) -> Copied:
    """Copy what the workspace's own folders hold (see ``copying.copy_workspace``)."""
    objects = Objects(place)
    there = stores(objects, engine, home)
    return copying.copy_workspace(home, there.datasets, there.blobs, objects.url, told)


def look_at_bucket(place: Bucket) -> str:
    """See ``checking.look_at``."""
    return look_at(Objects(place))
