"""One KFP artifact type per contract, so that a wrong wire fails when the graph is built.

The docstring of each type says what lies at the artifact's path.
"""

from __future__ import annotations

from kfp import dsl


class EpisodeDataset(dsl.Artifact):
    """A ``DatasetManifest`` (JSON); the files are in the dataset store under its ``dataset_id``."""

    schema_title = "system.EverloopEpisodeDataset"
    schema_version = "0.0.1"


class Validation(dsl.Artifact):
    """A ``ValidationReport`` (JSON)."""

    schema_title = "system.EverloopValidation"
    schema_version = "0.0.1"


class RewardTable(dsl.Artifact):
    """A folder: ``rewards.parquet`` and ``figures.json`` (``RewardFigures``)."""

    schema_title = "system.EverloopRewardTable"
    schema_version = "0.0.1"


class EncodedDataset(dsl.Artifact):
    """``EncodedEpisodes`` (safetensors)."""

    schema_title = "system.EverloopEncodedDataset"
    schema_version = "0.0.1"


class PrivateRelease(dsl.Artifact):
    """A folder: the release's file and ``note.json`` (``ReleaseNote``), or ``refusal.json``."""

    schema_title = "system.EverloopPrivateRelease"
    schema_version = "0.0.1"


class SyntheticQuality(dsl.Artifact):
    """A ``QualityFigures`` (JSON)."""

    schema_title = "system.EverloopSyntheticQuality"
    schema_version = "0.0.1"


class Heads(dsl.Artifact):
    """A folder: ``heads.json`` (``HeadFigures``) and, where there are such models, ``pairing.onnx`` and
    ``emotion.onnx``."""

    schema_title = "system.EverloopHeads"
    schema_version = "0.0.1"


class TrainedPolicy(dsl.Artifact):
    """A folder: ``policy.onnx``, ``policy.safetensors`` and ``figures.json`` (``TrainingFigures``)."""

    schema_title = "system.EverloopTrainedPolicy"
    schema_version = "0.0.1"


class Sweep(dsl.Artifact):
    """A ``SweepTable`` (JSON): every trial of a search for settings."""

    schema_title = "system.EverloopSweep"
    schema_version = "0.0.1"


class AlternativePolicies(dsl.Artifact):
    """A folder: ``learned.json`` and, of each learner, a folder with its policy's files; all made from
    private releases."""

    schema_title = "system.EverloopAlternativePolicies"
    schema_version = "0.0.1"


class ReportOnlyPolicies(dsl.Artifact):
    """As ``AlternativePolicies``, but learned on the raw log: nothing of it is ever deployed."""

    schema_title = "system.EverloopReportOnlyPolicies"
    schema_version = "0.0.1"


class Comparison(dsl.Artifact):
    """A ``PolicyComparison`` (JSON)."""

    schema_title = "system.EverloopComparison"
    schema_version = "0.0.1"


class Evaluation(dsl.Artifact):
    """A ``PolicyEvaluation`` (JSON)."""

    schema_title = "system.EverloopEvaluation"
    schema_version = "0.0.1"


class Explanations(dsl.Artifact):
    """A folder: ``explanations.parquet`` and ``sample.json`` (``TrainingExplanation`` list)."""

    schema_title = "system.EverloopExplanations"
    schema_version = "0.0.1"


class GateVerdict(dsl.Artifact):
    """A ``Verdict`` (JSON)."""

    schema_title = "system.EverloopVerdict"
    schema_version = "0.0.1"


class Checkpoint(dsl.Artifact):
    """A folder: ``checkpoint.json`` (``ModelCheckpoint``, as registered) and its cards, for operators and
    for everyone."""

    schema_title = "system.EverloopCheckpoint"
    schema_version = "0.0.1"


class TrialMeasure(dsl.Artifact):
    """A folder: ``trial.json`` (``RolloutRecord``), ``figures.json`` (``ExperimentFigures``) and
    ``looks.json`` (the effect as known at each day's end); empty where nothing is on trial."""

    schema_title = "system.EverloopTrialMeasure"
    schema_version = "0.0.1"


class TrialAct(dsl.Artifact):
    """A ``WatchOutcome`` (JSON): the verdict and what was done."""

    schema_title = "system.EverloopTrialAct"
    schema_version = "0.0.1"


class Rollout(dsl.Artifact):
    """A ``RolloutRecord`` (JSON): the trial, or the refusal to start one."""

    schema_title = "system.EverloopRollout"
    schema_version = "0.0.1"


class AdversarialFindings(dsl.Artifact):
    """An ``AdversarialReview`` (JSON)."""

    schema_title = "system.EverloopAdversarialFindings"
    schema_version = "0.0.1"


class AdversarialWord(dsl.Artifact):
    """The ``Oversight`` (JSON) that an adversarial review became."""

    schema_title = "system.EverloopAdversarialWord"
    schema_version = "0.0.1"


class VoiceCollection(dsl.Artifact):
    """A folder: what people said until a moment, and ``manifest.json``."""

    schema_title = "system.EverloopVoiceCollection"
    schema_version = "0.0.1"


class VoiceData(dsl.Artifact):
    """A folder: ``train.jsonl.zst``, ``held_out.jsonl.zst`` and ``figures.json`` (``DataFigures``)."""

    schema_title = "system.EverloopVoiceData"
    schema_version = "0.0.1"


class VoiceStrategy(dsl.Artifact):
    """A ``StrategyChoice`` (JSON)."""

    schema_title = "system.EverloopVoiceStrategy"
    schema_version = "0.0.1"


class VoiceScorer(dsl.Artifact):
    """A folder: ``figures.json`` (``RewardModelFigures``) and, where there is one, ``scorer``."""

    schema_title = "system.EverloopVoiceScorer"
    schema_version = "0.0.1"


class VoiceAdapter(dsl.Artifact):
    """A folder: ``adapter`` as PEFT saves it, and ``figures.json`` (``AdapterFigures``)."""

    schema_title = "system.EverloopVoiceAdapter"
    schema_version = "0.0.1"


class VoiceMeasure(dsl.Artifact):
    """A ``VoiceComparison`` (JSON)."""

    schema_title = "system.EverloopVoiceMeasure"
    schema_version = "0.0.1"


class SandboxFindings(dsl.Artifact):
    """A ``SandboxReport`` (JSON)."""

    schema_title = "system.EverloopSandboxFindings"
    schema_version = "0.0.1"
