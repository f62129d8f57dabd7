"""A service under measurement: a process of its own, with a workspace that is thrown away."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.record import ROOT

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Running:
    """A server's address, key and process.

    ``home`` is its workspace; ``environment`` what its commands need (the database's URL).
    """

    port: int
    key: str
    pid: int
    home: Path
    environment: Mapping[str, str]

    def cpu_seconds(self) -> float:
        """User and system CPU seconds of the process so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_mb(self) -> float:
        """Resident set, MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        return int(found.group(1)) / 1024 if found else 0.0

    def wal_mb(self) -> float:
        """SQLite's write-ahead log, MiB; 0 on PostgreSQL."""
        path = self.home / "state.db-wal"
        return path.stat().st_size / 2**20 if path.exists() else 0.0


@contextmanager
def running(url: str = "") -> Iterator[Running]:
    """Start a server on SQLite, or on the PostgreSQL database at ``url``."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environment = {**os.environ, "EVERLOOP_HOME": folder, "EVERLOOP_DATABASE_URL": url}
        _everloop(environment, "init")
        scopes = [part for s in ("ingest", "decide", "read") for part in ("--scope", s)]
        key = _everloop(environment, "keys", "create", "--name", "bench", *scopes).split()[0]
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.ingest.server", folder],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            if process.stdout is None:
                raise RuntimeError("the server has no output")
            port = int(process.stdout.readline())
            yield Running(port, key, process.pid, home, environment)
        finally:
            process.terminate()
            process.wait(60)


def _everloop(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-c", "from everloop.cli import main; main()", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(environment),
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return done.stdout
