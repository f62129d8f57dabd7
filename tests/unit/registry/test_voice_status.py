"""A version is active while its adapter serves, and archived once it was tried or served."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.models import ModelType
from everloop.contracts.rollouts import Head, RolloutRecord, RolloutState, Serves
from everloop.contracts.voices import VersionStatus
from everloop.registry.voice_status import follow_head, of_loop, require_own_persona
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.voices import SqlVoiceStore
from tests.deployment_records import registered, rollout
from tests.log_records import uuid_of
from tests.voice_records import version

ONE, TWO, THREE = (uuid_of(n, "model") for n in (1, 2, 3))


@pytest.fixture
def voices(database: Engine) -> SqlVoiceStore:
    store = SqlVoiceStore(database, SystemClock())
    for number in (1, 2, 3):
        store.add_version(version(number))
    return store


@pytest.fixture
def registry(database: Engine) -> SqlRegistry:
    return SqlRegistry(database)


def statuses(voices: SqlVoiceStore) -> dict[str, str]:
    return {each.model_id: each.status.value for each in voices.versions("friend")}


def head(serving: str | None) -> Head:
    return Head("walk", serves={"adapter": Serves(serving, 1)} if serving else {})


def tried(model: str, state: RolloutState) -> RolloutRecord:
    return replace(rollout(), candidate=model, state=state, subject="adapter")


def test_versions_follow_what_serves_and_what_was_tried(
    voices: SqlVoiceStore, registry: SqlRegistry
) -> None:
    trials = (tried(TWO, "started"), tried(THREE, "waiting"))
    assert follow_head(voices, "friend", head(ONE), trials, registry) == 1
    assert statuses(voices) == {ONE: "active", TWO: "experimental", THREE: "experimental"}
    assert follow_head(voices, "friend", head(ONE), trials, registry) == 0
    trials = (tried(TWO, "started"), tried(THREE, "rolled_back"))
    follow_head(voices, "friend", head(ONE), trials, registry)
    assert statuses(voices) == {ONE: "active", TWO: "experimental", THREE: "archived"}
    trials = (tried(TWO, "promoted"), tried(THREE, "rolled_back"))
    follow_head(voices, "friend", head(TWO), trials, registry)
    assert statuses(voices) == {ONE: "archived", TWO: "active", THREE: "archived"}
    follow_head(voices, "friend", head(ONE), trials, registry)
    assert statuses(voices) == {ONE: "active", TWO: "archived", THREE: "archived"}
    assert follow_head(voices, "friend", head(ONE), trials, registry) == 0
    follow_head(voices, "friend", head(None), trials, registry)
    assert VersionStatus.ACTIVE.value not in statuses(voices).values()


def test_one_that_is_tried_again_may_still_serve(
    voices: SqlVoiceStore, registry: SqlRegistry
) -> None:
    trials = (tried(TWO, "refused"), tried(TWO, "waiting"))
    follow_head(voices, "friend", head(None), trials, registry)
    assert statuses(voices)[TWO] == "experimental"
    follow_head(voices, "friend", head(None), trials[:1], registry)
    assert statuses(voices)[TWO] == "archived"
    follow_head(voices, "friend", head(None), trials, registry)
    assert statuses(voices)[TWO] == "experimental"


def test_one_whose_run_ended_before_its_trial_waits_for_none(
    voices: SqlVoiceStore, registry: SqlRegistry
) -> None:
    trials = (tried(TWO, "awaiting_approval"),)
    assert follow_head(voices, "friend", head(ONE), trials, registry) == 2
    assert statuses(voices) == {ONE: "active", TWO: "experimental", THREE: "archived"}
    follow_head(voices, "friend", head(ONE), (*trials, tried(THREE, "started")), registry)
    assert statuses(voices)[THREE] == "experimental"


def test_versions_of_another_loop_with_the_same_persona_stay_as_they_are(
    database: Engine, registry: SqlRegistry
) -> None:
    voices, mine = SqlVoiceStore(database, SystemClock()), list[str]()
    for number, loop in enumerate(("walk", "mine", "mine"), start=1):
        made = registered(number, ModelType.ADAPTER, loop=loop)
        registry.register(made)
        voices.add_version(version(number, model_id=made.checkpoint_id))
        mine.append(made.checkpoint_id)
    one, two, three = mine
    follow_head(voices, "friend", head(one), (), registry)
    assert follow_head(voices, "friend", Head("mine"), (), registry) == 2
    assert statuses(voices) == {one: "active", two: "archived", three: "archived"}
    assert follow_head(voices, "friend", head(one), (), registry) == 0
    found = of_loop(voices.versions("friend"), "mine", registry)
    assert [each.model_id for each in found] == [three, two]


def test_of_a_persona_that_speaks_for_another_loop_nothing_is_learned(
    voices: SqlVoiceStore, registry: SqlRegistry
) -> None:
    require_own_persona(voices, "friend", "mine", registry, "default")
    made = registered(4, ModelType.ADAPTER, loop="walk")
    registry.register(made)
    voices.add_version(version(4, model_id=made.checkpoint_id))
    require_own_persona(voices, "friend", "walk", registry, "default")
    with pytest.raises(ShouldResolveConflict, match="speaks for loop 'walk' already"):
        require_own_persona(voices, "friend", "mine", registry, "default")
    voices.set_status(made.checkpoint_id, VersionStatus.ARCHIVED)
    require_own_persona(voices, "friend", "mine", registry, "default")
