"""A voice on trial over HTTP: how its answers end is counted by arm, and one that fails is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import RolloutRecord, TrialTally
from everloop.contracts.speaking import BaseFolder, SpeakRequest
from everloop.rollout.health import TRIAL, merged
from everloop.serving.decisions.tallying import Tallies
from everloop.serving.decisions.voice_counts import GRACE_S, Tried, VoiceCounts
from everloop.serving.guard import TrialGuard
from everloop.serving.speaking.voices import Voices
from everloop.storage.local.clock import SystemClock
from tests.fake_speaker import FakeSpeaker
from tests.fake_voices import WordScreen
from tests.two_tenants import THEIRS, World, two_tenants
from tests.unit.serving.test_speaking import Deploys, talk

QUESTIONS = 24


class Broken(FakeSpeaker):
    """Speaks with every adapter but one."""

    broken = "none"

    def __init__(self, base: BaseFolder) -> None:
        super().__init__(says=lambda _: "Well, thank you.")
        self._base = base

    @property
    def base(self) -> BaseFolder:
        return self._base

    def follow(self, requests: Sequence[SpeakRequest], abandoned: Callable[[int], bool]) -> Any:
        if any(request.adapter == self.broken for request in requests):
            raise RuntimeError("a kernel failed")
        return super().follow(requests, abandoned)


class AllScreened:
    """Lets nobody hear anything."""

    def refusal(self, text: str) -> str:
        return "all"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with two_tenants(tmp_path / "service") as made:
        yield made


@pytest.fixture
def spec(world: World) -> LoopSpec:
    found = world.service.loops["coach"]
    limits = found.rollout.hard_limits.model_copy(update={"min_decisions": 5})
    terms = found.rollout.model_copy(update={"hard_limits": limits})
    return found.model_copy(update={"rollout": terms})


def on_trial(
    world: World, spec: LoopSpec, base: BaseFolder, folder: Path, screen: Any, fails: bool
) -> RolloutRecord:
    """The base alone serves, and half of the people hear an adapter on trial."""
    engine = Broken(base)
    world.service.voices.close()
    world.service.voices = Voices(world.service.workspace, lambda _: engine, lambda _: screen)
    deploys = Deploys(world, spec, base, folder)
    candidate = deploys.adapter(2, "v2")
    engine.broken = candidate if fails else "none"
    return deploys.trial(None, [candidate], 50.0)


def ask(world: World) -> list[int]:
    answers = [
        talk(world, tenant=THEIRS, user_id=f"person {number}", max_new_tokens=8)
        for number in range(QUESTIONS)
    ]
    return [answer.status_code for answer in answers]


def tally(world: World, trial: RolloutRecord) -> TrialTally:
    found = world.service.workspace.tallies.tallies(trial.rollout_id, TRIAL, THEIRS)
    return merged(found, TRIAL)


def look(world: World, spec: LoopSpec) -> None:
    service = world.service
    TrialGuard(service.workspace, {"coach": spec}, service.decisions, SystemClock()).look()


def test_a_candidate_that_always_fails_is_taken_back(
    world: World, spec: LoopSpec, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    trial = on_trial(world, spec, tiny_voice, tmp_path, WordScreen(), fails=True)
    codes = ask(world)
    failed = codes.count(503)
    assert failed >= 5
    assert codes.count(200) == QUESTIONS - failed
    look(world, spec)
    found = tally(world, trial)
    assert (found.asked, found.failed, sum(found.latency.values())) == (failed, failed, 0)
    assert found.active_actions == {"spoken": QUESTIONS - failed}
    after = world.service.workspace.rollouts.rollout(trial.rollout_id, THEIRS)
    assert after.state == "rolled_back", after.reasons
    assert "gave no answer" in after.reasons[0]


def test_a_healthy_candidate_goes_on_and_is_counted(
    world: World, spec: LoopSpec, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    trial = on_trial(world, spec, tiny_voice, tmp_path, AllScreened(), fails=False)
    assert ask(world) == [200] * QUESTIONS
    look(world, spec)
    found = tally(world, trial)
    assert found.asked >= 5
    assert (found.failed, found.dropped, found.invalid) == (0, 0, 0)
    # The active voice could not be heard either: nothing is held against the candidate.
    assert found.actions == {"screened": found.asked}
    assert found.active_actions == {"screened": QUESTIONS - found.asked}
    assert sum(found.latency.values()) == found.asked
    after = world.service.workspace.rollouts.rollout(trial.rollout_id, THEIRS)
    assert after.state == "started", after.reasons


def test_a_candidate_that_cannot_be_loaded_is_spared_for_a_while(spec: LoopSpec) -> None:
    now = [0.0]
    tallies = Tallies(lambda: now[0], "one")
    counts = VoiceCounts(tallies, lambda: now[0])
    instead = Tried("r", "default", candidate=False, instead=True)
    for at in (0.0, GRACE_S - 1.0, GRACE_S):
        now[0] = at
        counts.begun(spec, instead)
        counts.said(spec, instead, False, 0.1)
    (found,) = tallies.taken()
    assert (found.asked, found.dropped, found.failed) == (3, 2, 1)
    assert not found.actions
    assert not found.active_actions
    counts.begun(spec, Tried("r", "default", candidate=True))
    counts.begun(spec, instead)
    (found,) = tallies.taken()
    assert (found.dropped, found.failed) == (3, 1)
