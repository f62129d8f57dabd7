"""Records of the spending journal come back as they were, and are refused when they are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldRepairLedger
from everloop.contracts.privacy import LedgerRow, ReleaseStatus
from everloop.privacy.chain import chained
from everloop.privacy.journal_records import (
    Head,
    Record,
    RenamedAll,
    Reserved,
    Spent,
    after,
    check_sequence,
    checksum,
    decoded,
    encoded,
    name_of,
    number_of,
)


def row(**changes: object) -> LedgerRow:
    plain = LedgerRow(
        sequence=0,
        release_id="r" * 32,
        pipeline="companion/default",
        logical_date=date(2026, 3, 1),
        stage="user_model",
        configuration_sha256="c" * 64,
        dataset_id="d" * 64,
        mechanism={"kind": "gaussian", "sigma": 0.1 + 0.2, "clip": 1.0, "steps": 4},
        mu_squared=1 / 3,
        delta=1e-5,
        people=2,
        people_commitment="e" * 64,
        status=ReleaseStatus.RESERVED,
        recorded_at=datetime(2026, 3, 1, 4, 5, 6, 789, tzinfo=UTC),
        library="everloop",
        previous_sha256="0" * 64,
        row_sha256="f" * 64,
        rdp_version=1,
        rdp=(0.1, 2.0),
    )
    return chained(replace(plain, **changes), None)  # type: ignore[arg-type]


def record_of(numbers: set[int], names: dict[int, str]) -> Record:
    entry = Reserved(row(), tuple(sorted(numbers)), names)
    known = max(names, default=0)
    return Record(1, "j", "0" * 64, known, (entry,), after(Head(), entry))


@given(
    st.sets(st.integers(1, 3000), max_size=60),
    st.dictionaries(
        st.integers(1, 3000), st.text("abcdef0123456789", min_size=64, max_size=64), max_size=5
    ),
)
def test_a_record_comes_back_as_it_was(numbers: set[int], names: dict[int, str]) -> None:
    record = record_of(numbers, names)
    data = encoded(record)
    assert decoded(data, "here") == record
    assert encoded(decoded(data, "here")) == data
    check_sequence([(record, data)])


def test_every_kind_of_entry_comes_back() -> None:
    entries = (
        Reserved(row(), (1, 9), {1: "a" * 64}),
        Spent(row(status=ReleaseStatus.SPENT), "blob:x", "s"),
        RenamedAll(1, "key"),
    )
    head = Head()
    for entry in entries:
        head = after(head, entry)
    record = Record(1, "j", "0" * 64, 1, entries, head)
    assert decoded(encoded(record), "here") == record


@given(st.data())
def test_one_changed_byte_is_noticed(data: st.DataObject) -> None:
    whole = encoded(record_of({1, 5}, {1: "a" * 64, 5: "b" * 64}))
    at = data.draw(st.integers(0, len(whole) - 2))
    harmed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    with pytest.raises(ShouldRepairLedger):
        decoded(harmed, "here")


@given(st.binary(max_size=200))
def test_whatever_else_is_there_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(ShouldRepairLedger, match="here"):
        decoded(data, "here")


def test_records_that_do_not_follow_are_refused() -> None:
    first = Record(1, "j", "0" * 64, 0, (), Head())
    data = encoded(first)
    second = Record(2, "j", checksum(data), 0, (), Head())
    check_sequence([(first, data), (second, encoded(second))])
    for wrong in (
        replace(second, number=3),
        replace(second, journal_id="k"),
        replace(second, previous_sha256="0" * 64),
        replace(second, known=1),
        replace(second, head=Head(1, "a" * 64)),
    ):
        with pytest.raises(ShouldRepairLedger):
            check_sequence([(first, data), (wrong, encoded(wrong))])


def test_names_and_numbers() -> None:
    assert number_of(name_of(12)) == 12
    for wrong in ("spending/12.json", "spending/x.json", "spending/0000000012.txt"):
        with pytest.raises(ShouldRepairLedger):
            number_of(wrong)
