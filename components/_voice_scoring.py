"""The reward model of a run: loaded to score answers, and kept with the adapter that it was made beside."""

from __future__ import annotations

from pathlib import Path

from components._voice_models import FIGURES
from everloop.adaptation.training.reward_weights import (
    SCORER_FILES,
    SCORER_LINEAGE,
    RewardScorer,
)
from everloop.contracts.documents import read
from everloop.contracts.models import Provenance
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voices import RewardModelFigures

SCORER = "scorer"
"""Folder of the reward model in a training's output."""


def trained_scorer(base: BaseFolder, folder: Path) -> RewardScorer | None:
    """The reward model of a training's output, verified; None where none was trained."""
    figures = read(RewardModelFigures, folder / FIGURES)
    return None if figures.refused else RewardScorer(base, folder / SCORER, figures.sha256)


def scorer_sha256(folder: Path) -> str:
    """Checksum of the reward model of a training's output; empty where none was trained."""
    figures = read(RewardModelFigures, folder / FIGURES)
    return "" if figures.refused else figures.sha256


def scorer_files(folder: Path, provenance: Provenance) -> tuple[dict[str, Path], dict[str, str]]:
    """Its files, and the lineage that names their checksum; nothing where there is none.

    It is trained without differential privacy, so a private release goes without it.
    """
    figures = read(RewardModelFigures, folder / FIGURES)
    if figures.refused or provenance is Provenance.PRIVATE_RELEASE:
        return {}, {}
    files = {name: folder / SCORER / name for name in SCORER_FILES}
    return files, {SCORER_LINEAGE: figures.sha256}
