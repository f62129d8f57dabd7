"""Small objects that are written once and never changed, by names of the caller's choice."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.contracts.errors import ShouldResolveConflict, ShouldRestoreArtefact
from everloop.storage.gcp.client import Superseded
from everloop.storage.gcp.objects import Objects

JOURNAL_SECONDS = 5.0
"""How long a request of a journal is tried again, and how long one try may wait: the ledger's journal is
asked while the database is held, and whoever writes there waits for the answer."""


class ImmutableObjects:
    """Records of a bucket under a folder of their own (a ``SpendJournal`` where it is to be one).

    Every method raises what ``client.named`` says, too.

    Args:
        objects: the bucket.
        folder: what every name is under, such as ``ledger``; no slash at either end.
    """

    def __init__(self, objects: Objects, folder: str) -> None:
        self._objects = objects
        self._folder = f"{folder}/"

    @property
    def address(self) -> str:
        """Where they are, for messages."""
        return f"{self._objects.url}/{self._folder}".rstrip("/")

    def write(self, name: str, data: bytes) -> None:
        """Keep bytes for ever: durable when it returns, whole or absent when it does not.

        The same bytes again change nothing.

        Raises:
            ShouldResolveConflict: other bytes have that name.
        """
        try:
            self._objects.write(self._folder + name, data)
        except Superseded:
            if self.read(name) != data:
                raise ShouldResolveConflict(
                    f"{self.address}/{name} holds other bytes already.",
                    "Write under another name: what was kept is never replaced.",
                ) from None

    def read(self, name: str) -> bytes:
        """``ShouldRestoreArtefact`` when there is none of that name."""
        found = self._objects.read(self._folder + name)
        if found is None:
            raise ShouldRestoreArtefact(
                f"There is no {self.address}/{name}.", "Restore it from a backup of the bucket."
            )
        return found[0]

    def names(self, prefix: str) -> Sequence[str]:
        """Names that begin with ``prefix``, sorted by their code points."""
        return sorted(
            one.name.removeprefix(self._folder) for one in self._objects.list(self._folder + prefix)
        )
