"""What a verdict says of people: whether it waits for one, and what it is after their word."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from everloop.contracts.documents import from_json, to_json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Verdict
from everloop.contracts.oversight import Oversight, OversightKind

PASSED, FAILED, INSUFFICIENT = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.INSUFFICIENT
GOOD = Check("overlap", PASSED, "The log overlaps.")
OPEN = Check("fairness", INSUFFICIENT, "Too few people.", 0.93, 0.9, person_decides=True)
SHORT = Check("non_inferiority", INSUFFICIENT, "Too few decisions.")
BAD = Check("anomalies", FAILED, "9 % are anomalous.")
SAID = Oversight(
    "5e3f9d6e-6a54-4e55-9a6c-0d7a4c1f2b11",
    OversightKind.APPROVAL,
    "walk",
    "d1",
    True,
    "Ann Ott",
    "The groups are small by design.",
    datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
)


def hold(*checks: Check) -> Verdict:
    return Verdict(Decision.HOLD, checks, {"dataset": "ab"})


@pytest.mark.parametrize(
    ("checks", "waits"),
    [
        ((GOOD, OPEN), True),
        ((OPEN, OPEN), True),
        ((GOOD, OPEN, SHORT), False),
        ((GOOD, OPEN, BAD), False),
        ((GOOD,), False),
        ((), False),
        ((replace(OPEN, status=FAILED),), True),
        ((replace(OPEN, person_decides=False),), False),
    ],
)
def test_a_hold_waits_for_a_person_when_nothing_else_is_open(
    checks: tuple[Check, ...], waits: bool
) -> None:
    assert hold(*checks).awaits_person is waits


def test_what_continues_waits_for_nobody() -> None:
    passed = replace(OPEN, status=PASSED)
    assert not passed.awaits_person
    assert not Verdict(Decision.CONTINUE, (passed,)).awaits_person


def test_an_approval_passes_what_waited_and_says_who_when_and_why() -> None:
    after = hold(GOOD, OPEN).decided_by(SAID)
    assert after.decision is Decision.CONTINUE
    assert after.checks[0] == GOOD
    assert after.checks[1] == Check(
        "fairness",
        PASSED,
        "Ann Ott approved it on 2026-03-01 09:30 UTC: The groups are small by design. Too few people.",
        0.93,
        0.9,
    )
    assert after.inputs == {"dataset": "ab", "approval": SAID.sha256}


@pytest.mark.parametrize("other", [BAD, SHORT])
def test_an_approval_never_passes_what_no_person_may_decide(other: Check) -> None:
    after = hold(OPEN, other).decided_by(SAID)
    assert after.decision is Decision.HOLD
    assert after.checks[0].passed
    assert after.checks[1] == other
    assert hold().decided_by(SAID).decision is Decision.HOLD


def test_a_rejection_fails_what_waited() -> None:
    after = hold(GOOD, OPEN).decided_by(replace(SAID, passed=False))
    assert after.decision is Decision.HOLD
    assert after.checks[1].status is FAILED
    assert after.checks[1].reason.startswith("Ann Ott rejected it on 2026-03-01")
    assert not after.awaits_person


def test_a_rejection_holds_what_would_have_continued() -> None:
    after = Verdict(Decision.CONTINUE, (GOOD,)).decided_by(replace(SAID, passed=False))
    assert after.decision is Decision.HOLD
    assert after.checks[1].status is FAILED
    assert after.reasons[0].startswith("Ann Ott rejected it")
    assert Verdict(Decision.CONTINUE, (GOOD,)).decided_by(SAID).decision is Decision.CONTINUE


@pytest.mark.parametrize("kind", [OversightKind.REVIEW, OversightKind.ADVERSARIAL_TEST])
def test_only_a_word_on_a_deployment_decides(kind: OversightKind) -> None:
    with pytest.raises(ShouldFixArgument, match=kind.value):
        hold(OPEN).decided_by(replace(SAID, kind=kind))


def test_every_part_of_a_word_is_in_its_checksum() -> None:
    others = [
        replace(SAID, passed=False),
        replace(SAID, actor="Bob"),
        replace(SAID, reason="No."),
        replace(SAID, subject_id="d2"),
        replace(SAID, evidence={"a": 1}),
        replace(SAID, tenant="other"),
        replace(SAID, at=datetime(2026, 3, 2, tzinfo=UTC)),
    ]
    assert len({SAID.sha256, *(one.sha256 for one in others)}) == len(others) + 1


def test_documents_written_before_people_decided_are_read() -> None:
    old = b'{"name": "overlap", "status": "passed", "reason": "The log overlaps."}'
    assert from_json(Check, old) == GOOD
    verdict = hold(GOOD, OPEN)
    assert from_json(Verdict, to_json(verdict)) == verdict
