"""Whoever lets feedback move a persona is killed before any of its writes; the next one completes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.feedback import AIInterpretation
from everloop.contracts.personas import PersonaRevision
from everloop.persona.graph import graph_of
from everloop.serving.personas.teaching import PersonaTeacher
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.persona_revisions import SqlPersonaStore
from everloop.storage.sql.teaching_log import SqlTeachingLog
from tests.feedback_records import feedback, interaction, put
from tests.log_records import uuid_of
from tests.unit.persona.test_adjustment import voice

SPEC = voice(cap=2.0)
SAID = 6


class Deadly(SqlPersonaStore):
    """A store of a process that dies before its n-th write."""

    left = 0

    def append(self, revision: PersonaRevision) -> PersonaRevision:
        if Deadly.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        Deadly.left -= 1
        return super().append(revision)


def teacher(folder: Path, kind: type[SqlPersonaStore] = SqlPersonaStore) -> PersonaTeacher:
    engine = open_workspace_database(folder / "state.db")
    voices = {"companion": SPEC}
    return PersonaTeacher(SqlTeachingLog(engine), kind(engine), voices, SystemClock())


def filled(folder: Path) -> None:
    engine = open_workspace_database(folder / "state.db")
    said: dict[str, Any] = {
        "persona": "companion",
        "interpretations": (AIInterpretation("too_formal", "formality", -0.1, -0.5),),
    }
    put(engine, interaction(1), *(feedback(n, 1, **said) for n in range(1, SAID + 1)))
    engine.dispose()


@pytest.mark.parametrize("after", [0, 4])
def test_nothing_is_lost_and_nothing_moves_twice(tmp_path: Path, after: int) -> None:
    filled(tmp_path)
    died = subprocess.run(
        [sys.executable, "-m", "tests.faults.test_persona_killed", str(tmp_path), str(after)],
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert died.returncode == -signal.SIGKILL
    store = SqlPersonaStore(open_workspace_database(tmp_path / "state.db"))
    assert len(store.revisions("companion")) == after
    assert teacher(tmp_path).look() == SAID - max(0, after - 1)
    assert teacher(tmp_path).look() == 0
    causes = [each.cause for each in store.revisions("companion")]
    named = [uuid_of(n, "feedback") for n in range(1, SAID + 1)]
    assert causes == [*reversed(named), "specification"]
    newest = store.newest("companion")
    assert newest is not None
    moved = graph_of(newest.content).trait("formality")
    assert moved is not None
    # rate .5 x mean of equal asks -.1 x weight .5 x confidence .75, six times
    assert moved.value == pytest.approx(-6 * 0.5 * 0.1 * 0.375)


if __name__ == "__main__":
    Deadly.left = int(sys.argv[2])
    teacher(Path(sys.argv[1]), Deadly).look()
