"""One small object that changes by compare-and-set on its generation."""

from __future__ import annotations

from everloop.contracts.errors import ShouldResolveConflict
from everloop.storage.gcp.client import Superseded
from everloop.storage.gcp.objects import ABSENT, Objects


class Pointer:
    """Both methods raise what ``client.named`` says, too.

    Args:
        objects: the bucket.
        name: of the object.
    """

    def __init__(self, objects: Objects, name: str) -> None:
        self._objects = objects
        self._name = name

    def read(self) -> tuple[bytes | None, int]:
        """(value, generation); ``(None, 0)`` before the first swap."""
        return self._objects.read(self._name) or (None, ABSENT)

    def swap(self, value: bytes, expected_generation: int) -> int:
        """Replace the value; its new generation. Of several at once from the same generation, one does.

        Raises:
            ShouldResolveConflict: the generation is another one; nothing was changed.
        """
        try:
            return self._objects.write(self._name, value, expected_generation)
        except Superseded:
            raise ShouldResolveConflict(
                f"{self._objects.url}/{self._name} is not of generation {expected_generation} any longer.",
                "Read it again and decide anew.",
            ) from None
