"""Whom a slate suggested, under a new key: ids move, numbers stay, and people must be listed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from everloop import settings
from everloop.contracts.errors import EverloopError
from everloop.contracts.serving import question_sha256
from everloop.serving.access.pseudonym_rotation import rotate_pseudonyms
from everloop.wiring import open_workspace
from tests.feedback_records import decision, put
from tests.log_records import NOON, episode

SLATE: dict[str, Any] = {
    "scores": [0.25, -1.5],
    "rest": 0.75,
    "candidates": 4,
    "epsilon": 0.1,
    "model_version": "pairing-1",
    "fallback": "",
}
NUMBERS: dict[str, Any] = {
    "descriptors": [[0.5, -0.25], [0.0, 1.0]],
    "slate_propensity": 0.0625,
    "slate": SLATE,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings.initialise(tmp_path / "home")
    place = open_workspace(tmp_path / "home")
    ann, ben, carl, dan = (place.pseudonyms.of(name) for name in ("ann", "ben", "carl", "dan"))
    about = {"user_ids": [ben, carl], **NUMBERS}
    asked = decision(1, user_id=ann, action_arguments=about)
    candidates = [[who, [0.0, 0.0]] for who in (ben, carl, dan)]
    said = (ann, "walk", asked.context_snapshot, None, {}, candidates)
    put(
        place.engine,
        replace(asked, request_sha256=question_sha256(*said)),
        episode(1, user_id=ann, action_arguments=about),
    )
    return tmp_path / "home"


def listed(*names: str) -> list[tuple[str, str]]:
    return [("default", name) for name in names]


def test_suggested_people_move_to_new_pseudonyms_and_their_numbers_stay(home: Path) -> None:
    before = open_workspace(home)
    stored = before.decisions.decision(decision(1).decision_id)
    old = {name: before.pseudonyms.of(name) for name in ("ann", "ben", "carl")}
    done = rotate_pseudonyms(str(home), listed(*old), True, "cli:test", NOON)
    assert done.unrecognised == 1, "who else could have been suggested is not stored"
    place = open_workspace(home)
    new = [place.pseudonyms.of(name) for name in ("ben", "carl")]
    (logged,) = place.log.episodes_of(place.pseudonyms.of("ann"))
    moved = place.decisions.decision(decision(1).decision_id)
    for about in (moved.action_arguments, logged.action_arguments):
        assert about == {"user_ids": new, **NUMBERS}
        assert not set(old.values()) & set(new)
    assert moved.request_sha256 == stored.request_sha256


def test_nobody_who_was_suggested_may_be_left_out(home: Path) -> None:
    with pytest.raises(EverloopError, match="people whom decisions were about"):
        rotate_pseudonyms(str(home), listed("ann", "ben"), True, "cli:test", NOON)
    place = open_workspace(home)
    about = place.decisions.decision(decision(1).decision_id).action_arguments
    assert about["user_ids"] == [place.pseudonyms.of(name) for name in ("ben", "carl")]
