"""A bucket that fails, processes that die within, and processes that meet: nothing is half-written."""

from __future__ import annotations

import gc
import json
import os
import signal as signals
import socketserver
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldProvideKey,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
    ShouldRetryLater,
    ShouldSlowDown,
)
from everloop.settings import Bucket
from everloop.storage.gcp import client as gcs
from everloop.storage.gcp.blobs import GcsBlobStore, blob_name
from everloop.storage.gcp.immutable import ImmutableObjects
from everloop.storage.gcp.objects import Objects
from everloop.storage.gcp.pointer import Pointer
from everloop.storage.gcp.versions import BucketVersions
from tests.gcs_server import EMULATOR, GcsServer

# The library leaves the answers that it gives up on to the garbage collector, connections and all.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
ROOT = Path(__file__).parents[2]
LARGE = 20 << 20
"""Bytes that go in three pieces."""
Answer = tuple[int, bytes]
Script = Callable[[str, str], Answer | None]
"""What to answer a request (method, path) with, instead of asking the server."""


class Proxy(socketserver.ThreadingTCPServer):
    """Between a client and the server: asks ``script`` first, then the server.

    ``cut`` changes what arrives of an answer; of the next uploads ``lose`` answers are lost.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, server: GcsServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server_url = server.url
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.script: Script = lambda method, path: None
        self.cut: Callable[[str, bytes], bytes] = lambda path, body: body
        self.asked: list[tuple[str, str]] = []
        self.lose = 0


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path))
        answer = self.server.script(self.command, self.path)
        if answer is not None:
            self._answer(answer[0], {"Content-Type": "application/json"}, answer[1])
            return
        kept = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "connection"}}
        request = urllib.request.Request(
            self.server.server_url + self.path, data=body or None, headers=kept, method=self.command
        )
        try:
            with urllib.request.urlopen(request) as reply:
                found = reply.status, dict(reply.headers), reply.read()
        except urllib.error.HTTPError as problem:
            with problem:
                found = problem.code, dict(problem.headers), problem.read()
        if "uploadType" in self.path and self.server.lose:
            self.server.lose -= 1
            self._answer(503, {}, b"{}")
            return
        status, headers, data = found
        # Resumable uploads go on where the server says: through here.
        for name in headers:
            headers[name] = headers[name].replace(self.server.server_url, self.server.url)
        self._answer(status, headers, data)

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        sent = self.server.cut(self.path, data)
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(sent)
        if len(sent) < len(data):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """They are collected here, where they are excused, and not in the middle of another module."""
    yield
    gc.collect()


@pytest.fixture
def proxy(gcs_client: Any, gcs: GcsServer) -> Iterator[Proxy]:
    with Proxy(gcs) as between:
        threading.Thread(target=between.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield between
        between.shutdown()


@pytest.fixture
def through(proxy: Proxy, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """The bucket behind the proxy, with waits that a test can wait for."""
    quick = gcs.RETRY.with_delay(initial=0.01, maximum=0.02, multiplier=1.0).with_timeout(0.3)
    monkeypatch.setattr("everloop.storage.gcp.objects.RETRY", quick)
    monkeypatch.setenv(EMULATOR, proxy.url)
    client = gcs.open_client()
    yield Objects(bucket, client)
    client.close()


def times(count: int, status: int, part: str = "") -> Script:
    """The first ``count`` requests whose path has ``part`` fail."""
    left = [count]

    def script(method: str, path: str) -> Answer | None:
        if part not in path or left[0] == 0:
            return None
        left[0] -= 1
        return status, json.dumps({"error": {"code": status, "message": "said so"}}).encode()

    return script


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(1000))
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(LARGE))
    return path


@pytest.mark.parametrize("status", [429, 503, 500, 408])
def test_a_bucket_that_recovers_is_asked_again(
    through: Objects, proxy: Proxy, file: Path, tmp_path: Path, status: int
) -> None:
    blobs = GcsBlobStore(through, tmp_path / "cache")
    proxy.script = times(2, status, "uploadType")
    address = blobs.put(file)
    proxy.script = times(2, status, "alt=media")
    assert blobs.fetch(*address).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, ShouldSlowDown),
        (503, ShouldRetryLater),
        (401, ShouldProvideKey),
        (403, ShouldAskForScope),
    ],
)
def test_a_bucket_that_stays_that_way_is_named(
    through: Objects, proxy: Proxy, file: Path, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    proxy.script = times(-1, status)
    with pytest.raises(error, match="gs://test-") as named:
        GcsBlobStore(through, tmp_path / "cache").put(file)
    assert (
        "said so" in str(named.value) or status == 401
    )  # an emulator's client has nothing to renew
    assert isinstance(named.value, EverloopError)
    assert named.value.remedy
    if status in {401, 403}:
        assert len(proxy.asked) == 1


def test_a_missing_permission_is_named(through: Objects, proxy: Proxy) -> None:
    said = (
        "sa@x.iam does not have storage.objects.create access to the Google Cloud Storage object."
    )
    proxy.script = lambda method, path: (403, json.dumps({"error": {"message": said}}).encode())
    with pytest.raises(ShouldAskForScope, match=r"lacks storage\.objects\.create") as named:
        through.write("a", b"1")
    assert "roles/storage.objectUser" in named.value.remedy


def test_a_retention_policy_is_named(through: Objects, proxy: Proxy) -> None:
    through.write("a", b"1")
    said = "Object 'a' is subject to bucket's retention policy and cannot be deleted until 2030."
    proxy.script = lambda method, path: (403, json.dumps({"error": {"message": said}}).encode())
    with pytest.raises(ShouldAskForScope, match="keeps objects from being deleted"):
        through.delete("a")


def test_a_bucket_out_of_reach_is_named(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, through: Objects, proxy: Proxy
) -> None:
    proxy.shutdown()
    proxy.server_close()
    with pytest.raises(ShouldRetryLater, match="could not be reached"):
        through.about("a")


def test_a_download_that_breaks_off_is_taken_up_again(
    through: Objects, proxy: Proxy, file: Path, tmp_path: Path
) -> None:
    blobs = GcsBlobStore(through, tmp_path / "cache")
    address = blobs.put(file)
    cuts = iter([100, 300])

    def cut(path: str, body: bytes) -> bytes:
        return body[: next(cuts, len(body))] if "alt=media" in path else body

    proxy.cut = cut
    assert blobs.fetch(*address).read_bytes() == file.read_bytes()


def test_a_download_that_arrives_changed_is_never_handed_out(
    through: Objects, proxy: Proxy, file: Path, tmp_path: Path
) -> None:
    blobs = GcsBlobStore(through, tmp_path / "cache")
    address = blobs.put(file)
    proxy.cut = lambda path, body: b"X" + body[1:] if "alt=media" in path else body
    with pytest.raises(ShouldRestoreArtefact, match=address[1]):
        blobs.fetch(*address)
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []
    once = iter([True])
    proxy.cut = lambda path, body: (
        b"X" + body[1:] if "alt=media" in path and next(once, False) else body
    )
    assert blobs.fetch(*address).read_bytes() == file.read_bytes()


def test_an_answer_that_was_lost_counts_as_given(through: Objects, proxy: Proxy) -> None:
    """The first request is carried out and answered by a failure: the second one meets its own write."""
    pointer = Pointer(through, "pointer")
    first = pointer.swap(b"one", 0)
    proxy.lose = 1
    second = pointer.swap(b"two", first)
    assert sum("uploadType" in path for _, path in proxy.asked) == 3
    assert pointer.read() == (b"two", second)
    with pytest.raises(ShouldResolveConflict, match="any longer"):
        pointer.swap(b"two", first)


KILLED_UPLOAD = """
import os, signal, sys
from pathlib import Path
from everloop.settings import Bucket
from everloop.storage.gcp.blobs import GcsBlobStore
from everloop.storage.gcp.objects import Objects
from google.cloud.storage._media.requests import ResumableUpload
bucket, prefix, path, cache = sys.argv[1:]
real, calls = ResumableUpload.transmit_next_chunk, []
def dying(*given, **named):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)
ResumableUpload.transmit_next_chunk = dying
GcsBlobStore(Objects(Bucket(bucket, prefix)), Path(cache)).put(Path(path))
"""


@pytest.mark.gcp
def test_an_upload_that_is_killed_leaves_no_blob_and_is_repeated(
    bucket: Bucket, gcs_client: Any, large: Path, tmp_path: Path
) -> None:
    objects = Objects(bucket, gcs_client)
    done = subprocess.run(
        [
            *(sys.executable, "-c", KILLED_UPLOAD, bucket.name, bucket.prefix),
            *(str(large), str(tmp_path / "cache")),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signals.SIGKILL
    assert list(objects.list()) == []
    blobs = GcsBlobStore(objects, tmp_path / "cache")
    url, sha256 = blobs.put(large)
    assert [one.name for one in objects.list()] == [blob_name(sha256)]
    assert blobs.fetch(url, sha256).read_bytes() == large.read_bytes()


@pytest.mark.gcp
def test_a_piece_that_fails_is_sent_again_alone(
    through: Objects, proxy: Proxy, large: Path, tmp_path: Path
) -> None:
    proxy.script = times(2, 503, "upload_id")
    blobs = GcsBlobStore(through, tmp_path / "cache")
    address = blobs.put(large)
    assert blobs.fetch(*address).stat().st_size == LARGE
    # Three pieces and two that failed: nothing began anew.
    assert sum("upload_id" in path for _, path in proxy.asked) <= 3 + 2 * 2
    assert (
        sum(method == "POST" and "uploadType=resumable" in path for method, path in proxy.asked)
        == 1
    )


def test_an_upload_that_arrived_damaged_is_not_kept(
    bucket: Bucket, gcs_client: Any, file: Path
) -> None:
    objects = Objects(bucket, gcs_client)
    with pytest.raises(ShouldRestoreArtefact, match="arrived with"):
        objects.upload("a", file, "AAAAAA==")
    assert objects.about("a") is None


def test_processes_that_put_the_same_blob_at_once_make_one(
    bucket: Bucket, gcs_client: Any, file: Path, tmp_path: Path
) -> None:
    objects = Objects(bucket, gcs_client)
    stores = [GcsBlobStore(objects, tmp_path / str(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        addresses = list(pool.map(lambda store: store.put(file), stores))
    assert len(set(addresses)) == 1
    assert len(list(objects.list())) == 1


def test_of_swaps_at_once_exactly_one_wins(bucket: Bucket, gcs_client: Any) -> None:
    objects = Objects(bucket, gcs_client)
    generation = 0
    for turn in range(5):

        def swap(number: int, turn: int = turn, generation: int = generation) -> int | None:
            try:
                # All write the same: who lost must not take another's for its own.
                return Pointer(objects, "pointer").swap(b"turn %d" % turn, generation)
            except ShouldResolveConflict:
                return None

        with ThreadPoolExecutor(8) as pool:
            won = [new for new in pool.map(swap, range(8)) if new is not None]
        assert len(won) == 1
        assert Pointer(objects, "pointer").read() == (b"turn %d" % turn, won[0])
        generation = won[0]


def test_records_are_written_once(bucket: Bucket, gcs_client: Any) -> None:
    records = ImmutableObjects(Objects(bucket, gcs_client), "ledger")
    records.write("b/2.json", b"two")
    records.write("a/1.json", b"one")
    records.write("a/1.json", b"one")
    with pytest.raises(ShouldResolveConflict, match=r"a/1\.json holds other bytes"):
        records.write("a/1.json", b"eins")
    assert records.read("a/1.json") == b"one"
    assert records.names("") == ["a/1.json", "b/2.json"]
    assert records.names("a/") == ["a/1.json"]
    with pytest.raises(ShouldRestoreArtefact, match=r"c\.json"):
        records.read("c.json")
    assert records.address.endswith("/team/everloop/ledger")


def test_no_credentials_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(EMULATOR, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises(ShouldProvideKey, match="no Google credentials") as named:
        gcs.open_client()
    assert "workload identity" in named.value.remedy


def test_attempts_that_nothing_names_leave_after_an_hour(bucket: Bucket, gcs_client: Any) -> None:
    objects = Objects(bucket, gcs_client)
    versions = BucketVersions(objects)
    objects.write(f"datasets/{'a' * 64}/{'1' * 16}/episodes.parquet", b"left by a killed process")
    assert versions.sweep() == 1
    assert versions.sweep(datetime.now(UTC) + timedelta(hours=1, minutes=1)) == 0
    assert list(objects.list()) == []
