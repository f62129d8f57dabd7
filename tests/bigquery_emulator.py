"""A throw-away BigQuery for tests: ``local-bigquery`` on free loopback ports, its data in a folder.

::

    def test_it(bigquery_jobs: Jobs) -> None:
        bigquery_jobs.run("SELECT 1", {}, {})

The emulator starts when a test first asks for it and stops with the session; each test gets a dataset
of its own. Where it is not installed those tests are skipped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from everloop.settings.cloud import BigQueryTables
from tests.bigquery_environment import HOME, interpreter

if TYPE_CHECKING:
    from everloop.storage.gcp.bigquery.jobs import Jobs

INSTALL = "the BigQuery emulator is not installed; run: make bigquery-emulator"
PROJECT = "everloop-test"
_START_SECONDS = 60.0
_SERVER = Path(__file__).with_name("bigquery_server.py")


@dataclass(frozen=True, slots=True)
class Emulator:
    """Where a running emulator answers."""

    host: str
    storage: str
    process: int


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Emulator]:
    """Start an emulator that keeps its tables in ``folder``; it ends with the block."""
    command = interpreter()
    if command is None:
        pytest.skip(INSTALL)
    folder.mkdir(parents=True, exist_ok=True)
    port, storage = _free_port(), _free_port()
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--grpc-port", str(storage)]
    arguments += ["--project", PROJECT, "--data-dir", str(folder)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                str(command),
                str(_SERVER),
                "serve",
                *arguments,
                "--project",
                PROJECT,
                "--data-dir",
                str(folder),
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(HOME)},
        )
    try:
        _await_answer(f"http://127.0.0.1:{port}/bigquery/v2/projects", process, folder)
        yield Emulator(f"http://127.0.0.1:{port}", f"127.0.0.1:{storage}", process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < give_up:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError((folder / "log").read_text())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def bigquery_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running(tmp_path_factory.mktemp("bigquery")) as emulator:
        yield emulator


def new_dataset(emulator: Emulator) -> BigQueryTables:
    """An empty dataset of the emulator's, as the environment would name it."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    place = BigQueryTables(
        PROJECT,
        f"everloop_{uuid.uuid4().hex}",
        "US",
        emulator=emulator.host,
        storage_emulator=emulator.storage,
    )
    client = bigquery.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": emulator.host},
    )
    client.create_dataset(place.dataset)
    client.close()
    return place


@pytest.fixture
def bigquery_place(bigquery_emulator: Emulator) -> BigQueryTables:
    return new_dataset(bigquery_emulator)


@pytest.fixture
def bigquery_jobs(bigquery_place: BigQueryTables) -> Iterator[Jobs]:
    from everloop.storage.gcp.bigquery.jobs import Jobs

    jobs = Jobs(bigquery_place, patience=10.0)
    yield jobs
    jobs.close()
