"""What the trainers of preferences and rewards have in common: batch, schedule, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from everloop.adaptation.training.order import warmup_of
from everloop.adaptation.training.supervised import step_log
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import StepLog

CHECKPOINTS = 10
"""About so many are written in a run; the newest two are kept."""


def effective_batch(spec: VoiceSpec) -> int:
    """Examples of one optimiser step, over all processes."""
    return spec.phases.batch_size * spec.phases.accumulation


def trainer_settings(
    spec: VoiceSpec, folder: Path, seed: int, rate: float, steps: int, least_batch: int = 1
) -> dict[str, Any]:
    """Arguments of a Hugging Face trainer: the curriculum's batch, warm-up, cosine, norm and decay.

    Args:
        folder: of checkpoints.
        rate: peak learning rate.
        steps: optimiser steps that are coming: a tenth of them passes between checkpoints, and the
            warm-up is a share of them.
        least_batch: examples that the trainer needs in one forward pass of a process.

    Raises:
        ShouldFixArgument: the effective batch cannot be divided among the processes.
    """
    from accelerate import PartialState  # noqa: PLC0415

    curriculum, processes = spec.phases, PartialState().num_processes
    each = max(least_batch, curriculum.batch_size)
    if effective_batch(spec) % (each * processes):
        raise ShouldFixArgument(
            f"An effective batch of {effective_batch(spec)} cannot be divided among {processes} processes "
            f"with {each} examples at a time.",
            "Set the curriculum's batch_size and accumulation so that it can.",
        )
    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": each,
        "gradient_accumulation_steps": effective_batch(spec) // (each * processes),
        "learning_rate": rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": warmup_of(steps, curriculum.warmup_ratio),
        "max_grad_norm": curriculum.max_grad_norm,
        "weight_decay": curriculum.weight_decay,
        "num_train_epochs": 1,
        "optim": "adamw_torch_fused",
        "bf16": True,
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "activation_checkpointing": cuda,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": max(1, steps // CHECKPOINTS),
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "seed": seed,
        "data_seed": seed,
    }


def steps_of_log(history: Sequence[Mapping[str, float]], phase: str) -> tuple[StepLog, ...]:
    """What was measured at each optimiser step, those before a kill included."""
    return tuple(step_log(phase, entry) for entry in history if "grad_norm" in entry)
