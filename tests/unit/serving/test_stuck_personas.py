"""What cannot be applied for one persona holds up no other's feedback, and is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import Engine

from everloop.contracts.feedback import AIInterpretation
from everloop.contracts.personas import PersonaRevision, TeachingMark
from everloop.persona.graph import graph_of
from everloop.serving.personas.teaching import PersonaCollector, PersonaTeacher
from everloop.serving.readiness import parts
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.persona_revisions import SqlPersonaStore
from everloop.storage.sql.teaching_log import SqlTeachingLog
from tests.feedback_records import feedback, interaction, put
from tests.log_records import BEN, uuid_of
from tests.two_tenants import OURS, two_tenants
from tests.unit.persona.test_adjustment import voice
from tests.unit.serving.test_personas import say

SPEC = voice()
OTHER = SPEC.model_copy(update={"persona": "other"})
VOICES = {"companion": SPEC, "other": OTHER}
SAID: dict[str, Any] = {
    "persona": "companion",
    "interpretations": (AIInterpretation("too_formal", "formality", -0.1, -0.5),),
}
ROTTEN = b'{"persona":"companion","x":1}'


class TwoTenants(SqlTeachingLog):
    """The log of one tenant, read by the name of another, too."""

    def marks(self) -> Mapping[str, TeachingMark]:
        found = super().marks()["default"]
        return {"acme": found, "bolt": found}

    def teaching(
        self, persona: str, after: TeachingMark, until: TeachingMark, tenant: str = ""
    ) -> Any:
        for said in super().teaching(persona, after, until):
            if self.caused(persona, said.feedback_id, tenant):
                continue
            yield replace(said, tenant=tenant)

    def caused(self, persona: str, cause: str, tenant: str) -> bool:
        return SqlPersonaStore(self._engine).caused_by(persona, cause, None, tenant) is not None


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = open_workspace_database(tmp_path / "state.db")
    put(made, interaction(1), feedback(1, 1, **SAID))
    return made


def damaged(store: SqlPersonaStore, tenant: str, number: int = 1) -> None:
    now = datetime.now(UTC)
    store.append(
        PersonaRevision(number, "companion", ROTTEN, "rot", "It rots.", now, tenant=tenant)
    )


def test_a_damaged_persona_stops_no_other_and_is_told_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqlPersonaStore(engine)
    damaged(store, "acme")
    teacher = PersonaTeacher(TwoTenants(engine), store, VOICES, SystemClock())
    with caplog.at_level(logging.WARNING):
        assert teacher.look() == 1
        put(engine, feedback(2, 1, **SAID | {"persona": "other"}), feedback(3, 1, **SAID))
        assert teacher.look() == 3
        assert teacher.look() == 0
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "'companion' of tenant 'acme'" in caplog.text
    newest = store.newest("companion", None, "bolt")
    assert newest is not None
    assert newest.number == 3
    assert teacher.stuck == 1
    registry = CollectorRegistry()
    registry.register(PersonaCollector(teacher))
    assert b"everloop_personas_stuck 1.0" in generate_latest(registry)
    whole = replace(newest, number=2, cause="mended", tenant="acme")
    store.append(whole)
    assert teacher.look() == 2
    assert teacher.stuck == 0


def test_of_one_persona_what_can_be_applied_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(engine, feedback(2, 1, **SAID | {"user_id": BEN}), feedback(3, 1, **SAID))
    store = SqlPersonaStore(engine)
    log = SqlTeachingLog(engine)
    teacher = PersonaTeacher(log, store, {"companion": SPEC}, SystemClock())
    moved = log.moved

    def rotten(persona: str, user_id: str, *more: Any) -> Any:
        return ((ROTTEN, ROTTEN),) if user_id != BEN else moved(persona, user_id, *more)

    monkeypatch.setattr(log, "moved", rotten)
    assert teacher.look() == 1
    assert teacher.stuck == 1
    assert store.caused_by("companion", uuid_of(2, "feedback")) is not None
    monkeypatch.setattr(log, "moved", moved)
    assert teacher.look() == 2
    assert teacher.stuck == 0
    newest = store.newest("companion")
    assert newest is not None
    assert graph_of(newest.content).trait("formality") is not None
    assert teacher.look() == 0


def test_the_service_stays_ready_and_says_who_is_stuck(tmp_path: Path) -> None:
    with two_tenants(tmp_path) as world:

        def told() -> str:
            found = {part.name: part for part in parts(world.service)}["thread:personas"]
            assert found.ok
            return found.detail

        assert told() == ""
        store = world.service.workspace.personas
        newest = store.newest("guide", None, OURS)
        following = 1 if newest is None else newest.number + 1
        now = datetime.now(UTC)
        store.append(
            PersonaRevision(following, "guide", ROTTEN, "rot", "It rots.", now, tenant=OURS)
        )
        say(world)
        give_up = time.monotonic() + 20
        while not told() and time.monotonic() < give_up:
            time.sleep(0.05)
        assert told() == "1 personas do not hear all of their feedback"
        assert b"everloop_personas_stuck 1.0" in world.service.exchange.page()
