"""A small form of ``make audit-privacy``: 200 coins, with the tolerance that so few need."""

from __future__ import annotations

import pytest

from bench.audit_privacy import Case, cases, run

SEED = 11
CASES = tuple(cases(200, SEED))


def test_every_release_and_every_bug_is_among_them() -> None:
    shipped = {case.name for case in CASES if case.ships}
    assert {"user model", "profiles", "quality figures"} <= shipped
    planted = " ".join(case.name for case in CASES if not case.ships)
    for bug in (
        "noise off",
        "noise halved",
        "clipped per row",
        "clip doubled",
        "loss averaging",
        "wrong q",
    ):
        assert bug in planted


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_ships_passes_and_every_planted_bug_fails(case: Case) -> None:
    found, _ = run(case, SEED)
    assert found.passed == case.ships, found
    assert 0.1 < found.noise_tolerance < 0.3
