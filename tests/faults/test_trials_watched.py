"""A service with a candidate in shadow: killed, run by two workers, and left alone with a bad one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.rollouts import RolloutRecord, Stay, TrialTally
from everloop.loops import load
from everloop.registry.promotion import promote
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.rollout.end import CANDIDATE
from everloop.rollout.health import merged
from everloop.wiring import Workspace, open_workspace
from tests.deciding import CONTEXT, asked
from tests.made_policies import made_policy
from tests.served import Served

SPEC = load("companion")
POISON = CONTEXT | {"emotion": [-1.0] * 128}
PATIENCE_S = 60.0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    service = Served(tmp_path / "w")
    yield service
    service.kill()


def checkpoint(place: Workspace, version: str, **policy: Any) -> str:
    path = made_policy(SPEC, version, place.home / f"{version}.onnx", **policy)
    made = register(
        Candidate(
            loop=SPEC.name,
            model_type=ModelType.INTERVENTION,
            files={"policy.onnx": path},
            served="policy.onnx",
            performance_metrics={},
            lineage=dict.fromkeys(REQUIRED_LINEAGE, version),
            provenance=Provenance.PRIVATE_RELEASE,
            verdict="continue",
            training_date=datetime.now(UTC),
        ),
        place.registry,
        place.blobs,
    )
    return made.checkpoint_id


def in_shadow(home: Path, **policy: Any) -> tuple[Workspace, RolloutRecord]:
    """An active model that would most likely do one thing, and a candidate in shadow."""
    place = open_workspace(home)
    active = checkpoint(place, "active-1", bias=range(len(SPEC.actions)))
    promote(active, place.registry, place.blobs, place.deployments, "a test")
    candidate, now = checkpoint(place, "candidate-1", **policy), datetime.now(UTC)
    record = place.rollouts.start(
        RolloutRecord(
            rollout_id=str(uuid.uuid4()),
            loop=SPEC.name,
            candidate=candidate,
            active=active,
            state="shadow",
            traffic_percent=0.0,
            reasons=("a test",),
            recorded_at=now,
            history=(Stay("shadow", 0.0, now),),
        )
    )
    current, generation = place.registry.alias(SPEC.name, CANDIDATE)
    if current != candidate:
        place.registry.set_alias(SPEC.name, CANDIDATE, candidate, generation, "a test", "default")
    return place, record


def decide(served: Served, n: int, **changes: Any) -> list[dict[str, Any]]:
    questions = [asked(user_id=f"person-{who}", **changes) for who in range(n)]
    status, answer, _ = served.ask("POST", "/api/ml/decide/batch", {"decisions": questions})
    assert status == 200, answer
    found: list[dict[str, Any]] = answer["decisions"]
    return found


def until(ready: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.1)


def tallies(place: Workspace, record: RolloutRecord) -> tuple[TrialTally, ...]:
    return place.tallies.tallies(record.rollout_id, "shadow")


def test_what_was_flushed_survives_a_kill_and_a_restarted_worker_adds_to_it(
    served: Served,
) -> None:
    place, record = in_shadow(served.home)
    served.start()
    decide(served, 40)

    def counted() -> int:
        return merged(tallies(place, record), "shadow").asked

    until(lambda: counted() == 40)
    served.kill()
    assert counted() == 40
    served.start()
    decide(served, 25)
    until(lambda: counted() == 65)
    decide(served, 5)
    assert served.stop() == 0
    assert counted() == 70, "the last ones are stored at the end"
    assert len(tallies(place, record)) == 2
    assert place.rollouts.rollout(record.rollout_id).state == "shadow"


@pytest.mark.slow
def test_two_workers_take_a_bad_candidate_away_by_themselves(tmp_path: Path) -> None:
    served = Served(tmp_path / "w", arguments=("--no-train", "--workers", "2"))
    place, record = in_shadow(served.home, nan_above=0.5)
    served.start()
    try:
        answers = []
        for _ in range(12):
            answers += decide(served, 5)
        until(lambda: merged(tallies(place, record), "shadow").asked == 60)
        assert place.rollouts.rollout(record.rollout_id).state == "shadow"
        answers += decide(served, 5, context=POISON)
        until(lambda: place.rollouts.rollout(record.rollout_id).state == "rolled_back")
        assert {answer["model_version"] for answer in answers} == {"active-1"}
        assert {answer["fallback"] for answer in answers} == {""}
        total = merged(tallies(place, record), "shadow")
        assert (total.asked, total.invalid) == (65, 5)
        kinds = [event.kind for event in place.deployments.events(SPEC.name)]
        assert kinds.count("rolled_back") == 1, "two guards, one act"
        _, page, _ = served.ask("GET", "/metrics")
        assert 'everloop_trial_decisions_total{loop="companion",outcome="invalid"' in page
        assert 'everloop_safety_breakers_open{loop="companion"' in page
    finally:
        served.kill()
