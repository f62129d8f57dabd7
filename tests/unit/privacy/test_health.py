"""Health fields are sealed for their own record, and nothing else opens them."""

from __future__ import annotations

import binascii
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.contexts import SEALED, plain
from everloop.contracts.errors import ShouldFixEpisode, ShouldProvideKey, ShouldRestoreArtefact
from everloop.contracts.loop_spec import ContextField, FieldKind, Sensitivity
from everloop.loops import load
from everloop.privacy.health import HealthVault

SPEC = load("companion")
BARE = load("open_bandit")
KEY = bytes(range(32))
VAULT = HealthVault(KEY)
RECORD = "6f1c5d0e-8f5f-4c5d-9a0a-0d6c1b0e7a11"
CONTEXT: dict[str, Any] = {
    "emotion": [0.25, -0.5, 1.0],
    "heart_rate": 71.5,
    "pulse_variability": 40,
    "hour": 3,
    "age_group": "under_25",
}
HEALTH = {"emotion", "heart_rate", "pulse_variability"}


def sealed(context: Any = CONTEXT, record: str = RECORD, tenant: str = "default") -> dict[str, Any]:
    return dict(VAULT.seal(SPEC, tenant, record, context))


def test_health_fields_leave_and_come_back() -> None:
    stored = sealed()
    assert set(stored) == {"hour", "age_group", SEALED}
    for told in ("emotion", "heart_rate", "71.5", "0.25"):
        assert told not in json.dumps(stored)
    assert VAULT.open("default", RECORD, SPEC.name, stored) == CONTEXT
    assert VAULT.opener("default", SPEC.name)(RECORD, stored) == CONTEXT
    assert set(CONTEXT) == {*HEALTH, "hour", "age_group"}


def test_the_sealed_form_is_rfc_5297_under_a_derived_key() -> None:
    """Computed from RFC 5297 and RFC 5869 by hand; what is stored must open for ever."""
    assert sealed({"heart_rate": 72})[SEALED] == "1.wN1jFbJoPyQSAMRhIUVGOhfJX1AtKfIN1ERwT92GfqRr"


def test_equal_records_seal_alike_and_others_do_not() -> None:
    backwards = dict(reversed(CONTEXT.items()))
    assert sealed(backwards)[SEALED] == sealed()[SEALED]
    assert HealthVault(KEY).seal(SPEC, "default", RECORD, CONTEXT) == sealed()
    assert sealed(record=RECORD.upper()) == sealed()
    assert VAULT.seal(SPEC, "default", uuid.UUID(RECORD).hex, CONTEXT) == sealed()
    others = [
        sealed(record=str(uuid.UUID(int=1))),
        sealed(tenant="other"),
        dict(VAULT.seal(SPEC.model_copy(update={"name": "other"}), "default", RECORD, CONTEXT)),
        sealed(CONTEXT | {"heart_rate": 71.6}),
        dict(HealthVault(bytes(32)).seal(SPEC, "default", RECORD, CONTEXT)),
    ]
    texts = {other[SEALED] for other in others}
    assert len(texts) == len(others)
    assert sealed()[SEALED] not in texts


def test_sealing_is_idempotent() -> None:
    assert VAULT.seal(SPEC, "default", RECORD, sealed()) == sealed()


def test_loops_and_contexts_without_health_fields_are_untouched() -> None:
    context = {"hour": 3}
    assert VAULT.seal(SPEC, "default", RECORD, context) is context
    assert VAULT.open("default", RECORD, SPEC.name, context) is context
    assert BARE.health_fields == ()
    assert VAULT.seal(BARE, "default", RECORD, CONTEXT) is CONTEXT


@pytest.mark.parametrize("where", [("default", RECORD, "other"), ("other", RECORD, SPEC.name)])
def test_another_place_does_not_open(where: tuple[str, str, str]) -> None:
    with pytest.raises(ShouldRestoreArtefact, match=RECORD):
        VAULT.open(*where, sealed())


def test_another_record_or_key_does_not_open() -> None:
    other = str(uuid.UUID(int=7))
    with pytest.raises(ShouldRestoreArtefact, match=other):
        VAULT.open("default", other, SPEC.name, sealed())
    with pytest.raises(ShouldRestoreArtefact, match="EVERLOOP_HEALTH_KEY"):
        HealthVault(bytes(32)).open("default", RECORD, SPEC.name, sealed())


def test_every_flipped_bit_is_noticed() -> None:
    stored = sealed({"heart_rate": 72, "hour": 1})
    data = binascii.a2b_base64(stored[SEALED][2:])
    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        text = "1." + binascii.b2a_base64(bytes(changed), newline=False).decode()
        with pytest.raises(ShouldRestoreArtefact, match=RECORD):
            VAULT.open("default", RECORD, SPEC.name, stored | {SEALED: text})


@pytest.mark.parametrize("entry", ["", "1.", "1.!!", "2.AAAA", "1.AAAA", None, 7, ["1."], "é"])
def test_malformed_entries_are_noticed(entry: Any) -> None:
    with pytest.raises(ShouldRestoreArtefact, match=RECORD):
        VAULT.open("default", RECORD, SPEC.name, {"hour": 1, SEALED: entry})
    with pytest.raises(ShouldFixEpisode, match="was not sealed for it"):
        VAULT.seal(SPEC, "default", RECORD, {"hour": 1, SEALED: entry})


def test_a_field_beside_its_sealed_self_is_tampering() -> None:
    with pytest.raises(ShouldRestoreArtefact, match=RECORD):
        VAULT.open("default", RECORD, SPEC.name, sealed() | {"heart_rate": 1})
    with pytest.raises(ShouldFixEpisode, match="was not sealed for it"):
        VAULT.seal(SPEC, "default", RECORD, sealed() | {"heart_rate": 1})


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [1.0, float("-inf")], 2**64, object()]
)
def test_what_is_no_finite_json_is_refused(value: Any) -> None:
    with pytest.raises(ShouldFixEpisode, match=f"Episode {RECORD}: a health field"):
        sealed({"emotion": value})


def test_a_record_without_a_uuid_is_refused() -> None:
    with pytest.raises(ShouldFixEpisode, match="'seven' is no UUID"):
        sealed(record="seven")


def test_a_short_key_is_refused_and_a_key_never_shows() -> None:
    with pytest.raises(ShouldProvideKey, match="has 31 bytes"):
        HealthVault(KEY[:31])
    assert KEY.hex() not in repr(VAULT)
    assert repr(KEY) not in repr(VAULT)


def test_readers_without_a_key_refuse_sealed_contexts() -> None:
    assert plain(RECORD, {"hour": 1}) == {"hour": 1}
    with pytest.raises(ShouldProvideKey, match=RECORD):
        plain(RECORD, sealed())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(sorted(HEALTH), JSON)), st.integers(0, 23))
def test_any_json_comes_back_exactly(hidden: dict[str, Any], hour: int) -> None:
    context = hidden | {"hour": hour}
    stored = VAULT.seal(SPEC, "t", RECORD, context)
    assert not HEALTH & set(stored)
    # What is stored is text: it must survive JSON too.
    restored = VAULT.open("t", RECORD, SPEC.name, json.loads(json.dumps(stored)))
    assert json.dumps(restored, sort_keys=True) == json.dumps(context, sort_keys=True)


def test_no_field_of_a_loop_can_be_named_like_the_sealed_entry() -> None:
    with pytest.raises(ValueError, match="name"):
        ContextField(name=SEALED, kind=FieldKind.NUMBER, sensitivity=Sensitivity.HEALTH)
