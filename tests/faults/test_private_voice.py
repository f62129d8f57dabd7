"""A voice's private training and the ledger: paid first, killed or not, and released once."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from datetime import date
from pathlib import Path

import pytest

from components._voice_private import private_training
from everloop import settings
from everloop.adaptation.training.private import PrivateTraining
from everloop.adaptation.training.progress import silent
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldKeepRelease,
    ShouldWaitForBudget,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import ReleaseStatus
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import VoicePrivacySpec
from everloop.contracts.voices import AdapterFigures, StepLog
from everloop.loops import load
from everloop.wiring import Workspace, open_workspace
from tests.voice_instances import said, voice

PEOPLE = tuple(f"{number:064x}" for number in range(6))
TEXTS = tuple(said(number, person=PEOPLE[number % 6]) for number in range(12))
VOICE = voice().model_copy(
    update={
        "privacy": VoicePrivacySpec(epsilon=0.8, sampling_rate=0.5, steps=3, learning_rate=2e-3)
    }
)


def _spec() -> LoopSpec:
    loop = load("companion")
    privacy = loop.privacy.model_copy(update={"min_people": 5, "people_expected": 6})
    return loop.model_copy(update={"voice": VOICE, "privacy": privacy})


SPEC = _spec()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty one."""
    settings.initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What a release is bound to."""
    path = tmp_path / "train"
    path.write_text("1")
    return path


def _training(
    workspace: Workspace, data: Path, day: int = 1, placebo: bool = False
) -> PrivateTraining:
    made = private_training(SPEC, workspace, (f"2026-03-0{day}", "default", ""), data, placebo)
    assert made is not None
    return made


def _run(training: PrivateTraining, base: BaseFolder, out: Path) -> tuple[str, AdapterFigures]:
    adapter, figures = training(base, VOICE, TEXTS, out, 1, None, silent)
    return adapter.sha256, figures


def _statuses(workspace: Workspace) -> list[ReleaseStatus]:
    return [row.status for row in workspace.ledger.history()]


def test_budget_is_taken_before_the_first_gradient_and_a_release_is_made_once(
    workspace: Workspace, data: Path, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    seen: list[list[ReleaseStatus]] = []

    def watch(_: StepLog, __: int) -> None:
        seen.append(_statuses(workspace))

    first = _training(workspace, data)
    adapter, figures = first(tiny_voice, VOICE, TEXTS, tmp_path / "out", 1, None, watch)
    assert seen == [[ReleaseStatus.RESERVED]] * 3
    assert _statuses(workspace) == [ReleaseStatus.RESERVED, ReleaseStatus.SPENT]
    (row, _) = workspace.ledger.history()
    assert figures.release_id == row.release_id
    assert row.people == 6
    assert figures.epsilon == pytest.approx(0.8, rel=1e-4)
    assert figures.delta == 1e-5
    statement = workspace.ledger.statement(PEOPLE[0], date(2026, 3, 1))
    assert statement is not None
    assert statement.epsilon_tonight == pytest.approx(0.8, rel=1e-3)
    # Asked again, what is stored is published and nothing is trained or charged.
    seen.clear()
    again, told = _training(workspace, data)(
        tiny_voice, VOICE, TEXTS, tmp_path / "again", 1, None, watch
    )
    assert seen == []
    assert (again.sha256, told.release_id) == (adapter.sha256, figures.release_id)
    assert (told.phases[0].examples, told.phases[0].tokens) == (12, figures.phases[0].tokens)
    assert len(_statuses(workspace)) == 2


def test_a_killed_training_is_paid_for_and_goes_on_with_its_own_noise(
    workspace: Workspace, data: Path, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    killed = os.fork()
    if killed == 0:
        _die_at_the_second_step(tmp_path / "home", data, tiny_voice, tmp_path / "out")
    assert os.waitpid(killed, 0)[1] == signal.SIGKILL
    assert _statuses(workspace) == [ReleaseStatus.RESERVED]
    paid = workspace.ledger.statement(PEOPLE[0], date(2026, 3, 1))
    assert paid is not None
    assert paid.epsilon_tonight == pytest.approx(0.8, rel=1e-3)
    seed = _seed(workspace, data)
    sha256, figures = _run(_training(workspace, data), tiny_voice, tmp_path / "out")
    assert _statuses(workspace) == [ReleaseStatus.RESERVED, ReleaseStatus.SPENT]
    assert figures.adapter_sha256 == sha256
    assert len(seed) == 32
    assert _seed(workspace, data) == b""


def _seed(workspace: Workspace, data: Path) -> bytes:
    """The reservation's noise, as the same request gets it; nothing is charged by asking."""
    from everloop.contracts.privacy import ReleaseRequest, mechanism_from

    row = workspace.ledger.history()[0]
    request = ReleaseRequest(
        row.pipeline,
        row.logical_date,
        row.stage,
        row.configuration_sha256,
        row.dataset_id,
        mechanism_from(row.mechanism),
    )
    return workspace.ledger.reserve(request, PEOPLE, SPEC, 5).noise_seed


def _die_at_the_second_step(home: Path, data: Path, base: BaseFolder, out: Path) -> None:
    def die(step: StepLog, _: int) -> None:
        if step.step == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        _training(open_workspace(home), data)(base, VOICE, TEXTS, out, 1, None, die)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(1)


def test_other_data_never_gets_the_noise_of_a_release(
    workspace: Workspace, data: Path, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    _run(_training(workspace, data), tiny_voice, tmp_path / "out")
    data.write_text("2")
    with pytest.raises(ShouldKeepRelease):
        _run(_training(workspace, data), tiny_voice, tmp_path / "out")


def test_nothing_is_trained_once_the_budget_is_spent(
    workspace: Workspace, data: Path, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    _run(_training(workspace, data), tiny_voice, tmp_path / "out")
    # Two releases at .8 would cost each person more than the 1 of the year.
    with pytest.raises(ShouldWaitForBudget, match="0 of 6 people can afford"):
        _run(_training(workspace, data, day=2), tiny_voice, tmp_path / "next")
    assert not (tmp_path / "next").exists()
    assert len(_statuses(workspace)) == 2


def test_a_placebo_costs_nobody_anything(
    workspace: Workspace, data: Path, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    _, figures = _run(_training(workspace, data, placebo=True), tiny_voice, tmp_path / "out")
    assert figures.placebo
    assert figures.release_id == ""
    assert _statuses(workspace) == []


def test_too_few_people_or_no_epsilon_is_no_release(
    workspace: Workspace, data: Path, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    few = tuple(said(number, person=PEOPLE[number % 4]) for number in range(12))
    with pytest.raises(ShouldCollectMoreData, match="4 people have texts"):
        _training(workspace, data)(tiny_voice, VOICE, few, tmp_path / "out", 1, None, silent)
    assert _statuses(workspace) == []
    plain = SPEC.model_copy(update={"voice": voice()})
    assert private_training(plain, workspace, ("2026-03-01", "default", ""), data, False) is None


def test_a_placebo_has_the_people_of_its_candidate(
    workspace: Workspace, data: Path, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    """Five have spent what they had the day before; neither training learns from them."""
    everybody = tuple(f"{number:064x}" for number in range(12))
    first = tuple(said(number, person=everybody[number % 5]) for number in range(10))
    texts = tuple(said(number, person=everybody[number % 12]) for number in range(24))
    _training(workspace, data)(tiny_voice, VOICE, first, tmp_path / "first", 1, None, silent)
    data.write_text("2")
    run = (tiny_voice, VOICE, texts)
    early, candidate, placebo = (
        _training(workspace, data, 2, is_placebo)(*run, tmp_path / name, 1, None, silent)[1]
        for name, is_placebo in (("early", True), ("candidate", False), ("placebo", True))
    )
    assert early.phases[0].examples == 24
    assert candidate.phases[0].examples == placebo.phases[0].examples == 14
    assert len(_statuses(workspace)) == 4
