"""Our training of an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from everloop.adaptation.training.curriculum import train_curriculum
from everloop.adaptation.training.preference import tune_preferences
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import TrainingDataInstance


def sft(
    base: BaseFolder, spec: VoiceSpec, rows: Sequence[TrainingDataInstance], place: Path, seed: int
) -> tuple[float, ...]:
    """Train and publish; the loss of every step."""
    figures = train_curriculum(base, spec, rows, place / "out", place / "work", seed)
    return tuple(step.loss for step in figures.steps)


def dpo(
    base: BaseFolder, spec: VoiceSpec, rows: Sequence[TrainingDataInstance], place: Path, seed: int
) -> tuple[float, ...]:
    """Train and publish; the loss of every step."""
    _, _, steps = tune_preferences(base, None, spec, rows, place / "out", place / "work", seed)
    return tuple(step.loss for step in steps)
