"""Learning a policy: one task, several learners, and how they compare on the same held-out people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate, PolicyEvaluation
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from everloop.contracts.simulation import ProfileBatch, UserModel

DEFAULT_LEARNER = "ppo"
REPORT_ONLY = frozenset({"raw_dr"})
"""Learners whose policies are never shipped, whatever their files say of themselves."""


@dataclass(frozen=True, slots=True)
class LearningTask:
    """What a learner may use.

    Attributes:
        spec: the loop.
        model: the private user model.
        profiles: the private synthetic people, encoded by the loop's encoder.
        seed: equal tasks give equal policies.
        workdir: folder for what is left behind; made if it is missing.
        episodes: the raw log; only learners whose policies stay inside the trust boundary get it.
        start: folder of an earlier policy to start from; None: from nothing.
    """

    spec: LoopSpec
    model: UserModel
    profiles: ProfileBatch
    seed: int
    workdir: Path
    episodes: EncodedEpisodes | None = None
    start: Path | None = None


@dataclass(frozen=True, slots=True)
class LearnedPolicy:
    """A learner's policy.

    Attributes:
        learner: name of the learner, such as "ppo" or "lin_ts".
        version: ``<loop>-<first 16 digits of the weights' SHA-256>``.
        folder: holds ``policy.onnx``, ``policy.safetensors`` and ``policy.json``.
        provenance: RAW_LOG where the log itself was learned from: such a policy is never shipped.
        cpu_seconds: what learning took.
        steps: simulated decisions, 0 without a simulation.
    """

    learner: str
    version: str
    folder: Path
    provenance: Provenance
    cpu_seconds: float
    steps: int

    @property
    def deployable(self) -> bool:
        return self.provenance is Provenance.PRIVATE_RELEASE


class PolicyLearner(Protocol):
    """Something that learns a policy from a task."""

    @property
    def name(self) -> str: ...

    @property
    def provenance(self) -> Provenance:
        """RAW_LOG for learners that need ``task.episodes``."""

    def learn(self, task: LearningTask) -> LearnedPolicy:
        """Learn, export and write the policy's files; deterministic in the task.

        Raises:
            ShouldFixArgument: parts of the task do not fit one another.
            ShouldRestoreArtefact: the user model answered NaN, or the export differs from its network.
        """


@dataclass(frozen=True, slots=True)
class ComparedPolicy:
    """One learner's policy and what it would have earned on the held-out people."""

    learner: str
    version: str
    provenance: Provenance
    evaluation: PolicyEvaluation

    @property
    def deployable(self) -> bool:
        return self.provenance is Provenance.PRIVATE_RELEASE and self.learner not in REPORT_ONLY


@dataclass(frozen=True, slots=True)
class PolicyComparison:
    """All learners of a night on the same held-out people; the error is split over all of them.

    ``chosen``: the deployable learner with the best lower bound of candidate - baseline; the default one on
    exact ties and where no policy's overlap allows an estimate. ``reason`` says why, in a sentence.
    ``distinguishable``: whether the chosen one is better than every other deployable one, by the interval
    of their difference; it does not change the choice. ``differences``: chosen - each other learner, by
    the other's name.
    ``privacy_cost``: what the best report-only policy would earn more than the chosen one.
    """

    policies: tuple[ComparedPolicy, ...]
    chosen: str
    distinguishable: bool
    reason: str = ""
    differences: tuple[Estimate, ...] = ()
    privacy_cost: Estimate | None = None
    schema_version: int = 1

    def __post_init__(self) -> None:
        found = [p for p in self.policies if p.learner == self.chosen]
        if len(found) != 1 or not found[0].deployable:
            raise ShouldFixArgument(
                f"A comparison cannot choose {self.chosen!r}: it is not one deployable learner of "
                f"{', '.join(p.learner for p in self.policies)}."
            )

    @property
    def best(self) -> ComparedPolicy:
        """The chosen policy."""
        return next(p for p in self.policies if p.learner == self.chosen)
