"""Preference tuning of the one adapter: DPO from comparisons and corrections, KTO from thumbs.

The adapter goes on from where it is, and where it is is the reference: its log-probabilities are computed
once, before the first step. A killed run goes on from its newest whole checkpoint to the same bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from everloop.adaptation.training.checkpoints import newest_checkpoint
from everloop.adaptation.training.log_probabilities import TokenSequence, score_all, teach_scoring
from everloop.adaptation.training.models import load_tokenizer, with_adapter
from everloop.adaptation.training.order import phase_order, steps_of
from everloop.adaptation.training.preference_examples import (
    MethodChoice,
    PairExample,
    ThumbExample,
    choose_method,
    pair_examples,
    thumb_examples,
)
from everloop.adaptation.training.progress import Progress, silent
from everloop.adaptation.training.publish import distance, publish, trained_tensors
from everloop.adaptation.training.rendering import Renderer
from everloop.adaptation.training.trainer_settings import (
    effective_batch,
    steps_of_log,
    trainer_settings,
)
from everloop.contracts.episodes import canonical_json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import PreferenceMethod, VoiceSpec
from everloop.contracts.voices import PhaseFigures, StepLog, TrainingDataInstance

if TYPE_CHECKING:
    from peft import PeftModel

PHASE = "preference"
Tuned = tuple[AdapterFolder, tuple[PhaseFigures, ...], tuple[StepLog, ...]]


def tune_preferences(
    base: BaseFolder,
    adapter: AdapterFolder | None,
    spec: VoiceSpec,
    instances: Sequence[TrainingDataInstance],
    out: Path,
    work: Path,
    seed: int,
    on_progress: Progress = silent,
    chosen: PreferenceMethod | None = None,
) -> Tuned:
    """Teach an adapter what people prefer, and publish it in ``out``.

    Batch, warm-up, cosine, norm and length are the curriculum's; rate, beta and epochs are
    ``spec.preference``'s.

    Args:
        adapter: the one that goes on; None for a new one.
        instances: preferences and thumbs are used, anything else is passed over.
        work: checkpoints; the same folder lets a killed run go on.
        seed: of the order of examples and of a new adapter.
        chosen: DPO or KTO, as the strategy chose; None: what ``choose_method`` finds enough for.

    Raises:
        ShouldCollectMoreData: there is nothing that the method learns from.
        ShouldFixArgument: the method is on-policy or none, or no weight moved.
    """
    choice = choose_method(spec, instances, chosen)
    tokenizer = load_tokenizer(base)
    renderer = Renderer(tokenizer, min(spec.phases.max_length, base.context_tokens))
    model = with_adapter(base, spec.lora, seed, adapter)
    teach_scoring(model.get_base_model())
    before = {name: tensor.clone() for name, tensor in trained_tensors(model).items()}
    if choice.method is PreferenceMethod.DPO:
        rows = _pair_rows(model, pair_examples(instances, renderer), tokenizer)
    else:
        rows = _thumb_rows(model, thumb_examples(instances, renderer, seed), tokenizer)
    folder = work / _terms(base, adapter, spec, instances, seed, choice.method)
    trainer = _trainer(choice.method, model, tokenizer, rows, spec, folder, seed, on_progress)
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder))
    moved = distance(trained_tensors(model), before)
    if not (math.isfinite(moved) and moved > 0.0):
        raise ShouldFixArgument(
            f"Preference tuning moved the adapter by {moved}.",
            "Check preference.learning_rate and the versions of trl and peft.",
        )
    published = publish(model, base, out)
    steps = steps_of_log(trainer.state.log_history, PHASE)
    return published, (_figures(trainer, choice, adapter, published, steps, len(rows)),), steps


def _pair_rows(
    model: PeftModel, examples: Sequence[PairExample], tokenizer: Any
) -> list[dict[str, Any]]:
    chosen = [example.chosen for example in examples]
    rejected = [example.rejected for example in examples]
    reference = _reference(model, [*chosen, *rejected], tokenizer)
    return [
        {
            **_columns("chosen", example.chosen),
            **_columns("rejected", example.rejected),
            "ref_chosen": reference[row],
            "ref_rejected": reference[row + len(examples)],
            "weight": example.weight,
        }
        for row, example in enumerate(examples)
    ]


def _thumb_rows(
    model: PeftModel, examples: Sequence[ThumbExample], tokenizer: Any
) -> list[dict[str, Any]]:
    said = [example.said for example in examples]
    mismatched = [example.mismatched for example in examples]
    reference = _reference(model, [*said, *mismatched], tokenizer)
    return [
        {
            **_columns("said", example.said),
            **_columns("mismatched", example.mismatched),
            "ref_said": reference[row],
            "ref_mismatched": reference[row + len(examples)],
            "liked": float(example.liked),
            "weight": example.weight,
        }
        for row, example in enumerate(examples)
    ]


def _reference(
    model: PeftModel, sequences: Sequence[TokenSequence], tokenizer: Any
) -> tuple[float, ...]:
    """What the starting adapter says of every answer."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    return score_all(model, sequences, int(tokenizer.pad_token_id), device)


def _columns(name: str, sequence: TokenSequence) -> dict[str, list[int]]:
    return {
        f"{name}_prompt": list(sequence.prompt),
        f"{name}_completion": list(sequence.completion),
    }


def _terms(
    base: BaseFolder,
    adapter: AdapterFolder | None,
    spec: VoiceSpec,
    instances: Sequence[TrainingDataInstance],
    seed: int,
    method: PreferenceMethod,
) -> str:
    """Name of a run's checkpoints: what decides its result; another run never goes on from them."""
    told = [
        base.sha256,
        "" if adapter is None else adapter.sha256,
        spec.model_dump_json(),
        [[instance.instance_id, instance.weight] for instance in instances],
        seed,
        method.value,
    ]
    return f"{PHASE}-{hashlib.sha256(canonical_json(told).encode()).hexdigest()[:16]}"


def _trainer(
    method: PreferenceMethod,
    model: PeftModel,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    spec: VoiceSpec,
    folder: Path,
    seed: int,
    on_progress: Progress,
) -> Any:
    from datasets import Dataset  # noqa: PLC0415
    from trl.trainer.dpo_config import DPOConfig  # noqa: PLC0415
    from trl.trainer.kto_config import KTOConfig  # noqa: PLC0415

    from everloop.adaptation.training.preference_trainers import (  # noqa: PLC0415
        PairTrainer,
        PreferenceCollator,
        ThumbTrainer,
    )
    from everloop.adaptation.training.supervised import Report  # noqa: PLC0415

    pairs = method is PreferenceMethod.DPO
    ordered = _ordered(rows, spec, seed)
    settings = trainer_settings(
        spec,
        folder,
        seed,
        rate=spec.preference.learning_rate,
        steps=steps_of(len(ordered), 1.0, None, effective_batch(spec)),
        least_batch=1 if pairs else 2,
    )
    config = (DPOConfig if pairs else KTOConfig)(
        **settings, beta=spec.preference.beta, max_length=None, train_sampling_strategy="sequential"
    )
    names = ("chosen", "rejected") if pairs else ("said", "mismatched")
    return (PairTrainer if pairs else ThumbTrainer)(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(ordered),
        processing_class=tokenizer,
        data_collator=PreferenceCollator(int(tokenizer.pad_token_id), names),
        callbacks=[Report(PHASE, on_progress)],
    )


def _ordered(rows: Sequence[dict[str, Any]], spec: VoiceSpec, seed: int) -> list[dict[str, Any]]:
    lengths = np.array(
        [sum(len(value) for value in row.values() if isinstance(value, list)) for row in rows]
    )
    order = phase_order(
        np.arange(len(rows)),
        lengths,
        spec.preference.epochs,
        spec.preference.max_steps,
        effective_batch(spec),
        np.random.default_rng(seed),
    )
    return [rows[index] for index in order]


def _figures(
    trainer: Any,
    choice: MethodChoice,
    adapter: AdapterFolder | None,
    published: AdapterFolder,
    steps: Sequence[StepLog],
    examples: int,
) -> PhaseFigures:
    arguments, history = trainer.args, trainer.state.log_history
    each = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
    return PhaseFigures(
        phase=PHASE,
        method=choice.method.value,
        examples=examples,
        replayed=0,
        steps=trainer.state.global_step,
        warmup_steps=arguments.get_warmup_steps(trainer.state.max_steps),
        peak_learning_rate=max(step.learning_rate for step in steps),
        max_grad_norm=arguments.max_grad_norm,
        effective_batch=each * arguments.world_size,
        first_loss=steps[0].loss,
        last_loss=steps[-1].loss,
        tokens=int(sum(entry["tokens"] for entry in history if "grad_norm" in entry)),
        seconds=sum(entry["seconds"] for entry in history if "grad_norm" in entry),
        adapter_in="" if adapter is None else adapter.sha256,
        adapter_out=published.sha256,
        reason=choice.reason,
    )
