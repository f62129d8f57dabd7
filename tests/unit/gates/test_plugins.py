"""Checks of other distributions, installed for a test as a folder with metadata on the path."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everloop.contracts.evaluation import Check, CheckStatus, Decision
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.decide import CHECKS, decide
from everloop.gates.evidence import GateEvidence
from everloop.gates.plugins import GROUP, fingerprint, installed_checks

PASSED, FAILED, INSUFFICIENT = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.INSUFFICIENT

MODULE = """
from everloop.contracts.evaluation import Check, CheckStatus


class Quiet:
    name = "quiet"

    def __call__(self, spec, evidence):
        share = evidence.anomaly_share
        good = share is not None and share < 0.02
        status = CheckStatus.PASSED if good else CheckStatus.FAILED
        return Check("whatever", status, f"{spec.name}: {share} of episodes are loud.", share, 0.02)


class Crash:
    def __init__(self):
        raise RuntimeError("no database")


def crash(spec, evidence):
    raise ValueError("a" * 1000)


def yes(spec, evidence):
    return True


def words(spec, evidence):
    return Check("words", "passed", "All is well.")


def unnamed(spec, evidence):
    return Check("unnamed", CheckStatus.PASSED, None)


def text(spec, evidence):
    return Check("text", CheckStatus.PASSED, "Well.", "0.5")


def waits(spec, evidence):
    return Check("waits", CheckStatus.INSUFFICIENT, "Somebody must look.", person_decides=True)


nothing = None
quiet = Quiet()
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with entry points ``name = module:object``."""

    def put(*points: str, name: str = "shop-checks", version: str = "1.2") -> None:
        place = tmp_path / name
        metadata = place / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (place / "loud_shop.py").write_text(MODULE)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        (metadata / "entry_points.txt").write_text("\n".join((f"[{GROUP}]", *points, "")))
        monkeypatch.syspath_prepend(str(place))

    yield put
    sys.modules.pop("loud_shop", None)


@pytest.fixture
def answer(spec: LoopSpec, evidence: GateEvidence) -> Callable[[], Check]:
    """The answer of the one installed check, with the verdict it leads to."""

    def ask() -> Check:
        verdict = decide(spec, evidence)
        assert len(verdict.checks) == len(CHECKS) + 1
        last = verdict.checks[-1]
        assert (verdict.decision is Decision.CONTINUE) is last.passed
        return last

    return ask


def test_nothing_is_installed_here(spec: LoopSpec, evidence: GateEvidence) -> None:
    assert installed_checks(CHECKS) == ()
    assert fingerprint() == ""
    assert len(decide(spec, evidence).checks) == len(CHECKS)


@pytest.mark.parametrize("what", ["Quiet", "quiet"])
def test_an_installed_check_is_asked_under_its_entry_points_name(
    install: Install, answer: Callable[[], Check], what: str
) -> None:
    install(f"loudness = loud_shop:{what}")
    assert answer() == Check("loudness", PASSED, "shop: 0.01 of episodes are loud.", 0.01, 0.02)


def test_an_installed_check_blocks(
    install: Install, spec: LoopSpec, evidence: GateEvidence
) -> None:
    install("loudness = loud_shop:Quiet")
    loud = GateEvidence(evidence.provenance, anomaly_share=0.03)
    (check,) = installed_checks(CHECKS)
    assert check(spec, loud).status is FAILED


def test_an_installed_check_may_leave_it_to_a_person(
    install: Install, spec: LoopSpec, evidence: GateEvidence
) -> None:
    install("ethics = loud_shop:waits")
    assert decide(spec, evidence).awaits_person


@pytest.mark.parametrize(
    ("point", "says"),
    [
        ("loud_shop:Absent", "it cannot be loaded (AttributeError"),
        ("no_such_module:Check", "it cannot be loaded (ModuleNotFoundError"),
        ("loud_shop:Crash", "it cannot be loaded (RuntimeError: no database)"),
        ("loud_shop:crash", "it failed (ValueError: aaa"),
        ("loud_shop:nothing", "it failed (TypeError"),
        ("loud_shop:yes", "it answered bool, no valid Check"),
        ("loud_shop:words", "it answered Check, no valid Check"),
        ("loud_shop:unnamed", "no valid Check"),
        ("loud_shop:text", "no valid Check"),
    ],
)
def test_an_installed_check_that_gives_no_answer_holds_and_is_named(
    install: Install, answer: Callable[[], Check], point: str, says: str
) -> None:
    install(f"loudness = {point}")
    found = answer()
    assert (found.name, found.status, found.person_decides) == ("loudness", INSUFFICIENT, False)
    assert found.reason.startswith(
        f"The installed check loudness ({point}, shop-checks 1.2) gave no answer: "
    )
    assert says in found.reason
    assert len(found.reason) < 400


def test_an_installed_check_cannot_stand_in_for_another(
    install: Install, spec: LoopSpec, evidence: GateEvidence
) -> None:
    install("fairness = loud_shop:Quiet", name="one")
    install("loudness = loud_shop:Quiet", name="two")
    install("loudness = loud_shop:quiet", name="three")
    verdict = decide(spec, evidence)
    assert [c.name for c in verdict.checks[len(CHECKS) :]] == ["fairness", "loudness", "loudness"]
    assert [c.passed for c in verdict.checks[len(CHECKS) :]] == [False, True, False]
    assert "another check has this name" in verdict.checks[-1].reason
    assert verdict.decision is Decision.HOLD


def test_other_versions_have_another_fingerprint(install: Install) -> None:
    install("loudness = loud_shop:Quiet", name="one")
    first = fingerprint()
    assert len(first) == 64
    assert fingerprint() == first
    install("volume = loud_shop:Quiet", name="two", version="3")
    assert fingerprint() != first
