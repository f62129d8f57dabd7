"""An import that is killed, or that the store refuses halfway, is absent; the next one is whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldResolveConflict
from everloop.intake.example import import_example
from everloop.intake.files import import_file
from everloop.intake.mapping_file import mapping_template, parse_mapping
from everloop.loops import load
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog

PEOPLE = 500
OPEN_BANDIT = load("open_bandit")

KILLED_IMPORT = """
import hashlib, os, signal, sys
from everloop.intake.example import import_example
from everloop.loops import load
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog

database, kind, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
log = SqlEventLog(open_workspace_database(database))

class Dying:
    def append_batch(self, episodes, signals):
        def until_killed(records):
            for number, record in enumerate(records):
                if number == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield record
        if kind == "episodes":
            return log.append_batch(until_killed(episodes), signals)
        return log.append_batch(episodes, until_killed(signals))

import_example(
    Dying(), load("companion"), lambda p: hashlib.sha256(p.encode()).hexdigest(), people=500
)
"""


@pytest.fixture
def pseudonym() -> Callable[[str], str]:
    return lambda person: uuid.uuid5(uuid.NAMESPACE_OID, person).hex * 2


def _open(database: Path) -> SqlEventLog:
    return SqlEventLog(open_workspace_database(database))


@pytest.mark.parametrize(("kind", "at"), [("episodes", 1800), ("signals", 1500)])
def test_a_killed_import_is_absent_and_the_next_one_whole(
    tmp_path: Path, pseudonym: Callable[[str], str], kind: str, at: int
) -> None:
    database = tmp_path / "workspace.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", KILLED_IMPORT, str(database), kind, str(at)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    log = _open(database)
    assert log.counts("companion") == (0, 0)

    summary = import_example(log, load("companion"), pseudonym, people=PEOPLE)
    assert summary.episodes_replayed == 0
    assert log.counts("companion") == (summary.episodes_new, summary.signals_new)
    again = import_example(log, load("companion"), pseudonym, people=PEOPLE)
    assert (again.episodes_new, again.episodes_replayed) == (0, summary.episodes_new)
    assert (again.signals_new, again.signals_replayed) == (0, summary.signals_new)


def _row(number: int, propensity: float = 0.0125) -> dict[str, object]:
    features = {
        field.name: field.choices[number % len(field.choices)] for field in OPEN_BANDIT.context
    }
    return {
        "user_id": f"customer-{number}",
        "timestamp": f"2026-03-01T{number % 24:02}:00:00+00:00",
        "action": f"item-{number % 80}",
        "propensity": propensity,
        "valid_actions": [f"item-{item}" for item in range(80)],
        **features,
        "click": number % 2,
        "click_seconds": 5,
    }


def test_a_conflict_with_the_stored_log_imports_nothing_of_the_file(
    tmp_path: Path, pseudonym: Callable[[str], str]
) -> None:
    log, spec = _open(tmp_path / "workspace.sqlite"), OPEN_BANDIT
    mapping = parse_mapping(mapping_template(spec), spec)

    def bring(name: str, rows: list[dict[str, object]]) -> tuple[int, int]:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        summary = import_file(
            *(log, spec, path, mapping, pseudonym, tmp_path / "rejects.jsonl"),
            now=datetime(2026, 3, 2, tzinfo=UTC),
        )
        return summary.episodes_new, summary.episodes_replayed

    assert bring("first", [_row(n) for n in range(3000)]) == (3000, 0)
    assert bring("again", [_row(n) for n in range(2000, 4000)]) == (1000, 1000)
    with pytest.raises(ShouldResolveConflict):
        bring("conflict", [*(_row(n) for n in range(4000, 6000)), _row(7, propensity=0.5)])
    assert log.counts("open_bandit") == (4000, 4000)
