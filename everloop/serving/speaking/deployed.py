"""Which adapter and which prompt each arm of a loop has, as its head and its trial say."""

from __future__ import annotations

from dataclasses import dataclass

from everloop.contracts.episodes import Arm
from everloop.contracts.rollouts import ADAPTER, PROMPT, RolloutRecord
from everloop.rollout.assignment import arm_of, traffic_of
from everloop.serving.decisions.deployment import Deployed


@dataclass(frozen=True, slots=True)
class ArmVoice:
    """Checkpoints that speak for an arm; ``None``: the base alone, and the live persona graph."""

    adapter: str | None
    prompt: str | None


@dataclass(frozen=True, slots=True)
class DeployedVoice:
    """What speaks for a loop of a tenant; ``candidate`` is ``None`` while no voice is tried. ``revision``:
    of the head that says so."""

    active: ArmVoice
    candidate: ArmVoice | None = None
    trial: RolloutRecord | None = None
    revision: int = 0

    def arm(self, user_id: str) -> Arm:
        """The arm of a person, by their pseudonym; everybody's is ``active`` while no voice is tried."""
        if self.trial is None:
            return Arm.ACTIVE
        return arm_of(user_id, self.trial, traffic_of(self.trial))

    def voice(self, arm: Arm) -> ArmVoice:
        """What speaks to people of an arm."""
        if arm is Arm.CANDIDATE and self.candidate is not None:
            return self.candidate
        return self.active

    @property
    def checkpoints(self) -> frozenset[str]:
        """Adapters that may be asked for."""
        voices = [self.active] + ([self.candidate] if self.candidate else [])
        return frozenset(voice.adapter for voice in voices if voice.adapter is not None)


def voice_of(deployed: Deployed) -> DeployedVoice:
    """The voice's part of what is deployed. A candidate that brings one part keeps the other as it
    serves."""
    serves = {} if deployed.head is None else deployed.head.serves

    def served(role: str) -> str | None:
        found = serves.get(role)
        return None if found is None else found.checkpoint_id

    active = ArmVoice(served(ADAPTER), served(PROMPT))
    revision = 0 if deployed.head is None else deployed.head.revision
    trial = deployed.rollout
    if trial is None or not trial.is_of_voice:
        return DeployedVoice(active, revision=revision)
    brought = {part.role: part.artefact_id for part in deployed.trial_artefacts}
    candidate = ArmVoice(brought.get(ADAPTER, active.adapter), brought.get(PROMPT, active.prompt))
    return DeployedVoice(active, candidate, trial, revision)
