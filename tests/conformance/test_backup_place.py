"""What every ``BackupPlace`` must do."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.backups import BackupPlace
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.settings import Bucket
from everloop.storage.local.backup_folder import FolderBackups

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FIRST, SECOND = "20261101T000000000000Z", "20261102T000000000000Z"


class BackupPlaceSuite(ABC):
    @abstractmethod
    def place(self, folder: Path) -> BackupPlace: ...

    @pytest.fixture
    def backups(self, tmp_path: Path) -> BackupPlace:
        return self.place(tmp_path)

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "file"
        path.write_bytes(CONTENT)
        return path

    def test_objects_come_back_by_their_checksum(
        self, backups: BackupPlace, file: Path, tmp_path: Path
    ) -> None:
        assert list(backups.objects()) == []
        assert not backups.has(SHA256, len(CONTENT))
        for _ in range(2):
            backups.put(SHA256, file)
        assert backups.has(SHA256, len(CONTENT))
        assert not backups.has(SHA256, len(CONTENT) - 1)
        assert list(backups.objects()) == [SHA256]
        backups.check(SHA256)
        backups.get(SHA256, tmp_path / "deep" / "copy")
        assert (tmp_path / "deep" / "copy").read_bytes() == CONTENT
        assert backups.delete(SHA256) == len(CONTENT)
        assert backups.delete(SHA256) == 0

    def test_what_is_not_its_checksum_is_neither_kept_nor_given(
        self, backups: BackupPlace, file: Path, tmp_path: Path
    ) -> None:
        wrong = "0" * 64
        with pytest.raises(ShouldRestoreArtefact):
            backups.put(wrong, file)
        assert not backups.has(wrong, len(CONTENT))
        for ask in (backups.check, lambda sha256: backups.get(sha256, tmp_path / "copy")):
            with pytest.raises(ShouldRestoreArtefact):
                ask(wrong)
        assert not (tmp_path / "copy").exists()

    def test_manifests_are_listed_oldest_first(self, backups: BackupPlace) -> None:
        assert backups.manifests() == ()
        backups.put_manifest(SECOND, b"second")
        backups.put_manifest(FIRST, b"first")
        assert backups.manifests() == (FIRST, SECOND)
        assert backups.manifest(FIRST) == b"first"
        backups.delete_manifest(FIRST)
        backups.delete_manifest(FIRST)
        assert backups.manifests() == (SECOND,)
        with pytest.raises(ShouldRestoreArtefact):
            backups.manifest(FIRST)

    def test_claims_come_and_go(self, backups: BackupPlace) -> None:
        backups.claim(FIRST)
        assert backups.claims() == (FIRST,)
        assert backups.manifests() == ()
        backups.release(FIRST)
        backups.release(FIRST)
        assert backups.claims() == ()


class TestFolder(BackupPlaceSuite):
    def place(self, folder: Path) -> BackupPlace:
        return FolderBackups(folder / "backups")


@pytest.mark.gcp
class TestBucket(BackupPlaceSuite):
    @pytest.fixture(autouse=True)
    def take_bucket(self, bucket: Bucket, gcs_client: Any) -> None:
        self._bucket, self._client = bucket, gcs_client

    def place(self, folder: Path) -> BackupPlace:
        from everloop.storage.gcp.backup_objects import BucketBackups
        from everloop.storage.gcp.objects import Objects

        return BucketBackups(Objects(self._bucket, self._client))
