"""TRL's DPO and KTO with weights, reference log-probabilities computed once, and steps in slices.

TRL keeps a frozen copy of the adapter and asks it in every step; here the starting adapter's
log-probabilities are columns of the data, so the copy is deleted before training begins and no
checkpoint holds it. TRL's loss over a batch is computed pair by pair: gradients add up, so that a step over
slices of the batch is the same step with the memory of one slice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from transformers import PrinterCallback, Trainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

from everloop.adaptation.training.checkpoints import mark_whole
from everloop.adaptation.training.log_probabilities import (
    Padded,
    TokenSequence,
    padded,
    score,
    slice_budget,
    slices,
    teach_scoring,
)
from everloop.adaptation.training.lora_linear import keep_little

Batch = dict[str, torch.Tensor]


class PreferenceCollator:
    """Examples with sequences under ``names`` -> one padded batch, all first sequences, then all second.

    A batch holds ``input_ids``, ``attention_mask`` and ``completion_mask``, each (k B, L), and one
    (B,) tensor for each number that the examples carry.
    """

    def __init__(self, pad: int, names: tuple[str, ...]) -> None:
        self._pad, self._names = pad, names

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> Batch:
        sequences = [
            TokenSequence(tuple(example[f"{name}_prompt"]), tuple(example[f"{name}_completion"]))
            for name in self._names
            for example in examples
        ]
        batch = padded(sequences, self._pad)
        numbers = {
            key: torch.tensor([float(example[key]) for example in examples])
            for key in examples[0]
            if not key.endswith(("_prompt", "_completion"))
        }
        return {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
            "completion_mask": batch.completion_mask,
            **numbers,
        }


class _InSlices(Trainer):
    """What both trainers do in their own way: prepared data, no copy of the adapter, slices."""

    model: Any
    args: Any
    accelerator: Any
    train_dataset: Any

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.remove_callback(PrinterCallback)
        self.model.delete_adapter("ref")
        teach_scoring(keep_little(self.model).get_base_model())
        self._tokens = 0
        self._since = time.monotonic()

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Past TRL's, which writes a model card beside each checkpoint.
        Trainer._save_checkpoint(self, model, trial)  # noqa: SLF001
        if self.args.should_save:
            mark_whole(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")

    def training_step(
        self, model: Any, inputs: Batch, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Gradients of a batch's share of the step's mean weighted loss, slice by slice; its value."""
        del num_items_in_batch
        model.train()
        total = torch.zeros((), device=self.accelerator.device)
        share = self.args.world_size / self._examples_of_step()
        for loss in self._losses(model, self._moved(inputs)):
            part = loss * share
            self.accelerator.backward(part)
            total += part.detach()
        return total

    def _examples_of_step(self) -> int:
        """Of all processes; the last step has what is left."""
        each = self.args.train_batch_size * self.args.gradient_accumulation_steps
        step = int(each * self.args.world_size)
        return max(1, min(step, len(self.train_dataset) - self.state.global_step * step))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Also how many completion tokens gave a gradient, and seconds, since the last entry."""
        del start_time
        now = time.monotonic()
        extra = {"tokens": float(self._tokens), "seconds": now - self._since}
        self._tokens, self._since = 0, now
        self._metrics_cleared()
        super().log(logs | extra)

    def _metrics_cleared(self) -> None:
        self._metrics: dict[str, dict[str, list[float]]] = {"train": {}, "eval": {}}

    def _moved(self, inputs: Batch) -> Batch:
        return {name: value.to(self.accelerator.device) for name, value in inputs.items()}

    def _losses(self, model: Any, batch: Batch) -> Iterator[torch.Tensor]:
        raise NotImplementedError

    def _slices(self, whole: Padded, examples: int, sequences: int) -> Iterator[list[int]]:
        """Examples in groups; each has one row in each of the first ``sequences`` blocks."""
        if self.args.world_size > 1:
            # Processes exchange gradients after each slice, so that all must have as many.
            return iter([list(range(examples))])
        lengths = whole.attention_mask.sum(dim=1).reshape(-1, examples)[:sequences]
        longest = lengths.max(dim=0).values * sequences
        return slices(longest.tolist(), slice_budget(self.accelerator.device))

    def _counted(self, part: Padded) -> None:
        self._tokens += int(part.completion_mask.sum())


def _whole(batch: Batch) -> Padded:
    return Padded(batch["input_ids"], batch["attention_mask"], batch["completion_mask"])


class PairTrainer(_InSlices, DPOTrainer):  # type: ignore[misc]
    """DPO (Rafailov et al. 2023): -w log sigmoid(beta ((c - c0) - (r - r0))), the sum over a batch.

    c, r: log-probabilities of the chosen and the rejected answer; c0, r0: the starting adapter's.
    """

    def _losses(self, model: Any, batch: Batch) -> Iterator[torch.Tensor]:
        whole, count = _whole(batch), len(batch["weight"])
        for group in self._slices(whole, count, sequences=2):
            part = whole.rows([*group, *(index + count for index in group)])
            self._counted(part)
            with self.accelerator.autocast():
                chosen, rejected = score(model, part).chunk(2)
            margin = chosen - batch["ref_chosen"][group] - rejected + batch["ref_rejected"][group]
            yield -(batch["weight"][group] * logsigmoid(self.args.beta * margin)).sum()


class ThumbTrainer(_InSlices, KTOTrainer):  # type: ignore[misc]
    """KTO (Ethayarajh et al. 2024), equation 7: w (1 - sigmoid(s beta (l - l0 - z))), the sum over a batch.

    s: 1 for a liked answer, -1 for another; z: max(0, mean of l - l0 over mismatched answers), a constant.
    """

    def _losses(self, model: Any, batch: Batch) -> Iterator[torch.Tensor]:
        whole, count = _whole(batch), len(batch["weight"])
        divergence = self._divergence(model, whole, batch, count)
        for group in self._slices(whole, count, sequences=1):
            part = whole.rows(group)
            self._counted(part)
            with self.accelerator.autocast():
                ratio = score(model, part) - batch["ref_said"][group]
            side = 2.0 * batch["liked"][group] - 1.0
            value = torch.sigmoid(side * self.args.beta * (ratio - divergence))
            yield (batch["weight"][group] * (1.0 - value)).sum()

    def _divergence(self, model: Any, whole: Padded, batch: Batch, count: int) -> torch.Tensor:
        total = torch.zeros((), device=self.accelerator.device)
        other = whole.rows(range(count, 2 * count))
        with torch.no_grad(), self.accelerator.autocast():
            for group in self._slices(other, count, sequences=1):
                ratio = score(model, other.rows(group)) - batch["ref_mismatched"][group]
                total += ratio.sum()
        mean: torch.Tensor = self.accelerator.gather(total / count).mean().clamp(min=0)
        return mean
