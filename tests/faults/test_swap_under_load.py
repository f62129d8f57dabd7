"""What serves is swapped while two workers decide: from its commit on, nothing withdrawn is stored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.rollouts import RolloutEvent, RolloutRecord
from everloop.loops.loader import load
from everloop.registry.manifest import manifest_of
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.storage.service_tables import decisions
from everloop.storage.sql import deployments as deployments_module
from everloop.storage.sql import head_changes as changes_module
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql import rollouts as rollouts_module
from everloop.storage.sql.engine import reading
from everloop.storage.sql.ingest_kinds import DECISIONS
from everloop.storage.sql.rollout_events import append_event
from everloop.wiring import Workspace, open_workspace
from tests.faults.service_load import Load
from tests.made_policies import made_policy
from tests.served import START_SECONDS, Served

LOOP = "companion"


@pytest.fixture(params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        monkeypatch.setenv("EVERLOOP_DATABASE_URL", url)
    service = Served(tmp_path / "w", arguments=("--no-train", "--workers", "2"))
    yield service
    service.kill()


class Changes:
    """Every change of what serves, with the number of the last decision that was stored before it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.after: list[int] = []
        for module in (changes_module, deployments_module, rollouts_module):
            monkeypatch.setattr(module, "append_event", self._note)

    def _note(self, connection: Connection, event: RolloutEvent) -> RolloutEvent:
        self.after.append(counters.last_number(connection, event.tenant, DECISIONS.counter))
        return append_event(connection, event)


def policy(place: Workspace, version: str) -> ModelCheckpoint:
    spec = load(LOOP)
    path = made_policy(spec, version, place.home / f"{version}.onnx", bias=range(8))
    return register(
        Candidate(
            loop=LOOP,
            model_type=ModelType.INTERVENTION,
            files={"policy.onnx": path},
            served="policy.onnx",
            performance_metrics={},
            lineage={**dict.fromkeys(REQUIRED_LINEAGE, version), "version": version},
            provenance=Provenance.PRIVATE_RELEASE,
            verdict="continue",
            training_date=datetime.now(UTC),
        ),
        place.registry,
        place.blobs,
    )


def wait_for_workers(served: Served) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        _, page, _ = served.ask("GET", "/metrics")
        if 'worker="0"' in page and 'worker="1"' in page:
            return
        time.sleep(0.2)
    raise AssertionError(page)


@pytest.mark.timeout(600)
def test_nothing_withdrawn_is_stored_after_the_swap(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = open_workspace(served.home)
    one, two, three = (policy(place, version) for version in ("one", "two", "three"))

    def swap(made: ModelCheckpoint, kind: Any) -> None:
        manifest = manifest_of((made,), datetime.now(UTC))
        seen = place.deployments.head(LOOP).revision
        place.deployments.swap(manifest, seen, kind, "a test", "cli:test")

    changes = Changes(monkeypatch)
    swap(one, "deployed")
    served.start()
    wait_for_workers(served)
    with Load(served) as load:
        load.wait_for(60)
        swap(two, "deployed")
        load.wait_for(60)
        swap(one, "rolled_back")
        load.wait_for(60)
        trial = place.rollouts.start(
            RolloutRecord(
                rollout_id="trial",
                loop=LOOP,
                candidate=three.checkpoint_id,
                active=one.checkpoint_id,
                state="started",
                traffic_percent=50.0,
                reasons=("a test",),
                recorded_at=datetime.now(UTC),
            )
        )
        load.wait_for(90)
        over = replace(trial, state="rolled_back", traffic_percent=0.0)
        place.rollouts.advance(over, "rolled_back", "it hurts", "cli:test")
        load.wait_for(60)
    assert served.stop() == 0
    assert load.told.wrong == []
    allowed = [{"one"}, {"two"}, {"one"}, {"one", "three"}, {"one"}]
    found = _versions(place, changes.after)
    assert found == allowed
    for decision_id, answer in load.told.decisions.items():
        stored = place.decisions.decision(decision_id, "default")
        assert (stored.model_version, stored.action_taken) == (
            answer["model_version"],
            answer["action"],
        )


def _versions(place: Workspace, after: list[int]) -> list[set[str]]:
    """The versions that decided between one change and the next, by the numbers of their decisions."""
    with reading(place.engine) as connection:
        rows = connection.execute(select(decisions.c.seq, decisions.c.model_version)).all()
    ends = [*after[1:], max(seq for seq, _ in rows)]
    return [
        {version for seq, version in rows if first < seq <= last}
        for first, last in zip(after, ends, strict=True)
    ]
