"""Stores of what a voice learns from and became."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from everloop.contracts.feedback import FeedbackInstance, Interaction
from everloop.contracts.sandboxes import RunningVoice, VoiceConfiguration
from everloop.contracts.voices import (
    ModelVersion,
    TrainingDataInstance,
    UserDataPackage,
    VersionStatus,
)


@dataclass(frozen=True, slots=True)
class SpokenFeedback:
    """A feedback with the interaction that it speaks of; one text to learn from."""

    feedback: FeedbackInstance
    interaction: Interaction
    disputed: bool = False
    """Somebody disputes what it rests on: it teaches nothing until that is settled."""


@dataclass(frozen=True, slots=True)
class VoiceWatermark:
    """Up to where the log was read: the largest stored number of feedback, interactions and packages."""

    feedback: int
    interactions: int
    packages: int


class VoiceLog(Protocol):
    """Reads what a persona may learn from: consented, accepted or released, not erased, not disputed."""

    def watermark(self, tenant: str = "default") -> VoiceWatermark:
        """The log's present end."""

    def spoken_feedback(
        self, persona: str, until: VoiceWatermark, tenant: str = "default"
    ) -> Iterator[SpokenFeedback]:
        """Feedback on a persona's texts, in stored order; only people whose newest consent to
        training is not a refusal."""

    def packages(
        self, persona: str, until: VoiceWatermark, tenant: str = "default"
    ) -> Iterator[UserDataPackage]:
        """Packages for a persona (or for every one), in stored order; consent as above."""


class VoiceStore(Protocol):
    """Packages, training instances and model versions."""

    def add_package(self, package: UserDataPackage, actor: str) -> bool:
        """Store a package; False where it is stored already.

        Raises:
            ShouldResolveConflict: the id holds another content.
            ShouldRespectConsent: the person refused training, or was erased.
        """

    def add_packages(self, packages: Sequence[UserDataPackage], actor: str) -> tuple[bool, ...]:
        """``add_package`` of several, all or none; for each whether it was new."""

    def add_instances(self, instances: Sequence[TrainingDataInstance], adapter_version: str) -> int:
        """Record what an adapter learned from; how many rows are new.

        One of a person whose feedback or package is gone (they were erased while the run went on) is
        not stored: the model's ``forgets`` counts it.
        """

    def instances_of(
        self, source_id: str, tenant: str = "default"
    ) -> tuple[TrainingDataInstance, ...]:
        """Everything that was made of a feedback, package, corpus row or test run."""

    def instances(self, model_id: str, tenant: str = "default") -> Iterator[TrainingDataInstance]:
        """What a model version learned from."""

    def add_version(self, version: ModelVersion) -> ModelVersion:
        """Record a version; its number is the next of its persona, the same model keeps its first."""

    def set_status(self, model_id: str, status: VersionStatus, tenant: str = "default") -> None:
        """``ACTIVE`` archives the persona's earlier active version in the same transaction."""

    def versions(
        self,
        persona: str,
        user_id: str | None = None,
        tenant: str = "default",
        references: bool = True,
    ) -> tuple[ModelVersion, ...]:
        """Newest first; ``references``: with the ids of what each learned from, which may be many."""

    def judging(
        self, persona: str, judges: Mapping[str, bool], tenant: str = "default"
    ) -> frozenset[str]:
        """Who of some people judges a persona, and so never teaches it.

        Each stays where they were when they were first asked about, under whatever pseudonym, until an
        erasure.

        Args:
            judges: pseudonym -> whether they judge, of people who are asked about for the first time.
        """

    def publish(
        self, loop: str, instance: str, configuration: VoiceConfiguration, tenant: str = "default"
    ) -> None:
        """Say what a running service speaks with, in place of what the same instance said before."""

    def withdraw(self, instance: str) -> None:
        """Forget what an instance said of every loop in every tenant: it has ended."""

    def running(
        self, loop: str, since: datetime, tenant: str = "default"
    ) -> tuple[RunningVoice, ...]:
        """What each instance said last, at ``since`` or later, by its name."""

    def learned_until(self, persona: str, tenant: str = "default") -> datetime | None:
        """When the data of the newest version that serves or may serve ended.

        None before the first, where each was archived (what a refused one learned is learned again), and
        where that version is to forget somebody: the next run begins anew.
        """
