"""An exported ledger: what a stranger can check, and what an edit is called."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldRepairLedger
from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.privacy import LedgerRow, ReleaseRequest
from everloop.loops import load
from everloop.privacy import plan
from everloop.privacy.chain import GENESIS, chained
from everloop.privacy.export import exported, verified
from everloop.privacy.ledger import Ledger
from tests.conformance.memory_ledger_store import MemoryLedgerStore

SPEC = load("companion").model_copy(update={"privacy": PrivacySpec(sampling_rate=0.1, steps=50)})
PEOPLE = tuple(f"{number:064x}" for number in range(3))


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


def history() -> tuple[LedgerRow, ...]:
    ledger = Ledger(MemoryLedgerStore(), bytes(32), Clock())
    for day in range(2):
        on = date(2026, 3, 1) + timedelta(days=day)
        for stage in (plan.USER_MODEL, plan.QUALITY):
            mechanism = ledger.night_mechanism(SPEC, "p", stage, on)
            asked = ReleaseRequest("p", on, stage, "c", "d", mechanism)
            made = ledger.reserve(asked, PEOPLE, SPEC, 1)
            if stage == plan.USER_MODEL:
                ledger.complete(made.release_id, "blob:x", "a" * 64)
    return ledger.history()


ROWS = history()
LINES = tuple(exported(ROWS))


def test_it_adds_up() -> None:
    found = verified(LINES)
    assert (found.rows, found.releases, found.unfinished) == (6, 4, 2)
    budget = plan.budget_mu_squared(SPEC.privacy)
    nights = budget * (0.7 * (0.25 + 0.75 / 365) + 0.1 * 2 * 0.25)
    assert found.mu_squared == pytest.approx(nights, rel=1e-6)
    assert found.last_row_sha256 == ROWS[-1].row_sha256
    assert verified(exported(())).last_row_sha256 == GENESIS


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda lines: lines[:3] + lines[4:], "row 4 .* stands where row 3 belongs"),
        (lambda lines: lines[:-1], "stops after 6 rows"),
        (lambda lines: [*lines[:-2], lines[-1]], "last line is wrong about .*rows"),
        (lambda lines: [*lines, lines[1]], "Line 9 .* comes after the end"),
        (lambda lines: lines[1:], "Line 1 .* does not say"),
        (lambda lines: [lines[0], "{", *lines[2:]], "Line 2 .* no finite JSON"),
        (lambda lines: [lines[0], "[]", *lines[2:]], "Line 2 .* no object"),
        (lambda lines: [lines[0], "{}", *lines[2:]], "Line 2 .* no row"),
        (
            lambda lines: [lines[0], lines[1].replace('"people":3', '"people":NaN'), *lines[2:]],
            "Line 2",
        ),
        (lambda lines: [], "stops after 0 rows"),
    ],
)
def test_edits_are_named(edit: Callable[[list[str]], list[str]], said: str) -> None:
    with pytest.raises(ShouldRepairLedger, match=said):
        verified(edit(list(LINES)))


@given(st.integers(1, len(ROWS)), st.data())
def test_any_changed_character_of_a_row_is_found(number: int, data: st.DataObject) -> None:
    line = LINES[number]
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = line[:at] + other + line[at + 1 :]
    if json_or_none(changed) == json.loads(line):
        return
    with pytest.raises(ShouldRepairLedger):
        verified([*LINES[:number], changed, *LINES[number + 1 :]])


def json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def forged(**changes: object) -> list[str]:
    """The export of somebody who changed the first row and hashed everything again."""
    rows: list[LedgerRow] = []
    for row in ROWS:
        wrong = dataclasses.replace(row, **changes) if row.sequence in (1, 2) else row  # type: ignore[arg-type]
        rows.append(chained(wrong, rows[-1] if rows else None))
    return list(exported(rows))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rdp": tuple(r / 2 for r in ROWS[0].rdp or ())}, "row 1 .* other divergences"),
        ({"rdp": None}, "row 1 .* other divergences"),
        ({"rdp_version": 7}, "row 1 .* other divergences"),
        ({"event": {"class": "NoOpDpEvent", "fields": {}}}, "row 1 .* another event"),
        ({"mechanism": {"kind": "magic"}}, "row 1 .* no mechanism that reads"),
        (
            {"mechanism": {**ROWS[0].mechanism, "kind": "gaussian"}, "rdp": None, "event": None},
            "row 1 .* costs mu",
        ),
    ],
)
def test_prices_are_those_of_the_mechanisms(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ShouldRepairLedger, match=said):
        verified(forged(**changes))
