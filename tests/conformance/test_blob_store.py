"""What every ``BlobStore`` must do."""

from __future__ import annotations

import hashlib
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.ports import BlobStore
from everloop.settings import Bucket
from everloop.storage.local.blobs import LocalBlobStore


class BlobStoreSuite(ABC):
    @abstractmethod
    def open(self, folder: Path) -> BlobStore:
        """The same store each time."""

    @abstractmethod
    def damage(self, folder: Path, sha256: str, content: bytes | None) -> None:
        """Replace a stored blob's content behind the store's back; ``None`` removes it."""

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        return self.open(tmp_path / "blobs")

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "weights.bin"
        path.write_bytes(b"weights" * 1000)
        return path

    def test_what_was_put_is_fetched(self, blobs: BlobStore, file: Path, tmp_path: Path) -> None:
        url, sha256 = blobs.put(file)
        assert sha256 == hashlib.sha256(b"weights" * 1000).hexdigest()
        file.write_bytes(b"changed after it was put")
        assert self.open(tmp_path / "blobs").fetch(url, sha256).read_bytes() == b"weights" * 1000

    def test_equal_content_is_one_blob(self, blobs: BlobStore, file: Path, tmp_path: Path) -> None:
        twin = tmp_path / "other-name.bin"
        twin.write_bytes(file.read_bytes())
        assert blobs.put(file) == blobs.put(file) == blobs.put(twin)

    def test_urls_differ_in_their_checksum_alone(
        self, blobs: BlobStore, file: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        other.write_bytes(b"other")
        (url, sha256), (other_url, other_sha256) = blobs.put(file), blobs.put(other)
        assert url.endswith(sha256)
        assert url.removesuffix(sha256) + other_sha256 == other_url

    def test_an_empty_file_is_a_blob(self, blobs: BlobStore, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.touch()
        assert blobs.fetch(*blobs.put(empty)).read_bytes() == b""

    def test_a_missing_file_is_named(self, blobs: BlobStore, tmp_path: Path) -> None:
        with pytest.raises(ShouldRestoreArtefact, match="absent"):
            blobs.put(tmp_path / "absent")

    def test_a_damaged_blob_is_never_handed_out(
        self, blobs: BlobStore, file: Path, tmp_path: Path
    ) -> None:
        url, sha256 = blobs.put(file)
        self.damage(tmp_path / "blobs", sha256, b"weightz" * 1000)
        with pytest.raises(ShouldRestoreArtefact, match=sha256):
            blobs.fetch(url, sha256)

    def test_putting_it_again_repairs_a_damaged_blob(
        self, blobs: BlobStore, file: Path, tmp_path: Path
    ) -> None:
        url, sha256 = blobs.put(file)
        self.damage(tmp_path / "blobs", sha256, b"")
        assert blobs.put(file) == (url, sha256)
        assert blobs.fetch(url, sha256).read_bytes() == file.read_bytes()

    def test_a_lost_blob_is_named(self, blobs: BlobStore, file: Path, tmp_path: Path) -> None:
        url, sha256 = blobs.put(file)
        self.damage(tmp_path / "blobs", sha256, None)
        with pytest.raises(ShouldRestoreArtefact, match=sha256):
            blobs.fetch(url, sha256)

    def test_another_blobs_checksum_is_refused(self, blobs: BlobStore, file: Path) -> None:
        url, _ = blobs.put(file)
        with pytest.raises(ShouldRestoreArtefact, match="0000"):
            blobs.fetch(url, "0" * 64)

    @pytest.mark.parametrize("url", ["", "blob:sha256/../../secrets", "file:///etc/passwd"])
    def test_no_address_leads_out_of_the_store(self, blobs: BlobStore, url: str) -> None:
        with pytest.raises(ShouldRestoreArtefact):
            blobs.fetch(url, "0" * 64)


class TestLocalBlobStore(BlobStoreSuite):
    def open(self, folder: Path) -> BlobStore:
        return LocalBlobStore(folder)

    def damage(self, folder: Path, sha256: str, content: bytes | None) -> None:
        path = folder / sha256[:2] / sha256
        path.chmod(0o644)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)

    def test_only_whole_blobs_lie_in_the_folder(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"x")
        LocalBlobStore(tmp_path / "blobs").put(source)
        LocalBlobStore(tmp_path / "blobs").put(source)
        files = [p.name for p in (tmp_path / "blobs").rglob("*") if p.is_file()]
        assert files == [hashlib.sha256(b"x").hexdigest()]


class TestGcsBlobStore(BlobStoreSuite):
    @pytest.fixture(autouse=True)
    def take_bucket(self, bucket: Bucket, gcs_client: Any) -> None:
        self.place, self.client = bucket, gcs_client

    def open(self, folder: Path) -> BlobStore:
        from everloop.storage.gcp.blobs import GcsBlobStore
        from everloop.storage.gcp.objects import Objects

        return GcsBlobStore(Objects(self.place, self.client), folder)

    def damage(self, folder: Path, sha256: str, content: bytes | None) -> None:
        """In the bucket, for who has not read it yet."""
        shutil.rmtree(folder, ignore_errors=True)
        name = f"{self.place.prefix}/blobs/{sha256[:2]}/{sha256}"
        blob = self.client.bucket(self.place.name).blob(name)
        if content is None:
            blob.delete()
        else:
            blob.upload_from_string(content)

    def test_what_was_read_once_needs_no_bucket(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"x")
        blobs = self.open(tmp_path / "blobs")
        url, sha256 = blobs.put(source)
        path = blobs.fetch(url, sha256)
        self.client.bucket(self.place.name).blob(
            f"{self.place.prefix}/blobs/{sha256[:2]}/{sha256}"
        ).delete()
        assert blobs.fetch(url, sha256) == path

    def test_a_damaged_copy_is_read_anew(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"x")
        blobs = self.open(tmp_path / "blobs")
        path = blobs.fetch(*blobs.put(source))
        path.chmod(0o644)
        path.write_bytes(b"y")
        assert blobs.fetch(*blobs.put(source)).read_bytes() == b"x"

    def test_addresses_are_those_of_a_laptop(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"x")
        here = LocalBlobStore(tmp_path / "here")
        assert self.open(tmp_path / "there").put(source) == here.put(source)
