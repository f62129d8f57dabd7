"""What every ``SpendJournal`` must do."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
)
from everloop.contracts.ledger_ports import SpendJournal
from everloop.settings import Bucket
from everloop.storage.local.journal import FolderJournal
from tests.conformance.memory_spend_journal import MemorySpendJournal


class SpendJournalSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Callable[[], SpendJournal]:
        """A function that opens the same journal again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], SpendJournal]:
        return self.opener(tmp_path)

    def test_starts_empty(self, reopen: Callable[[], SpendJournal]) -> None:
        assert tuple(reopen().names("spending/")) == ()
        with pytest.raises(ShouldRestoreArtefact):
            reopen().read("spending/0000000001.json")

    def test_what_was_written_stays(self, reopen: Callable[[], SpendJournal]) -> None:
        for name in ("spending/0000000002.json", "spending/0000000001.json", "erasures/a-1.json"):
            reopen().write(name, name.encode() + b"\x00\xff")
        assert list(reopen().names("spending/")) == [
            "spending/0000000001.json",
            "spending/0000000002.json",
        ]
        assert list(reopen().names("erasures/a-1.json")) == ["erasures/a-1.json"]
        assert reopen().read("erasures/a-1.json") == b"erasures/a-1.json\x00\xff"

    def test_a_record_never_changes(self, reopen: Callable[[], SpendJournal]) -> None:
        reopen().write("spending/0000000001.json", b"first")
        reopen().write("spending/0000000001.json", b"first")
        with pytest.raises(ShouldResolveConflict):
            reopen().write("spending/0000000001.json", b"other")
        assert reopen().read("spending/0000000001.json") == b"first"


class TestMemory(SpendJournalSuite):
    def opener(self, folder: Path) -> Callable[[], SpendJournal]:
        journal = MemorySpendJournal()
        return lambda: journal


@pytest.mark.gcp
class TestBucket(SpendJournalSuite):
    @pytest.fixture(autouse=True)
    def take_bucket(self, bucket: Bucket, gcs_client: Any) -> None:
        self._bucket, self._client = bucket, gcs_client

    def opener(self, folder: Path) -> Callable[[], SpendJournal]:
        from everloop.storage.gcp.immutable import ImmutableObjects
        from everloop.storage.gcp.objects import Objects

        return lambda: ImmutableObjects(Objects(self._bucket, self._client), "ledger-journal")


class TestFolder(SpendJournalSuite):
    def opener(self, folder: Path) -> Callable[[], SpendJournal]:
        return lambda: FolderJournal(folder / "journal")

    def test_what_was_cut_short_is_no_record(self, tmp_path: Path) -> None:
        journal = FolderJournal(tmp_path)
        journal.write("spending/0000000001.json", b"whole")
        (tmp_path / "spending" / ".partial-x").write_bytes(b"ha")
        assert list(journal.names("spending/")) == ["spending/0000000001.json"]
        assert (tmp_path / "spending" / "0000000001.json").stat().st_mode & 0o222 == 0

    @pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
    def test_a_file_system_without_hard_links_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        def refused(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        journal = FolderJournal(tmp_path / "journal")
        journal.require_links()
        assert list(tmp_path.iterdir()) == []
        monkeypatch.setattr(os, "link", refused)
        with pytest.raises(ShouldFixArgument, match="no hard links"):
            journal.write("spending/0000000001.json", b"whole")
        with pytest.raises(ShouldFixArgument, match="no hard links"):
            journal.require_links()
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
