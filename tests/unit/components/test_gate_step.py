"""The gate's step: it sees what serves and what people said, and writes down all that it looked at."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.gate import gate
from everloop import settings
from everloop.contracts.documents import read, sha256_of, write
from everloop.contracts.evaluation import (
    Check,
    CheckStatus,
    Decision,
    OverlapDiagnostics,
    PolicyEvaluation,
    ValidationCheck,
    ValidationReport,
    Verdict,
)
from everloop.contracts.figures import QualityFigures
from everloop.contracts.models import ModelCheckpoint, ModelType
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.rollout_spec import OversightSpec
from everloop.contracts.rollouts import Artefact, Deployment, deployment_id_of
from everloop.loops.sections import split
from everloop.sdk.demo.night import Output
from everloop.sdk.standing import standing
from everloop.wiring import Workspace, open_workspace
from rl.policy_card import PolicyCard
from tests.unit.components.test_alternatives import PRIVATE, SPEC, policy
from tests.unit.reporting.conftest import estimate, note, rewards

NOW = datetime.now(UTC)
APPROVAL, REVIEW = OversightKind.APPROVAL, OversightKind.REVIEW
ARTEFACTS = (
    *("validation", "rewards", "user_model", "profiles", "quality", "policy", "evaluation"),
    "explanations",
)


@dataclass
class Night:
    """The steps before the gate, as files, and the workspace beside them."""

    folder: Path
    place: Workspace
    outputs: dict[str, Output] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        self.outputs[name] = Output(str(self.folder / name))
        return self.folder / name

    @property
    def card(self) -> PolicyCard:
        return read(PolicyCard, self.folder / "policy" / "policy.json")

    def asked(self, **oversight: Any) -> Verdict:
        """The step's answer for a loop that asks people for so much."""
        terms = SPEC.rollout.model_copy(update={"oversight": OversightSpec(**oversight)})
        sections = split(SPEC.model_copy(update={"rollout": terms}))
        made = {name: Output(str(self.folder / name)) for name in ("verdict", "page", "metrics")}
        answer = gate.python_func(
            workspace=str(self.place.home),
            product=sections.product,
            thresholds=sections.thresholds,
            terms=sections.terms,
            tenant="default",
            code="c",
            oversight="",
            **self.outputs,
            **made,
        )
        verdict = read(Verdict, made["verdict"].path)
        assert answer == verdict.decision.value
        return verdict

    def serve(self, version: str, weights: str = "ab" * 32) -> str:
        """A checkpoint that serves from now on."""
        row = ModelCheckpoint(
            checkpoint_id=str(uuid.uuid5(uuid.NAMESPACE_OID, version)),
            model_type=ModelType.INTERVENTION,
            loop=SPEC.name,
            weights_url="blob:x",
            weights_sha256=weights,
            performance_metrics={},
            training_date=NOW,
            provenance=PRIVATE,
            lineage={"version": version},
            verdict="continue",
        )
        self.place.registry.register(row)
        _, generation = self.place.registry.alias(SPEC.name, "active")
        self.place.registry.set_alias(
            SPEC.name, "active", row.checkpoint_id, generation, "a test", "default"
        )
        return row.checkpoint_id

    def say(
        self, kind: OversightKind, subject: str, passed: bool = True, days: float = 0
    ) -> Oversight:
        return self.place.oversights.add(
            Oversight(
                *(str(uuid.uuid4()), kind, SPEC.name, subject, passed, "Ann Ott", "I looked."),
                datetime.now(UTC) - timedelta(days=days),
            )
        )

    def deploy(self, version: str) -> str:
        parts = (Artefact("policy", str(uuid.uuid4()), version, "cd" * 32),)
        found = Deployment(deployment_id_of(SPEC.name, "default", parts), SPEC.name, parts, NOW)
        return self.place.deployments.record(found).deployment_id


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    for name in (settings.HOME_VARIABLE, *settings.KEYS):
        monkeypatch.delenv(name, raising=False)
    settings.initialise(tmp_path / "w")
    found = Night(tmp_path, open_workspace(tmp_path / "w"))
    checked = (ValidationCheck("rows", True, "5000", "> 200"),)
    write(ValidationReport("d", checked), found.path("validation"))
    write(rewards(), found.path("rewards") / "figures.json")
    for name, release in (("user_model", "model"), ("profiles", "people")):
        write(replace(note(name), release_id=release), found.path(name) / "note.json")
    good = (Check("auc", CheckStatus.PASSED, "The user model ranks outcomes."),)
    write(QualityFigures((), good), found.path("quality"))
    policy(found.path("policy"), "ppo", PRIVATE, 1)
    write({"share": 1.0}, found.path("explanations") / "coverage.json", dict[str, float])
    judge(found, "logging policy")
    yield found
    found.place.engine.dispose()


def judge(night: Night, baseline: str) -> None:
    """The candidate is clearly better than the baseline."""
    write(
        PolicyEvaluation(
            policy=night.card.version,
            baseline_name=baseline,
            estimates=(estimate("dr", 0.4, 0.01),),
            baseline=estimate("baseline", 0.3, 0.01),
            difference=estimate("difference", 0.1, 0.02),
            overlap=OverlapDiagnostics(5000, 900.0, 1.0, 0.9, 1.1, 9.0, 0.01, 0.0, ()),
        ),
        night.path("evaluation"),
    )


def status(verdict: Verdict, name: str) -> Check:
    return next(check for check in verdict.checks if check.name == name)


def test_a_first_model_starts_and_every_input_is_in_the_verdict_by_its_checksum(
    night: Night,
) -> None:
    verdict = night.asked(weekly_review_days=7, adversarial_test_days=31)
    assert [check.reason for check in verdict.checks if not check.passed] == []
    assert verdict.decision is Decision.CONTINUE
    assert set(verdict.inputs) == {*ARTEFACTS, "loop_spec"}
    for name in ARTEFACTS:
        assert verdict.inputs[name] == sha256_of(night.folder / name)
    assert all(len(checksum) == 64 for checksum in verdict.inputs.values())
    assert night.asked().inputs["loop_spec"] != verdict.inputs["loop_spec"]


def test_the_same_policy_as_the_one_that_serves_is_no_candidate(night: Night) -> None:
    night.serve(night.card.version)
    judge(night, night.card.version)
    found = status(night.asked(), "non_inferiority")
    assert found.status is CheckStatus.INSUFFICIENT
    assert "compared with itself" in found.reason


def test_the_same_weights_under_another_version_are_no_candidate(night: Night) -> None:
    night.serve("tiny-1", night.card.onnx_sha256)
    judge(night, "tiny-1")
    assert "is what serves already" in status(night.asked(), "non_inferiority").reason


def test_a_comparison_with_what_served_before_is_stale(night: Night) -> None:
    night.serve("tiny-1")
    judge(night, "tiny-1")
    good = night.asked()
    assert good.decision is Decision.CONTINUE
    assert good.inputs["active"] == "ab" * 32
    night.serve("tiny-2", "ef" * 32)
    assert "tiny-2 serves now" in status(night.asked(), "non_inferiority").reason


def test_reviews_of_what_serves_are_read_from_the_workspace(night: Night) -> None:
    serving = night.serve("tiny-1")
    judge(night, "tiny-1")
    terms = {"weekly_review_days": 7, "adversarial_test_days": 31}
    verdict = night.asked(**terms)
    assert status(verdict, "weekly_review").status is CheckStatus.INSUFFICIENT
    assert status(verdict, "adversarial_test").status is CheckStatus.INSUFFICIENT
    assert not verdict.awaits_person
    tested = night.say(OversightKind.ADVERSARIAL_TEST, serving, days=20)
    night.say(REVIEW, serving, days=8)
    verdict = night.asked(**terms)
    assert status(verdict, "weekly_review").status is CheckStatus.FAILED
    assert status(verdict, "adversarial_test").passed
    reviewed = night.say(REVIEW, serving)
    verdict = night.asked(**terms)
    assert verdict.decision is Decision.CONTINUE
    assert verdict.inputs["review"] == reviewed.sha256
    assert verdict.inputs["adversarial_test"] == tested.sha256


def test_an_approval_of_an_earlier_trial_starts_no_other(night: Night) -> None:
    """Even of the very same policy: somebody agreed to one trial."""
    night.say(APPROVAL, night.deploy(night.card.version))
    verdict = night.asked(approval="start")
    assert verdict.awaits_person
    assert "approval" not in verdict.inputs


def test_a_policy_that_was_rejected_is_not_asked_about_again(night: Night) -> None:
    subject = night.deploy(night.card.version)
    word = night.say(APPROVAL, subject, passed=False)
    verdict = night.asked()
    assert status(verdict, "human_approval").status is CheckStatus.FAILED
    assert verdict.inputs["approval"] == word.sha256
    assert not verdict.awaits_person
    night.say(APPROVAL, subject)
    assert night.asked().decision is Decision.CONTINUE


def test_a_rejection_of_another_policy_says_nothing_of_this_one(night: Night) -> None:
    night.say(APPROVAL, night.deploy("tiny-9"), passed=False)
    assert night.asked().decision is Decision.CONTINUE


DAY = date(2026, 3, 10)


def test_a_loop_that_asks_for_nothing_keeps_the_gates_answer(night: Night) -> None:
    assert standing(night.place, SPEC, "default", DAY) == ""
    night.serve("tiny-1")
    night.say(REVIEW, "c1")
    assert standing(night.place, SPEC, "default", DAY) == ""


@pytest.mark.parametrize("duty", ["weekly_review_days", "adversarial_test_days"])
def test_what_may_change_the_answer_asks_the_gate_anew(night: Night, duty: str) -> None:
    terms = SPEC.rollout.model_copy(update={"oversight": OversightSpec.model_validate({duty: 7})})
    spec = SPEC.model_copy(update={"rollout": terms})
    kind = REVIEW if duty == "weekly_review_days" else OversightKind.ADVERSARIAL_TEST

    def token(day: date = DAY, tenant: str = "default") -> str:
        return standing(night.place, spec, tenant, day)

    seen = [token()]
    assert token() == seen[0]
    night.say(kind, "c1")
    seen.append(token())
    night.serve("tiny-1")
    seen.append(token())
    seen.append(token(DAY + timedelta(days=1)))
    assert token(tenant="other") == seen[0]
    assert len(set(seen)) == len(seen)
    assert all(len(one) == 64 for one in seen)
    night.say(APPROVAL, "d1")
    assert token() == seen[2]
