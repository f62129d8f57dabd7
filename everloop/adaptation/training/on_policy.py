"""On-policy preference learning: the voice answers, and a reward model says which answers to prefer.

RLOO (Ahmadian et al., "Back to basics: revisiting REINFORCE style optimization for learning from human
feedback in LLMs", ACL 2024) or GRPO (Shao et al., "DeepSeekMath", 2024), by configuration, with TRL's
trainers. Answers are drawn in every step, which a CPU takes too long for. The adapter goes on from where it
is, and where it is is the reference that ``beta`` holds it to. A killed run begins anew.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from everloop.adaptation.training.best_of import Scorer
from everloop.adaptation.training.models import load_tokenizer, with_adapter
from everloop.adaptation.training.progress import Progress, silent
from everloop.adaptation.training.publish import distance, publish, trained_tensors
from everloop.adaptation.training.rendering import Turn, turns
from everloop.adaptation.training.trainer_settings import (
    effective_batch,
    steps_of_log,
    trainer_settings,
)
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument, ShouldProvideEngine
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import PreferenceMethod, VoiceSpec
from everloop.contracts.voices import Message, PhaseFigures, StepLog, TrainingDataInstance

PHASE = "on_policy"
ANSWERS = 4
"""Drawn for each prompt and compared with one another."""
UNREADABLE_BELOW = 1.0
"""An answer that cannot be scored gets this much less than the worst one of its batch."""


def tune_on_policy(
    base: BaseFolder,
    adapter: AdapterFolder | None,
    spec: VoiceSpec,
    instances: Sequence[TrainingDataInstance],
    scorer: Scorer | None,
    out: Path,
    work: Path,
    seed: int,
    on_progress: Progress = silent,
) -> tuple[AdapterFolder, tuple[PhaseFigures, ...], tuple[StepLog, ...]]:
    """Teach an adapter to answer people's prompts so that the reward model scores it higher; publish it.

    A higher reward is no success: what counts is measured on held-out people, beside a placebo.

    Args:
        adapter: the one that goes on; None for a new one.
        instances: their prompts are answered, each once an epoch.
        scorer: a reward model; None where none could be trained.

    Raises:
        ShouldFixArgument: the method is not on-policy, there is no reward model, or nothing moved.
        ShouldProvideEngine: there is no GPU and ``placement.allow_cpu`` is not set.
        ShouldCollectMoreData: there is no prompt.
    """
    method = spec.preference.method
    judge = _required(spec, method, scorer)
    prompts = tuple(dict.fromkeys(instance.prompt for instance in instances))
    if not prompts:
        raise ShouldCollectMoreData("There is no prompt to answer.", "Collect feedback first.")
    tokenizer = load_tokenizer(base)
    tokenizer.padding_side = "left"
    model = with_adapter(base, spec.lora, seed, adapter)
    before = {name: tensor.clone() for name, tensor in trained_tensors(model).items()}
    trainer = _trainer(model, tokenizer, prompts, spec, judge, work, seed, on_progress)
    with warnings.catch_warnings():
        # PEFT asks transformers by a name that warns of its end.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        trainer.train()
    moved = distance(trained_tensors(model), before)
    if not (math.isfinite(moved) and moved > 0.0):
        raise ShouldFixArgument(
            f"{method.value} moved the adapter by {moved}: every answer to a prompt scored the same.",
            "Raise generation.temperature, or train a better reward model.",
        )
    published = publish(model, base, out)
    steps = steps_of_log(trainer.state.log_history, PHASE)
    return published, (_figures(trainer, method, adapter, published, steps, len(prompts)),), steps


def _required(spec: VoiceSpec, method: PreferenceMethod, scorer: Scorer | None) -> Scorer:
    if method not in (PreferenceMethod.RLOO, PreferenceMethod.GRPO):
        raise ShouldFixArgument(
            f"preference.method={method.value} does not draw answers of its own.",
            "Set it to rloo or grpo, or use tune_preferences.",
        )
    if scorer is None:
        raise ShouldCollectMoreData(
            f"preference.method={method.value} needs a reward model, and there is none.",
            "Collect reward_model.min_comparisons comparisons, or set the method to auto.",
        )
    if spec.generation.temperature == 0.0:
        raise ShouldFixArgument(
            f"preference.method={method.value} compares answers, and generation.temperature=0 draws one.",
            "Set a temperature above 0.",
        )
    if effective_batch(spec) % ANSWERS:
        raise ShouldFixArgument(
            f"An effective batch of {effective_batch(spec)} does not hold {ANSWERS} answers to each "
            "prompt.",
            f"Make batch_size x accumulation a multiple of {ANSWERS}.",
        )
    if not torch.cuda.is_available() and not spec.placement.allow_cpu:
        raise ShouldProvideEngine(
            f"preference.method={method.value} draws answers in every step, and there is no GPU.",
            "Run where there is one, set the method to auto, or set voice.placement.allow_cpu.",
        )
    return scorer


class Rewards:
    """The reward model as TRL asks it: prompts and completions as turns -> a number each."""

    __name__ = "reward_model"

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def __call__(
        self, prompts: Sequence[list[Turn]], completions: Sequence[list[Turn]], **_: Any
    ) -> list[float]:
        """Scores; an answer that cannot be read loses to every other."""
        asked = [tuple(_message(turn) for turn in prompt) for prompt in prompts]
        found = self._scorer.score(
            asked, ["".join(t["content"] for t in each) for each in completions]
        )
        worst = min((score for score in found if math.isfinite(score)), default=0.0)
        return [score if math.isfinite(score) else worst - UNREADABLE_BELOW for score in found]


def _message(turn: Turn) -> Message:
    role = turn["role"]
    if role == "system":
        return Message("system", turn["content"])
    return Message("user" if role == "user" else "assistant", turn["content"])


def _trainer(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[tuple[Message, ...]],
    spec: VoiceSpec,
    scorer: Scorer,
    work: Path,
    seed: int,
    on_progress: Progress,
) -> Any:
    from datasets import Dataset  # noqa: PLC0415
    from transformers import PrinterCallback  # noqa: PLC0415

    from everloop.adaptation.training.supervised import Report  # noqa: PLC0415

    config, kind = _trl(spec.preference.method)
    preference = spec.preference
    answers = len(prompts) * ANSWERS * preference.epochs
    steps = preference.max_steps or max(1, math.ceil(answers / effective_batch(spec)))
    settings = trainer_settings(spec, work / PHASE, seed, preference.learning_rate, steps)
    trainer = kind(
        model=model,
        reward_funcs=Rewards(scorer),
        args=config(
            **settings | {"max_steps": steps, "save_strategy": "no"},
            beta=preference.beta,
            num_generations=ANSWERS,
            max_completion_length=spec.generation.max_new_tokens,
            temperature=spec.generation.temperature,
            top_p=spec.generation.top_p,
        ),
        train_dataset=Dataset.from_list([{"prompt": turns(prompt)} for prompt in prompts]),
        processing_class=tokenizer,
        callbacks=[Report(PHASE, on_progress)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _trl(method: PreferenceMethod) -> tuple[Any, Any]:
    """Configuration and trainer of a method."""
    if method is PreferenceMethod.RLOO:
        from trl.trainer import rloo_config, rloo_trainer  # noqa: PLC0415

        return rloo_config.RLOOConfig, rloo_trainer.RLOOTrainer
    from trl.trainer import grpo_config, grpo_trainer  # noqa: PLC0415

    return grpo_config.GRPOConfig, grpo_trainer.GRPOTrainer


def _figures(
    trainer: Any,
    method: PreferenceMethod,
    adapter: AdapterFolder | None,
    published: AdapterFolder,
    steps: Sequence[StepLog],
    prompts: int,
) -> PhaseFigures:
    arguments, history = trainer.args, trainer.state.log_history
    each = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
    rows = each * arguments.world_size
    lengths = [entry["completions/mean_length"] for entry in history if "grad_norm" in entry]
    return PhaseFigures(
        phase=PHASE,
        method=method.value,
        examples=prompts,
        replayed=0,
        steps=trainer.state.global_step,
        warmup_steps=arguments.get_warmup_steps(trainer.state.max_steps),
        peak_learning_rate=max(step.learning_rate for step in steps),
        max_grad_norm=arguments.max_grad_norm,
        effective_batch=rows,
        first_loss=steps[0].loss,
        last_loss=steps[-1].loss,
        tokens=round(sum(length * rows for length in lengths)),
        seconds=float(history[-1]["train_runtime"]),
        adapter_in="" if adapter is None else adapter.sha256,
        adapter_out=published.sha256,
        reason=f"{method.value} is configured, and there is a reward model.",
    )
