"""What nobody confirmed is forgotten, and the audit log says how much."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from everloop.serving.retention import ACTOR, Retention
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.decisions import SqlDecisionStore
from everloop.storage.sql.engine import open_workspace_database
from tests.feedback_records import decision, put
from tests.log_records import NOON, SetClock, episode, uuid_of


def test_old_decisions_go_and_their_episodes_stay(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    store, clock = SqlDecisionStore(engine), SetClock(NOON + timedelta(days=30))
    audit = SqlAuditLog(engine, clock)
    old, young = decision(1, at=NOON), decision(2, at=NOON + timedelta(hours=1))
    put(engine, old, young)
    put(
        engine,
        episode(
            1,
            user_id=old.user_id,
            action_taken=old.action_taken,
            propensity=old.propensity,
            model_version=old.model_version,
            valid_actions=old.valid_actions,
        ),
    )
    retention = Retention(store, audit, clock, timedelta(days=30) - timedelta(minutes=1))
    assert retention.forget() == 1
    assert store.decision(uuid_of(2)) == young
    (entry,) = [e for e in audit.entries("default") if e.actor == ACTOR]
    assert (entry.action, entry.rows) == ("decisions.forget", 1)
    assert retention.forget() == 0
    assert len([e for e in audit.entries("default") if e.actor == ACTOR]) == 1


def test_the_thread_looks_at_once_and_ends(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    store, clock = SqlDecisionStore(engine), SetClock(NOON + timedelta(days=31))
    put(engine, decision(1, at=NOON))
    seen = SqlAuditLog(engine, clock)
    with Retention(store, seen, clock, timedelta(days=30)) as retention:
        for _ in range(500):
            if any(e.actor == ACTOR for e in seen.entries("default")):
                break
            retention._stop.wait(0.01)
    assert any(e.actor == ACTOR for e in seen.entries("default"))
