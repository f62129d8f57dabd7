"""TRL's supervised trainer with weighted examples, the head at completions alone, and whole checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from everloop.adaptation.training.checkpoints import mark_whole
from everloop.adaptation.training.log_probabilities import TokenSequence, padded, teach_scoring
from everloop.adaptation.training.lora_linear import keep_little
from everloop.adaptation.training.order import warmup_of
from everloop.adaptation.training.progress import Progress
from everloop.adaptation.training.rendering import IGNORED
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.voice_spec import CurriculumSpec, PhaseSpec
from everloop.contracts.voices import StepLog

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

Batch = dict[str, torch.Tensor]


class Collator:
    """Rows of tokens -> one batch padded on the right: ids, attention, completion mask, labels, weights."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        batch = padded([_sequence(row["input_ids"], row["labels"]) for row in rows], self._pad)
        return {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
            "completion_mask": batch.completion_mask,
            "labels": batch.input_ids.masked_fill(batch.completion_mask == 0, IGNORED),
            "weight": torch.tensor([float(row["weight"]) for row in rows]),
        }


class SupervisedTrainer(SFTTrainer):
    """One phase. Loss of an effective batch: sum of weight x negative log-probability over its completions'
    tokens, divided by how many these are; a row of weight 1/2 gives half the gradient."""

    def __init__(self, model: PeftModel, **given: Any) -> None:
        super().__init__(model=model, **given)
        teach_scoring(keep_little(model).get_base_model())

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Scalar loss of one part of an effective batch of ``num_items_in_batch`` completion tokens."""
        if return_outputs or num_items_in_batch is None:
            raise ShouldFixArgument("This trainer trains; other trainers evaluate.")
        scores = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            completion_mask=inputs["completion_mask"],
        )
        loss: torch.Tensor = -(scores * inputs["weight"]).sum() / num_items_in_batch
        # Gradients of several processes are averaged, and the tokens are those of all of them.
        return loss * int(self.accelerator.num_processes)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Past TRL's, which writes a model card beside each checkpoint.
        Trainer._save_checkpoint(self, model, trial)  # noqa: SLF001
        if self.args.should_save:
            mark_whole(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")


class Report(TrainerCallback):
    """Tells how far a phase is, and ends one whose figures are no numbers."""

    def __init__(self, phase: str, on_progress: Progress) -> None:
        self._phase, self._on_progress = phase, on_progress

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After each step."""
        del args, control
        if "loss" not in state.log_history[-1]:
            return
        log = step_log(self._phase, state.log_history[-1])
        if not (math.isfinite(log.loss) and math.isfinite(log.grad_norm)):
            raise ShouldFixArgument(
                f"Step {log.step} of phase {self._phase} has loss {log.loss} and norm {log.grad_norm}.",
                "Lower its learning rate.",
            )
        self._on_progress(log, state.max_steps)


def step_log(phase: str, entry: Mapping[str, Any]) -> StepLog:
    """One step as the trainer logged it."""
    return StepLog(
        phase,
        int(entry["step"]),
        float(entry["learning_rate"]),
        float(entry["grad_norm"]),
        float(entry["loss"]),
    )


def settings(
    curriculum: CurriculumSpec,
    phase: PhaseSpec,
    steps: int,
    folder: Path,
    seed: int,
    checkpoint_steps: int,
) -> SFTConfig:
    """What one phase is trained with: AdamW, cosine to 0, the effective batch on any number of processes.

    Raises:
        ShouldFixArgument: the processes do not divide the accumulation.
    """
    processes = PartialState().num_processes
    if curriculum.accumulation % processes:
        raise ShouldFixArgument(
            f"{processes} processes cannot share {curriculum.accumulation} parts of a batch.",
            "Choose a number of processes that divides accumulation.",
        )
    return SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=curriculum.batch_size,
        gradient_accumulation_steps=curriculum.accumulation // processes,
        max_steps=steps,
        learning_rate=phase.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=warmup_of(steps, curriculum.warmup_ratio),
        max_grad_norm=curriculum.max_grad_norm,
        weight_decay=curriculum.weight_decay,
        optim="adamw_torch_fused",
        bf16=True,
        # The older name warns, and it is on where none is given.
        activation_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_steps=1,
        logging_nan_inf_filter=False,
        train_sampling_strategy="sequential",
        save_strategy="steps",
        save_steps=checkpoint_steps,
        save_total_limit=2,
        seed=seed,
        report_to="none",
        disable_tqdm=True,
    )


def trainer_of(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    arguments: SFTConfig,
    report: Report,
) -> SupervisedTrainer:
    """A trainer over rows in the order in which they stand."""
    trainer = SupervisedTrainer(
        model,
        args=arguments,
        train_dataset=rows,
        data_collator=Collator(int(tokenizer.pad_token_id)),
        processing_class=tokenizer,
        callbacks=[report],
    )
    # Bars and lines are the caller's business.
    trainer.remove_callback(PrinterCallback)
    return trainer


def _sequence(ids: Sequence[int], labels: Sequence[int]) -> TokenSequence:
    begins = next(at for at, label in enumerate(labels) if label != IGNORED)
    return TokenSequence(tuple(ids[:begins]), tuple(ids[begins:]))
