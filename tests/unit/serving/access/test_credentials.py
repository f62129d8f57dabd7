"""Keys: their form, their secrecy and their records."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.access import ApiKey, Scope
from everloop.contracts.errors import ShouldFixArgument
from everloop.serving.access.credentials import NewKey, fits, key_id_of, make_key
from tests.log_records import NOON


def new(**changes: object) -> NewKey:
    values: dict[str, object] = {
        "tenant": "acme",
        "name": "app",
        "scopes": [Scope.INGEST],
        "now": NOON,
    }
    return make_key(**(values | changes))  # type: ignore[arg-type]


def test_a_key_names_its_id_and_hides_256_bits() -> None:
    made = new()
    found = re.fullmatch(r"elk_([0-9a-f]{12})_([0-9a-f]{64})", made.text)
    assert found is not None
    assert found.group(1) == made.record.key_id == key_id_of(made.text)
    assert len(bytes.fromhex(found.group(2))) == 32
    assert len({new().text for _ in range(50)}) == 50


def test_only_a_checksum_is_kept_and_nothing_shows_the_secret() -> None:
    made = new()
    secret = made.text.rpartition("_")[2]
    assert made.record.secret_sha256 == hashlib.sha256(made.text.encode()).hexdigest()
    for shown in (repr(made), str(made), repr(made.record)):
        assert secret not in shown
        assert made.record.secret_sha256 not in shown


def test_a_key_fits_its_record_alone() -> None:
    one, two = new(), new()
    assert fits(one.text, one.record)
    assert not fits(two.text, one.record)
    last = "0" if one.text[-1] != "0" else "1"
    assert not fits(one.text[:-1] + last, one.record)
    # A secret under another id is another key.
    moved = f"elk_{two.record.key_id}_{one.text.rpartition('_')[2]}"
    assert not fits(moved, one.record)
    assert not fits(moved, two.record)


def test_scopes_are_kept_once_in_their_order() -> None:
    made = new(scopes=[Scope.READ, Scope.INGEST, Scope.READ])
    assert made.record.scopes == (Scope.INGEST, Scope.READ)


def test_validity() -> None:
    assert new().record.expires_at is None
    assert new(valid_for=timedelta(days=2)).record.expires_at == NOON + timedelta(days=2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scopes": []}, "no scope"),
        ({"name": "  "}, "no name"),
        ({"tenant": ""}, "Tenant ''"),
        ({"tenant": "a b"}, "Tenant 'a b'"),
        ({"tenant": "é"}, "Tenant 'é'"),
        ({"tenant": "a" * 64}, "Tenant"),
        ({"valid_for": timedelta(0)}, "never works"),
        ({"now": NOON.replace(tzinfo=None)}, "time zone"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ShouldFixArgument, match=said):
        new(**changes)


@pytest.mark.parametrize("secret", ["", "xyz", "A" * 64])
def test_a_record_holds_a_checksum(secret: str) -> None:
    with pytest.raises(ShouldFixArgument, match="checksum"):
        ApiKey("a" * 12, "acme", "app", secret, (Scope.READ,), NOON)


@given(st.text(max_size=90))
def test_other_texts_are_no_keys(text: str) -> None:
    assert key_id_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "elk_",
        f"elk_{'a' * 12}_{'b' * 63}",
        f"elk_{'a' * 12}_{'b' * 65}",
        f"elk_{'a' * 11}_{'b' * 64}",
        f"elk_{'A' * 12}_{'b' * 64}",
        f"elk_{'a' * 12}_{'b' * 64}\n",
        f" elk_{'a' * 12}_{'b' * 64}",
        f"elk_{'٣' * 12}_{'b' * 64}",
    ],
)
def test_almost_keys_are_none(text: str) -> None:
    assert key_id_of(text) is None
