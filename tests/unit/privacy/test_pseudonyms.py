"""Pseudonyms: keyed, stable, separate by tenant."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey
from everloop.privacy.pseudonyms import Pseudonyms

KEY = bytes(range(32))


def test_is_hmac_sha256_of_length_prefixed_tenant_and_id() -> None:
    message = (4).to_bytes(4, "big") + b"acme" + b"user-1"
    expected = hmac.new(KEY, message, hashlib.sha256).hexdigest()
    people = Pseudonyms(KEY)
    assert people.of("user-1", "acme") == expected
    assert people.of("user-2", "acme") != expected
    assert people.of("user-1", "acme") == expected, "whoever else was asked for"


def test_tenants_and_keys_separate_people() -> None:
    people = Pseudonyms(KEY)
    names = {
        people.of("u"),
        people.of("u", "acme"),
        people.of("v"),
        Pseudonyms(KEY[::-1]).of("u"),
    }
    assert len(names) == 4


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_no_two_pairs_collide(tenant: str, user: str, tenant2: str, user2: str) -> None:
    people = Pseudonyms(KEY)
    same = (tenant, user) == (tenant2, user2)
    assert (people.of(user, tenant) == people.of(user2, tenant2)) == same


@pytest.mark.parametrize("key", [b"", b"x" * 31])
def test_short_keys_are_refused(key: bytes) -> None:
    with pytest.raises(ShouldProvideKey, match=f"{len(key)} bytes"):
        Pseudonyms(key)


@pytest.mark.parametrize(("user", "tenant"), [("", "acme"), ("u", "")])
def test_empty_ids_are_refused(user: str, tenant: str) -> None:
    with pytest.raises(ShouldFixArgument, match="user id"):
        Pseudonyms(KEY).of(user, tenant)


def test_key_never_shows() -> None:
    assert "secret" in repr(Pseudonyms(KEY))
    assert KEY.hex() not in repr(Pseudonyms(KEY))


def test_arguments_name_nobody() -> None:
    pseudonyms = Pseudonyms(bytes(range(32)))
    ann, ben = pseudonyms.of("ann", "acme"), pseudonyms.of("7", "acme")
    about = {
        "user_ids": ["ann", 7, None],
        "user_id": "ann",
        "event_id": "ann",
        "share": 0.5,
        "with": [{"user_id": "ann", "note": "ann"}],
    }
    assert pseudonyms.in_arguments(about, "acme") == {
        "user_ids": [ann, ben, None],
        "user_id": ann,
        "event_id": "ann",
        "share": 0.5,
        "with": [{"user_id": ann, "note": "ann"}],
    }
    assert pseudonyms.in_arguments({}) == {}


@pytest.mark.parametrize(
    "field",
    [
        *("userId", "User_Id", "USER-ID", "userIds", "user-ids", "personId", "person_ids"),
        *("participant", "Participants", "targetUser", "target_user"),
    ],
)
@pytest.mark.parametrize("depth", [lambda it: it, lambda it: {"a": [{"b": it}]}])
def test_fields_that_name_people_are_told_however_they_are_written(
    field: str, depth: Callable[[Any], Any]
) -> None:
    pseudonyms = Pseudonyms(KEY)
    ann, ben = pseudonyms.of("ann"), pseudonyms.of("7")
    said = {field: {"a": "ann", "b": [["ann", {"c": 7, "share": 0.5, "host": True}]]}}
    known = {field: {"a": ann, "b": [[ann, {"c": ben, "share": 0.5, "host": True}]]}}
    assert pseudonyms.in_arguments(depth(said)) == depth(known)


def test_contact_details_are_dropped_at_any_depth() -> None:
    pseudonyms = Pseudonyms(KEY)
    told = {"Email": 1, "e-mail": "x", "phone": "x", "NAME": "x", "address": {}, "ip": ["x"]}
    about = told | {"with": [told | {"kind": "walk"}], "user_ids": [told | {"id": "ann"}]}
    assert pseudonyms.in_arguments(about) == {
        "with": [{"kind": "walk"}],
        "user_ids": [{"id": pseudonyms.of("ann")}],
    }
    assert pseudonyms.in_arguments({"event_name": "x", "ship": 1}) == {"event_name": "x", "ship": 1}


@given(
    st.recursive(
        st.text("xyz", min_size=1),
        lambda some: st.lists(some) | st.dictionaries(st.text("abc"), some),
    )
)
def test_no_text_below_a_field_that_names_people_stays(value: Any) -> None:
    hidden = repr(Pseudonyms(KEY).in_arguments({"userIds": value}))
    assert not set("xyz") & set(hidden)


@pytest.mark.parametrize("value", ["", True, 0.5, [0.5]])
def test_arguments_that_name_a_person_by_no_id_are_refused(value: object) -> None:
    with pytest.raises(ShouldFixArgument):
        Pseudonyms(bytes(range(32))).in_arguments({"user_id": value})
