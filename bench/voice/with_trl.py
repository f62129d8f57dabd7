"""TRL's trainers with their defaults, as its documentation shows them, on the same rows and batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from bench.voice.problem import BATCH, RATE
from everloop.adaptation.training.rendering import conversational_row, turns
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import TrainingDataInstance


def sft(
    base: BaseFolder, spec: VoiceSpec, rows: Sequence[TrainingDataInstance], place: Path, seed: int
) -> tuple[float, ...]:
    """The whole batch at once; the loss of every step."""
    return _sft(base, spec, rows, place, seed, BATCH)


def sft_in_parts(
    base: BaseFolder, spec: VoiceSpec, rows: Sequence[TrainingDataInstance], place: Path, seed: int
) -> tuple[float, ...]:
    """The batch in the parts that our preset takes it in."""
    return _sft(base, spec, rows, place, seed, spec.phases.batch_size)


def dpo(
    base: BaseFolder, spec: VoiceSpec, rows: Sequence[TrainingDataInstance], place: Path, seed: int
) -> tuple[float, ...]:
    """The whole batch at once; the loss of every step."""
    return _dpo(base, spec, rows, place, seed, BATCH)


def dpo_in_parts(
    base: BaseFolder, spec: VoiceSpec, rows: Sequence[TrainingDataInstance], place: Path, seed: int
) -> tuple[float, ...]:
    """The batch in the parts that our preset takes it in."""
    return _dpo(base, spec, rows, place, seed, spec.phases.batch_size)


def _sft(
    base: BaseFolder,
    spec: VoiceSpec,
    rows: Sequence[TrainingDataInstance],
    place: Path,
    seed: int,
    part: int,
) -> tuple[float, ...]:
    trainer = SFTTrainer(
        model=str(base.path),
        args=SFTConfig(**_same(spec, place, seed, part)),
        train_dataset=Dataset.from_list([dict(conversational_row(row)) for row in rows]),
        peft_config=_lora(spec),
    )
    trainer.train()
    return _losses(trainer)


def _dpo(
    base: BaseFolder,
    spec: VoiceSpec,
    rows: Sequence[TrainingDataInstance],
    place: Path,
    seed: int,
    part: int,
) -> tuple[float, ...]:
    pairs = [
        {
            "prompt": turns(row.prompt),
            "chosen": [{"role": "assistant", "content": row.completion}],
            "rejected": [{"role": "assistant", "content": row.rejected}],
        }
        for row in rows
    ]
    trainer = DPOTrainer(
        model=str(base.path),
        args=DPOConfig(beta=spec.preference.beta, **_same(spec, place, seed, part)),
        train_dataset=Dataset.from_list(pairs),
        peft_config=_lora(spec),
    )
    trainer.train()
    return _losses(trainer)


def _same(spec: VoiceSpec, place: Path, seed: int, part: int) -> dict[str, Any]:
    """What is the same for every system; all else is TRL's default."""
    return {
        "output_dir": str(place),
        "per_device_train_batch_size": part,
        "gradient_accumulation_steps": BATCH // part,
        "num_train_epochs": 1,
        "learning_rate": RATE,
        "max_length": spec.phases.max_length,
        "activation_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": seed,
    }


def _lora(spec: VoiceSpec) -> LoraConfig:
    return LoraConfig(
        r=spec.lora.r,
        lora_alpha=spec.lora.alpha,
        lora_dropout=spec.lora.dropout,
        target_modules=list(spec.lora.target_modules),
        task_type="CAUSAL_LM",
    )


def _losses(trainer: Any) -> tuple[float, ...]:
    return tuple(entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
