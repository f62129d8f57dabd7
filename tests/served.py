"""A service as a process of its own, for tests that kill it, and a client that never gives up."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from everloop.contracts.access import Scope
from everloop.contracts.episodes import canonical_json
from everloop.serving.access.credentials import make_key
from everloop.serving.workers import bind
from everloop.settings import initialise
from everloop.wiring import open_workspace

START_SECONDS = 120.0
PYTHON = (sys.executable, "-c", "from everloop.cli import main; main()")


@dataclass
class Served:
    """``everloop serve`` on a workspace and port of its own.

    ``home`` is made where it isn't there; ``environment`` is added to this process's.
    """

    home: Path
    arguments: tuple[str, ...] = ("--no-train",)
    environment: Mapping[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    port: int = 0
    key: str = ""
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        with bind("127.0.0.1", 0) as free:
            self.port = free.getsockname()[1]
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            initialise(self.home)
            self.key = new_key(self.home)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def start(self) -> None:
        command = [*self.wrapper, *PYTHON, "serve", "--home", str(self.home)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *self.arguments],
            env={**os.environ, **self.environment},
            stderr=subprocess.DEVNULL,
        )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError("the service has ended")
            try:
                if self.ask("GET", "/health/ready")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the service did not start")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, Mapping[str, str]]:
        """(status, JSON or text, headers) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            return ask(connection, self.key, method, path, body)
        finally:
            connection.close()


def ask(
    connection: http.client.HTTPConnection, key: str, method: str, path: str, body: Any = None
) -> tuple[int, Any, Mapping[str, str]]:
    data = None if body is None else canonical_json(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request(method, path, data, headers)
    response = connection.getresponse()
    text = response.read()
    kind = response.headers.get("content-type", "")
    answer = json.loads(text) if "json" in kind else text.decode()
    return response.status, answer, dict(response.headers)


def new_key(home: Path, tenant: str = "default") -> str:
    """A key that may do everything."""
    made = make_key(tenant, "test", tuple(Scope), datetime.now(UTC))
    open_workspace(home).keys.add(made.record, "cli:test")
    return made.text
