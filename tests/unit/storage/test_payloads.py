"""Checksums that tell a replay from a conflict."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest

from everloop.contracts.episodes import Arm
from everloop.storage.payloads import payload_sha256
from tests.log_records import NOON, episode, signal


@dataclass(frozen=True)
class Old:
    name: str
    sizes: tuple[int, ...] = ()
    schema_version: int = 1


@dataclass(frozen=True)
class New:
    name: str
    sizes: tuple[int, ...] = ()
    colour: str = ""
    tags: Mapping[str, Any] = field(default_factory=dict)
    schema_version: int = 2


def test_it_is_the_sha256_of_the_canonical_json() -> None:
    expected = hashlib.sha256(b'{"name":"a","sizes":[2,1]}').digest()
    assert payload_sha256(Old("a", (2, 1), schema_version=7)) == expected


def test_fields_added_later_change_nothing_until_they_are_used() -> None:
    assert payload_sha256(New("a", (1,))) == payload_sha256(Old("a", (1,)))
    assert payload_sha256(New("a", (1,), colour="red")) != payload_sha256(Old("a", (1,)))
    assert payload_sha256(New("a", tags={"b": 1})) != payload_sha256(New("a"))


def test_names_can_be_left_out() -> None:
    assert payload_sha256(New("a", colour="red"), frozenset({"colour", "schema_version"})) == (
        payload_sha256(Old("a"))
    )


def test_one_moment_in_two_zones_is_one_payload() -> None:
    eastern = timezone(timedelta(hours=-5))
    assert payload_sha256(episode(at=NOON.astimezone(eastern))) == payload_sha256(episode())


def test_the_order_of_keys_does_not_matter() -> None:
    turned = {"hour": 12.5, "mood": "calm"}
    assert payload_sha256(episode(context_snapshot=turned)) == payload_sha256(episode())


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(episode())])
def test_every_field_of_an_episode_counts(name: str) -> None:
    changes: dict[str, Any] = {
        "episode_id": "00000000-0000-0000-0000-000000000000",
        "user_id": "f" * 64,
        "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
        "action_taken": "right",
        "valid_actions": ("right", "left"),
        "context_snapshot": {},
        "action_arguments": {"x": 1},
        "arm": Arm.HOLDOUT,
        "outcome": "success",
        "propensity": None,
        "reward_score": 0.0,
        "schema_version": 2,
    }
    other = dataclasses.replace(episode(), **{name: changes.get(name, "other")})
    assert (payload_sha256(other) == payload_sha256(episode())) is (name == "schema_version")


def test_kinds_of_records_do_not_share_checksums() -> None:
    assert payload_sha256(signal()) != payload_sha256(episode())


def test_any_mapping_will_do() -> None:
    assert payload_sha256(New("a", tags=MappingProxyType({"b": 1}))) == (
        payload_sha256(New("a", tags={"b": 1}))
    )


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        payload_sha256(New("a", tags={"x": object()}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        payload_sha256(New("a", tags={"x": float("nan")}))
