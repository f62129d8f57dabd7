"""Audit entries and keys that make no sense are refused."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

import pytest

from everloop.contracts.access import AuditEntry
from everloop.contracts.errors import ShouldFixArgument
from tests.log_records import ANN, NOON


def entry(**changes: Any) -> AuditEntry:
    values: dict[str, Any] = {
        "tenant": "acme",
        "sequence": 1,
        "at": NOON,
        "actor": "key:1",
        "action": "episodes.append",
        "resource": "1..9",
    }
    return AuditEntry(**(values | changes))


def test_times_are_told_in_utc() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=3)))
    assert entry(at=east) == entry()
    assert entry(at=east).at.utcoffset() == timedelta(0)
    with pytest.raises(ShouldFixArgument, match="time zone"):
        entry(at=NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    "action", ["", "append", "Episodes.append", "a b.c", "a.", f"a.{'b' * 62}"]
)
def test_an_action_is_a_verb_and_an_object(action: str) -> None:
    with pytest.raises(ShouldFixArgument, match="action="):
        entry(action=action)


@pytest.mark.parametrize(
    "changes",
    [
        {"resource": ANN},
        {"resource": f"person {ANN}"},
        {"resource": f"episode:{ANN}"},
        {"resource": f"sha256:{'b' * 64} {ANN}"},
        {"detail": {"user": ANN}},
        {"detail": {"users": [{"id": ANN}]}},
        {"detail": {ANN: 1}},
    ],
)
def test_a_pseudonym_is_refused_wherever_it_stands(changes: dict[str, Any]) -> None:
    with pytest.raises(ShouldFixArgument, match="would name a person") as refused:
        entry(**changes)
    assert ANN not in str(refused.value)


def test_content_addresses_and_ids_are_fine() -> None:
    detail = {"dataset": f"sha256:{ANN}", "blob": f"blob:sha256/{ANN}", "long": "a" * 65}
    assert entry(detail=detail, resource="0" * 63).rows == 1


def test_rows_are_counted() -> None:
    assert entry(rows=0).rows == 0
    with pytest.raises(ShouldFixArgument, match="rows=-1"):
        entry(rows=-1)
