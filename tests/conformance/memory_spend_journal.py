"""A ``SpendJournal`` in memory that can die before or after a write."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.contracts.errors import ShouldResolveConflict, ShouldRestoreArtefact


class MemorySpendJournal:
    """``dies``: at the next write, ``before`` it or ``after`` it."""

    address = "memory"

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.dies = ""

    def write(self, name: str, data: bytes) -> None:
        dies, self.dies = self.dies, ""
        if dies == "before":
            raise KeyboardInterrupt("the process died")
        if self.records.setdefault(name, data) != data:
            raise ShouldResolveConflict(f"{name} is there with another content.")
        if dies == "after":
            raise KeyboardInterrupt("the process died")

    def read(self, name: str) -> bytes:
        if name not in self.records:
            raise ShouldRestoreArtefact(f"There is no {name}.")
        return self.records[name]

    def names(self, prefix: str) -> Sequence[str]:
        return sorted(name for name in self.records if name.startswith(prefix))
