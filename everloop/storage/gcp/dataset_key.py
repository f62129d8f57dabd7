"""Which key the people of a bucket's dataset versions are named under (see ``local.dataset_key``)."""

from __future__ import annotations

from contextlib import suppress

from everloop.contracts.errors import ShouldResolveConflict
from everloop.storage.gcp.objects import Objects
from everloop.storage.gcp.pointer import Pointer
from everloop.storage.gcp.versions import BucketVersions

MARK = "pseudonym-key"


def keep_bucket_datasets_of(objects: Objects, fingerprint: str) -> int:
    """Delete every version of a bucket that another key's people are in; how many.

    Versions without a mark are taken for this key's. Whoever is killed within does it again. Of several at
    once, none deletes what another has extracted since: what is deleted was listed while the mark still
    named the old key, and under the new one nobody extracts before the mark names it.

    Args:
        objects: the bucket.
        fingerprint: of the pseudonym key that the database's rows have now.
    """
    mark, versions = Pointer(objects, MARK), BucketVersions(objects)
    stored = mark.read()[0]
    if stored == fingerprint.encode():
        return 0
    listed = versions.ids() if stored is not None else ()
    before, generation = mark.read()
    if before == fingerprint.encode():
        return 0
    for dataset_id in listed:
        versions.remove(dataset_id)
    with suppress(ShouldResolveConflict):  # another process has marked it
        mark.swap(fingerprint.encode(), generation)
    return len(listed)
