"""Small objects of a bucket that are written once."""

from __future__ import annotations

from google.api_core import exceptions
from google.cloud.storage import Bucket as StorageBucket
from google.cloud.storage import Client

from everloop.contracts.errors import ShouldResolveConflict
from everloop.monitoring.google.calls import TIMEOUT_S
from everloop.settings.cloud import Bucket


class BucketObjects:
    """``Objects`` of ``vertex_drift``.

    Args:
        bucket: of the storage client.
        prefix: before every name; empty or without slashes at its ends.
    """

    def __init__(self, bucket: StorageBucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    @staticmethod
    def open(named: Bucket) -> BucketObjects:
        """The bucket that the environment names, by the credentials of the place."""
        return BucketObjects(Client().bucket(named.name), named.prefix)

    def put_once(self, name: str, data: bytes) -> None:
        """See ``Objects``."""
        try:
            self._bucket.blob(f"{self._prefix}{name}").upload_from_string(
                data, if_generation_match=0, timeout=TIMEOUT_S
            )
        except exceptions.PreconditionFailed:
            if self.get(name) != data:
                raise ShouldResolveConflict(
                    f"{self.url(name)} has other content.", "Nothing of it is ever written twice."
                ) from None

    def get(self, name: str) -> bytes | None:
        """See ``Objects``."""
        try:
            return bytes(
                self._bucket.blob(f"{self._prefix}{name}").download_as_bytes(timeout=TIMEOUT_S)
            )
        except exceptions.NotFound:
            return None

    def url(self, name: str) -> str:
        """See ``Objects``."""
        return f"gs://{self._bucket.name}/{self._prefix}{name}"
