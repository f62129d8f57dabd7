"""A version is active while its adapter serves, and archived once it was tried or served."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from everloop.contracts.rollouts import Head, RolloutRecord, RolloutState, Serves
from everloop.contracts.voices import VersionStatus
from everloop.registry.voice_status import follow_head
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.voices import SqlVoiceStore
from tests.deployment_records import rollout
from tests.log_records import uuid_of
from tests.voice_records import version

ONE, TWO, THREE = (uuid_of(n, "model") for n in (1, 2, 3))


@pytest.fixture
def voices(database: Engine) -> SqlVoiceStore:
    store = SqlVoiceStore(database, SystemClock())
    for number in (1, 2, 3):
        store.add_version(version(number))
    return store


def statuses(voices: SqlVoiceStore) -> dict[str, str]:
    return {each.model_id: each.status.value for each in voices.versions("friend")}


def head(serving: str | None) -> Head:
    return Head("walk", serves={"adapter": Serves(serving, 1)} if serving else {})


def tried(model: str, state: RolloutState) -> RolloutRecord:
    return replace(rollout(), candidate=model, state=state, subject="adapter")


def test_versions_follow_what_serves_and_what_was_tried(voices: SqlVoiceStore) -> None:
    trials = (tried(TWO, "started"), tried(THREE, "waiting"))
    assert follow_head(voices, "friend", head(ONE), trials) == 1
    assert statuses(voices) == {ONE: "active", TWO: "experimental", THREE: "experimental"}
    assert follow_head(voices, "friend", head(ONE), trials) == 0
    trials = (tried(TWO, "started"), tried(THREE, "rolled_back"))
    follow_head(voices, "friend", head(ONE), trials)
    assert statuses(voices) == {ONE: "active", TWO: "experimental", THREE: "archived"}
    trials = (tried(TWO, "promoted"), tried(THREE, "rolled_back"))
    follow_head(voices, "friend", head(TWO), trials)
    assert statuses(voices) == {ONE: "archived", TWO: "active", THREE: "archived"}
    follow_head(voices, "friend", head(ONE), trials)
    assert statuses(voices) == {ONE: "active", TWO: "archived", THREE: "archived"}
    assert follow_head(voices, "friend", head(ONE), trials) == 0
    follow_head(voices, "friend", head(None), trials)
    assert VersionStatus.ACTIVE.value not in statuses(voices).values()


def test_one_that_is_tried_again_may_still_serve(voices: SqlVoiceStore) -> None:
    trials = (tried(TWO, "refused"), tried(TWO, "waiting"))
    follow_head(voices, "friend", head(None), trials)
    assert statuses(voices)[TWO] == "experimental"
    follow_head(voices, "friend", head(None), trials[:1])
    assert statuses(voices)[TWO] == "archived"
    follow_head(voices, "friend", head(None), trials)
    assert statuses(voices)[TWO] == "experimental"


def test_one_whose_run_ended_before_its_trial_waits_for_none(voices: SqlVoiceStore) -> None:
    trials = (tried(TWO, "awaiting_approval"),)
    assert follow_head(voices, "friend", head(ONE), trials) == 2
    assert statuses(voices) == {ONE: "active", TWO: "experimental", THREE: "archived"}
    follow_head(voices, "friend", head(ONE), (*trials, tried(THREE, "started")))
    assert statuses(voices)[THREE] == "experimental"
