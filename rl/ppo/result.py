"""What a training leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from everloop.contracts.figures import TrainingFigures, TrainingPoint
from rl.policy_card import PolicyCard


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Paths of a finished training's files, and how it went.

    Attributes:
        weights_path: ``policy.safetensors``, the network's weights.
        onnx_path: ``policy.onnx``, the served form with the mask inside.
        card_path: ``policy.json``, the ``PolicyCard``.
        figures: learning curve and totals, for reports.
        resumed_from: iterations that an earlier, interrupted run had finished.
    """

    weights_path: Path
    onnx_path: Path
    card_path: Path
    card: PolicyCard
    figures: TrainingFigures
    resumed_from: int = 0

    @property
    def curve(self) -> tuple[TrainingPoint, ...]:
        return self.figures.curve

    @property
    def weights_sha256(self) -> str:
        return self.card.weights_sha256

    @property
    def propensity_error(self) -> float:
        return self.card.propensity_error
