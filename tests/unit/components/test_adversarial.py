"""The attacks together: poisoned rewards against the gate, errors, and the word that is recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components import _adversarial as joined
from components._adversarial import POISONED, attack, let_through, record, review_rows
from everloop import settings
from everloop.contracts import documents
from everloop.contracts.adversarial import AdversarialReview, Attack, AttackLimits
from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import PolicyOutput, States
from everloop.contracts.oversight import OversightKind
from everloop.wiring import Workspace, open_workspace
from rl.off_policy.evaluate import evaluate
from tests.unit.rl.adversarial.attacked import SPEC, Linear, logged_states

EASY = AttackLimits(states=200, searched=30, draws=4)
NAMES = ["perturbed_states", "extreme_contexts", "catalogue_tricks", POISONED]


def _loop(**thresholds: float) -> LoopSpec:
    return LoopSpec.model_validate(SPEC.model_dump() | {"thresholds": thresholds})


@pytest.fixture(scope="module")
def episodes() -> EncodedEpisodes:
    return logged_states(people=1200)


def _poison(spec: LoopSpec, episodes: EncodedEpisodes, limits: AttackLimits) -> Attack:
    return joined._poisoned(spec, Linear(), episodes, 10_000, limits, None, 0)


def test_a_sound_policy_withstands_every_attack(episodes: EncodedEpisodes) -> None:
    found = attack(_loop(), Linear(), episodes, 10_000, EASY)
    assert [a.check.name for a in found] == NAMES
    assert [a.check.status for a in found] == [CheckStatus.PASSED] * 4, found


def test_a_few_bots_get_nothing_through_and_what_it_would_take_is_said(
    episodes: EncodedEpisodes,
) -> None:
    found = _poison(_loop(), episodes, EASY)
    assert found.check.status is CheckStatus.PASSED
    assert "'alarm'" in found.check.reason
    assert "the gate holds it" in found.check.reason
    clean, poisoned, caught, enough = found.figures
    assert caught.value == 0.0
    assert clean.value < poisoned.value < 0  # bots help, not enough
    assert np.isfinite(clean.low)
    assert np.isnan(enough.value) or enough.value > EASY.bots


def test_a_gate_that_lets_bots_win_fails_the_attack(episodes: EncodedEpisodes) -> None:
    """With most people bots, or a margin of nearly everything, the planted policy passes."""
    many = _poison(_loop(), episodes, dataclasses.replace(EASY, bots=0.9))
    assert many.check.status is CheckStatus.FAILED
    assert "lets it through" in many.check.reason
    assert many.check.value == pytest.approx(0.9)


def test_the_limits_own_share_decides_not_a_larger_one(episodes: EncodedEpisodes) -> None:
    found = _poison(_loop(), episodes, dataclasses.replace(EASY, bots=0.12))
    assert found.check.status is CheckStatus.PASSED
    assert found.check.value == pytest.approx(0.48)
    assert "48% of people would be enough" in found.check.reason


def test_what_anomaly_detection_holds_back_does_not_help_the_bots(
    episodes: EncodedEpisodes,
) -> None:
    """All of the bots' episodes held back: 90 % of bots get no further than none."""
    asked = []

    def suspecting(ids: Collection[str], praised: str) -> Collection[str]:
        asked.append((len(ids), praised))
        return ids

    limits = dataclasses.replace(EASY, bots=0.9)
    found = joined._poisoned(_loop(), Linear(), episodes, 10_000, limits, suspecting, 0)
    assert asked == [(3 * 1080, "alarm")]
    assert found.check.status is CheckStatus.PASSED
    assert "holds 3,240 of their 3,240 episodes back" in found.check.reason
    assert found.figures[2].value == 1.0


def test_overlap_alone_holds_a_policy_back(episodes: EncodedEpisodes) -> None:
    found = evaluate(_loop(), episodes, Linear(), None)
    assert let_through(_loop(), found)
    thin = dataclasses.replace(found.overlap, effective_sample=3.0)
    assert not let_through(_loop(), dataclasses.replace(found, overlap=thin))
    low = dataclasses.replace(found.difference, low=-0.5)
    assert not let_through(_loop(), dataclasses.replace(found, difference=low))


def test_without_held_out_people_it_does_not_pass(episodes: EncodedEpisodes) -> None:
    training = episodes.where(~episodes.holdout)
    found = attack(_loop(), Linear(), training, 10_000, EASY)
    status = {a.check.name: a.check.status for a in found}
    assert status[POISONED] is CheckStatus.INSUFFICIENT
    assert status["perturbed_states"] is CheckStatus.INSUFFICIENT
    assert not _review(found).passed


def test_a_model_that_ends_an_attack_with_an_error_has_not_withstood_it(
    episodes: EncodedEpisodes,
) -> None:
    class Broken(Linear):
        def act(self, states: States, epsilon: float) -> PolicyOutput:
            raise ShouldRestoreArtefact("The policy answered NaN.", "Deploy another.")

    found = attack(_loop(), Broken(), episodes, 10_000, EASY)
    assert {a.check.status for a in found} == {CheckStatus.FAILED}
    assert all("answered NaN" in a.check.reason for a in found)


def _review(attacks: tuple[Attack, ...] = ()) -> AdversarialReview:
    return AdversarialReview(
        "attacked", "default", "2026-03-28", "checkpoint-1", "sound-1", "d" * 64, 0.1, attacks
    )


def _attack(status: CheckStatus) -> Attack:
    return Attack(Check("perturbed_states", status, "It was asked.", 0.5, 0.1))


def test_only_attacks_that_were_made_and_withstood_pass() -> None:
    passed, failed, unknown = (_attack(status) for status in CheckStatus)
    assert _review((passed,)).passed
    assert not _review(()).passed
    assert not _review((passed, failed)).passed
    assert not _review((passed, unknown)).passed
    assert _review((passed, failed)).reason == "perturbed_states: It was asked."
    assert _review((passed,)).reason == "sound-1 withstood 1 attacks."


def test_a_model_that_nothing_could_attack_is_not_said_to_have_given_way() -> None:
    passed, failed, unknown = (_attack(status) for status in CheckStatus)
    assert _review((passed,)).verdict is CheckStatus.PASSED
    assert _review((passed, failed, unknown)).verdict is CheckStatus.FAILED
    assert _review(()).verdict is CheckStatus.INSUFFICIENT
    empty = _review((passed, unknown, unknown))
    assert (empty.verdict, empty.passed) == (CheckStatus.INSUFFICIENT, False)
    assert empty.reason.startswith("There was too little to attack sound-1 with: 2 of 3 attacks")
    rows = dict(review_rows(empty)[1])
    assert rows["result"].startswith("not known")
    assert dict(review_rows(_review((failed,)))[1])["result"] == "gave way"


def test_a_review_survives_its_file_and_its_page_names_every_attack(tmp_path: Path) -> None:
    review = _review((_attack(CheckStatus.FAILED),))
    path = documents.write(review, tmp_path / "review.json")
    assert documents.read(AdversarialReview, path) == review
    summary, rows, metrics, _ = review_rows(review)
    assert summary == review.reason
    assert ("perturbed_states: failed", "It was asked.") in rows
    assert metrics["passed"] == 0.0


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path)
    return open_workspace(tmp_path)


@pytest.mark.parametrize("status", list(CheckStatus))
def test_a_review_is_recorded_once_as_a_test_of_the_model(
    workspace: Workspace, status: CheckStatus
) -> None:
    review = _review((_attack(status),))
    first = record(workspace, review, datetime(2026, 4, 1, tzinfo=UTC))
    again = record(workspace, review, datetime(2026, 4, 2, tzinfo=UTC))
    assert again == first
    assert workspace.oversights.all("attacked") == (first,)
    found = workspace.oversights.latest("attacked", OversightKind.ADVERSARIAL_TEST)
    assert found is not None
    assert (found.subject_id, found.passed) == ("checkpoint-1", status is CheckStatus.PASSED)
    assert found.reason == review.reason
    assert found.evidence["attacks"] == {"perturbed_states": status.value}
    assert found.evidence["verdict"] == status.value
    other = dataclasses.replace(review, logical_date="2026-03-29")
    assert record(workspace, other, datetime(2026, 4, 3, tzinfo=UTC)) != first


def test_without_an_active_model_there_is_nothing_to_attack(workspace: Workspace) -> None:
    with pytest.raises(ShouldFixArgument, match="no active model to attack"):
        joined.attacked_model(workspace, SPEC, "default", "")


def test_numbers_of_evidence_are_json(workspace: Workspace, episodes: Any) -> None:
    """NaN figures of an attack stay out of what is stored."""
    found = attack(_loop(), Linear(), episodes.where(~episodes.holdout), 10, EASY)
    stored = record(workspace, _review(found), datetime(2026, 4, 1, tzinfo=UTC))
    assert set(stored.evidence["attacks"]) == set(NAMES)  # type: ignore[arg-type]
