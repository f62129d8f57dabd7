"""TRL's reward trainer with weights: -w log sigmoid(r(chosen) - r(rejected)) (Bradley and Terry 1952)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from transformers import PrinterCallback, Trainer
from trl.trainer.reward_trainer import RewardTrainer

from everloop.adaptation.training.checkpoints import mark_whole
from everloop.adaptation.training.log_probabilities import TokenSequence, padded
from everloop.contracts.errors import ShouldFixArgument

Batch = dict[str, torch.Tensor]


class PairCollator:
    """Rows with ``chosen_ids``, ``rejected_ids`` and ``weight`` -> chosen rows, then rejected ones."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        whole = padded(
            [
                TokenSequence(tuple(row[name][:1]), tuple(row[name][1:]))
                for name in ("chosen_ids", "rejected_ids")
                for row in rows
            ],
            self._pad,
        )
        return {
            "input_ids": whole.input_ids,
            "attention_mask": whole.attention_mask,
            "weight": torch.tensor([float(row["weight"]) for row in rows]),
        }


class WeightedRewardTrainer(RewardTrainer):  # type: ignore[misc, unused-ignore]
    """The mean over a step's pairs of each one's weighted loss."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.remove_callback(PrinterCallback)

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        """Scalar loss of a batch of pairs."""
        del num_items_in_batch
        if return_outputs:
            raise ShouldFixArgument("This trainer trains; RewardScorer evaluates.")
        scores = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
        ).logits[:, 0]
        chosen, rejected = scores.float().chunk(2)
        loss: torch.Tensor = -(inputs["weight"] * logsigmoid(chosen - rejected)).mean()
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Without the means of figures that nobody took."""
        Trainer.log(self, logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Past TRL's, which writes a model card beside each checkpoint.
        Trainer._save_checkpoint(self, model, trial)  # noqa: SLF001
        if self.args.should_save:
            mark_whole(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")
