"""May this process do in a bucket what a workspace needs, and may people be erased from it?"""

from __future__ import annotations

import secrets

from google.api_core.exceptions import Forbidden

from everloop.contracts.errors import ShouldAskForScope, ShouldRestoreArtefact
from everloop.storage.gcp.client import REQUEST_SECONDS, RETRY, named
from everloop.storage.gcp.objects import Objects

_DAY = 86_400.0


def look_at(objects: Objects) -> str:
    """Create, read, list and delete an object, look at the bucket's settings, and say what was seen.

    Raises:
        ShouldAskForScope: a permission is missing (named), or the bucket keeps objects from being deleted.
        ShouldRestoreArtefact: what was read is not what was written.
        ShouldProvideKey, ShouldFixArgument, ShouldSlowDown, ShouldRetryLater: as ``client.named`` says.
    """
    name, data = f"doctor/{secrets.token_hex(8)}", secrets.token_bytes(64)
    generation = objects.write(name, data)
    try:
        if objects.read(name) != (data, generation) or name not in {
            one.name for one in objects.list(name)
        }:
            raise ShouldRestoreArtefact(
                f"{objects.url}/{name} is not what was written.", "Look who else writes there."
            )
    finally:
        objects.delete(name, generation)
    return f"{objects.url}: created, read, listed and deleted an object; {_settings(objects)}"


def _settings(objects: Objects) -> str:
    bucket = objects.bucket
    try:
        with named(f"gs://{objects.bucket_name}", but=Forbidden):
            bucket.reload(retry=RETRY, timeout=REQUEST_SECONDS)
    except Forbidden:
        return "its retention was not seen (storage.buckets.get is missing): see to it that it has none"
    if bucket.retention_period or bucket.default_event_based_hold:
        raise ShouldAskForScope(
            f"gs://{objects.bucket_name} keeps every object for {bucket.retention_period or 'ever'} s.",
            "Give datasets a bucket without retention: what people ask to be erased must go.",
        )
    versions = (
        "older generations are kept (an erasure deletes them, too)"
        if bucket.versioning_enabled
        else "no older generations are kept"
    )
    return f"no retention; {versions}; {_soft_delete(bucket.soft_delete_policy)}"


def _soft_delete(policy: object) -> str:
    seconds = float(getattr(policy, "retention_duration_seconds", None) or 0.0)
    if not seconds:
        return "what is deleted is gone"
    return (
        f"what is deleted, erased people included, can be restored for {seconds / _DAY:g} days "
        "(soft delete; 0 turns it off)"
    )
