"""A finished run as an object: every stage's output, loaded as its own type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from everloop.contracts.datasets import DatasetManifest, DatasetVersion, EncodedEpisodes
from everloop.contracts.documents import read
from everloop.contracts.encoded_file import load_encoded
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import (
    PolicyEvaluation,
    TrainingExplanation,
    ValidationReport,
    Verdict,
)
from everloop.contracts.figures import QualityFigures, RewardFigures, TrainingFigures
from everloop.contracts.models import ModelCheckpoint, RunRecord, StageRecord
from everloop.contracts.policy_learning import PolicyComparison
from everloop.contracts.privacy import ReleaseNote
from everloop.contracts.rollouts import RolloutRecord
from everloop.wiring import open_workspace

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """One run. Properties load a stage's output; ``ShouldFixArgument`` if it did not get there."""

    record: RunRecord

    @property
    def run_id(self) -> str:
        return self.record.run_id

    @property
    def report(self) -> Path:
        """Path of the HTML report."""
        return Path(self.record.report)

    def stage(self, name: str) -> StageRecord:
        """One stage's record."""
        stages = {stage.stage: stage for stage in self.record.stages}
        if name not in stages:
            raise ShouldFixArgument(
                f"Run {self.run_id} has no stage {name!r}.", f"It has: {', '.join(stages)}."
            )
        return stages[name]

    def artefact(self, stage: str, name: str) -> Path:
        """Where a stage's output lies."""
        artefacts = self.stage(stage).artefacts
        if name not in artefacts:
            raise ShouldFixArgument(
                f"Stage {stage} has no output {name!r}.", f"It has: {', '.join(artefacts)}."
            )
        return Path(artefacts[name])

    def _document(self, kind: type[T], stage: str, name: str, file: str = "") -> T:
        return read(kind, self.artefact(stage, name) / file)

    @property
    def manifest(self) -> DatasetManifest:
        return self._document(DatasetManifest, "extract_episodes", "dataset")

    @property
    def dataset(self) -> DatasetVersion:
        """The dataset version, its checksums verified."""
        home = str(self.record.parameters["workspace"])
        return open_workspace(home).datasets.open(self.manifest.dataset_id)

    @property
    def validation(self) -> ValidationReport:
        return self._document(ValidationReport, "validate_episodes", "validation")

    @property
    def rewards(self) -> RewardFigures:
        return self._document(RewardFigures, "aggregate_rewards", "rewards", "figures.json")

    @property
    def reward_table(self) -> Path:
        """Parquet: one row an episode."""
        return self.artefact("aggregate_rewards", "rewards") / "rewards.parquet"

    @property
    def episodes(self) -> EncodedEpisodes:
        return load_encoded(self.artefact("aggregate_rewards", "episodes"))

    @property
    def user_model_release(self) -> ReleaseNote:
        return self._document(ReleaseNote, "fit_user_model", "user_model", "note.json")

    @property
    def profiles_release(self) -> ReleaseNote:
        return self._document(ReleaseNote, "generate_profiles", "profiles", "note.json")

    @property
    def quality(self) -> QualityFigures:
        return self._document(QualityFigures, "check_synthetic", "quality")

    @property
    def training(self) -> TrainingFigures:
        return self._document(TrainingFigures, "train_policy", "policy", "figures.json")

    @property
    def evaluation(self) -> PolicyEvaluation:
        return self._document(PolicyEvaluation, "evaluate_policy", "evaluation")

    @property
    def comparison(self) -> PolicyComparison:
        """Every learner of the night on the same held-out people."""
        return self._document(PolicyComparison, "evaluate_policy", "comparison")

    @property
    def chosen_policy(self) -> Path:
        """Folder of the policy that was chosen, with its ONNX file, weights and card."""
        return self.artefact("evaluate_policy", "chosen")

    @property
    def explanations(self) -> tuple[TrainingExplanation, ...]:
        """The sample that the report shows; the whole is ``explanations.parquet`` beside it."""
        return self._document(
            tuple[TrainingExplanation, ...], "explain", "explanations", "sample.json"
        )

    @property
    def verdict(self) -> Verdict:
        return self._document(Verdict, "gate", "verdict")

    @property
    def checkpoint(self) -> ModelCheckpoint:
        return self._document(ModelCheckpoint, "register", "checkpoint", "checkpoint.json")

    @property
    def rollout(self) -> RolloutRecord:
        return self._document(RolloutRecord, "start_rollout", "rollout")


def open_run(run_id: str, home: Path | str | None = None) -> OpenedRun:
    """Open a run by its id; ``ShouldFixArgument`` names the nearest ids when there is none."""
    return OpenedRun(open_workspace(home).runs.run(run_id))


def runs(
    loop: str | None = None, *, limit: int = 50, home: Path | str | None = None
) -> tuple[RunRecord, ...]:
    """The newest runs."""
    return open_workspace(home).runs.runs(loop, limit)
