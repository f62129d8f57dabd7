"""A log and its jobs, in a small database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from everloop.contracts.ports import EventLog
from everloop.contracts.service_ports import JobStore
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.jobs import SqlJobStore
from tests.log_records import NOON, SetClock, episode


@dataclass
class World:
    """What triggers and workers see."""

    home: Path
    clock: SetClock = field(default_factory=lambda: SetClock(NOON))
    logged: int = 0

    def __post_init__(self) -> None:
        self.engine = open_workspace_database(self.home / "state.db")
        self.jobs: JobStore = SqlJobStore(self.engine, self.clock)
        self.events: EventLog = SqlEventLog(self.engine, self.clock)

    def log(
        self, episodes: int, loop: str = "walk", tenant: str = "default", at: datetime = NOON
    ) -> None:
        numbers = range(self.logged, self.logged + episodes)
        self.events.append_episodes([episode(n, at, loop=loop, tenant=tenant) for n in numbers])
        self.logged += episodes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
