"""A played day reaches the log as the service would have stored it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from everloop import settings
from everloop.contracts.contexts import SEALED
from everloop.contracts.errors import ShouldFixEpisode, ShouldResolveConflict
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from everloop.sdk.demo.deciders import FIRST, Decider, Deciders
from everloop.sdk.demo.door import TENANT, open_door
from everloop.sdk.demo.records import InFlight, episodes_of
from everloop.wiring import Workspace, open_workspace
from synthetic.population import DayOfDecisions, Population, logging_policy

SPEC = load("companion")
DAY = date(2025, 1, 6)


def played(seed: int = 5) -> DayOfDecisions:
    return Population(SPEC, 120, seed).day(DAY, logging_policy)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in (settings.HOME_VARIABLE, settings.DATABASE_URL, *settings.KEYS):
        monkeypatch.delenv(name, raising=False)
    settings.initialise(tmp_path)
    return open_workspace(tmp_path)


def test_decisions_are_stored_once_sealed_and_under_pseudonyms(workspace: Workspace) -> None:
    day = played()
    for _ in range(2):
        with open_door(workspace, SPEC) as door:
            door.store(episodes_of(day, FIRST, door), ())
    assert workspace.log.counts(SPEC.name, TENANT) == (len(day), 0)
    person = workspace.pseudonyms.of(day.user_ids[0], TENANT)
    (stored,) = workspace.log.episodes_of(person, TENANT)
    assert stored.model_version == FIRST
    assert stored.propensity == pytest.approx(float(day.decisions.propensity[0]), abs=1e-15)
    assert "emotion" not in stored.context_snapshot
    assert SEALED in stored.context_snapshot
    row = next(row for row, met in enumerate(day.partner_ids) if met)
    (pairing,) = workspace.log.episodes_of(workspace.pseudonyms.of(day.user_ids[row], TENANT))
    told = day.action_arguments(row)
    assert pairing.action_arguments == {
        "user_ids": [workspace.pseudonyms.of(name, TENANT) for name in day.partner_ids[row]],
        "descriptors": told["descriptors"],
        "slate_propensity": told["slate_propensity"],
    }


def test_another_day_under_the_same_ids_is_a_conflict(workspace: Workspace) -> None:
    day = played()
    with open_door(workspace, SPEC) as door:
        door.store(episodes_of(day, FIRST, door), ())
        with pytest.raises(ShouldResolveConflict):
            door.store(episodes_of(day, "another-1", door), ())


def test_what_the_loop_does_not_declare_is_refused(workspace: Workspace) -> None:
    fewer = [action.model_dump() for action in SPEC.actions[:3]]
    other = LoopSpec.model_validate(SPEC.model_dump() | {"actions": fewer, "constraints": {}})
    with open_door(workspace, other) as door, pytest.raises(ShouldFixEpisode):
        door.store(episodes_of(played(), FIRST, door), ())
    assert workspace.log.counts(SPEC.name, TENANT) == (0, 0)


def test_signals_come_in_on_the_day_that_their_latency_says_and_none_is_lost() -> None:
    day, on_its_way = played(), InFlight()
    on_its_way.send(day)
    decided = dict(zip(day.decision_ids, day.decisions.timestamp.tolist(), strict=True))
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1)
    found = []
    for later in range(6):
        for signal in on_its_way.come_in(DAY + timedelta(days=later)):
            arrived = decided[signal.episode_id] + signal.latency - midnight.timestamp()
            assert (later - 1) * 86_400 < arrived <= later * 86_400
            found.append(signal.signal_id)
    assert sorted(found) == sorted(told["signal_id"] for told in day.signals())
    assert on_its_way.waiting == []


def test_rules_decide_until_a_policy_is_let_through(workspace: Workspace) -> None:
    deciders = Deciders(workspace, SPEC)
    deciders.deploy(FIRST)
    assert workspace.registry.alias(SPEC.name, "active", TENANT) == (None, 0)
    first = deciders.of(FIRST, 10_000)
    assert isinstance(first, Decider)
    assert first.exploration == 0.4
    least = first.exploration / len(SPEC.actions)
    chances = Population(SPEC, 50, 1).day(DAY, first.policy).decisions.propensities
    assert chances[chances > 0].min() >= least - 1e-12
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
