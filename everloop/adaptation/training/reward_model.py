"""A scorer of answers, learned from comparisons: an adapter and one output on the same base.

It is judged on people whom it never learned from, and there is none where comparisons are too few.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from everloop.adaptation.training.checkpoints import newest_checkpoint
from everloop.adaptation.training.models import load_tokenizer
from everloop.adaptation.training.order import phase_order, steps_of
from everloop.adaptation.training.preference_examples import pair_examples
from everloop.adaptation.training.progress import Progress, silent
from everloop.adaptation.training.publish import distance
from everloop.adaptation.training.rendering import Renderer
from everloop.adaptation.training.reward_weights import (
    RewardScorer,
    reward_tensors,
    save_reward_model,
    with_reward_head,
)
from everloop.adaptation.training.trainer_settings import (
    effective_batch,
    steps_of_log,
    trainer_settings,
)
from everloop.contracts.episodes import canonical_json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from everloop.contracts.intervals import critical, wilson
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import LearningTask, RewardModelFigures, TrainingDataInstance

if TYPE_CHECKING:
    from peft import PeftModel

PHASE = "reward_model"


def train_reward_model(
    base: BaseFolder,
    spec: VoiceSpec,
    pairs: Sequence[TrainingDataInstance],
    held_out: Sequence[TrainingDataInstance],
    out: Path,
    work: Path,
    seed: int,
    on_progress: Progress = silent,
) -> RewardModelFigures:
    """Learn from comparisons who scores higher, and write the scorer to ``out``.

    Too few comparisons to learn from, or none to judge by, are a refusal in the figures and leave ``out``
    alone.

    Args:
        pairs: preferences; anything else is passed over.
        held_out: preferences of people of whom none is among ``pairs``; they judge.
        work: checkpoints; the same folder lets a killed run go on to the same bytes.

    Raises:
        ShouldFixArgument: no weight moved, or somebody teaches and judges.
    """
    learned = [pair for pair in pairs if pair.task is LearningTask.PREFERENCE]
    judging = [pair for pair in held_out if pair.task is LearningTask.PREFERENCE]
    both = {pair.user_id for pair in learned} & {pair.user_id for pair in judging}
    if both:
        raise ShouldFixArgument(
            f"{len(both)} people would both teach the reward model and judge it.",
            "Hold people out, not rows.",
        )
    needed, refused = spec.reward_model.min_comparisons, ""
    if len(learned) < needed:
        refused = f"There are {len(learned)} comparisons to learn from, fewer than {needed}."
    elif not judging:
        refused = "Nobody who is held out has compared answers: nothing can judge a reward model."
    if refused:
        return _refusal(refused, learned, judging)
    began = time.monotonic()
    model, tokenizer = with_reward_head(base, spec.lora, seed), load_tokenizer(base)
    before = {name: tensor.clone() for name, tensor in reward_tensors(model).items()}
    renderer = Renderer(tokenizer, min(spec.phases.max_length, base.context_tokens))
    rows = _rows(learned, renderer, spec, seed)
    folder = work / _terms(base, spec, learned, seed)
    trainer = _trainer(model, tokenizer, rows, spec, folder, seed, on_progress)
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder))
    moved = distance(reward_tensors(model), before)
    if not (math.isfinite(moved) and moved > 0.0):
        raise ShouldFixArgument(
            f"Training the reward model moved it by {moved}.", "Check reward_model.learning_rate."
        )
    sha256 = save_reward_model(model, base, spec, out)
    return RewardModelFigures(
        refused="",
        sha256=sha256,
        accuracy=accuracy_of(RewardScorer(base, out, sha256), judging, spec),
        train_pairs=len(learned),
        held_out_pairs=len(judging),
        train_people=_people(learned),
        held_out_people=_people(judging),
        steps=steps_of_log(trainer.state.log_history, PHASE),
        moved=moved,
        seconds=time.monotonic() - began,
    )


def accuracy_of(
    scorer: RewardScorer, pairs: Sequence[TrainingDataInstance], spec: VoiceSpec
) -> Estimate:
    """Share of pairs whose preferred answer scores higher, ties half.

    Wilson's interval with one trial a person: as if each person's pairs all said the same, the least that
    they can say together.
    """
    prompts = [pair.prompt for pair in pairs]
    chosen = scorer.score(prompts, [pair.completion for pair in pairs])
    rejected = scorer.score(prompts, [pair.rejected or "" for pair in pairs])
    right = [
        0.5 if one == other else float(one > other)
        for one, other in zip(chosen, rejected, strict=True)
    ]
    share, people = sum(right) / len(right), _people(pairs)
    confidence = spec.thresholds.confidence
    low, high = wilson(share, people, critical(confidence))
    return Estimate(
        "reward model's pair accuracy",
        share,
        low,
        high,
        confidence,
        len(pairs),
        people,
        "Wilson, one trial a person",
    )


def _refusal(
    reason: str, learned: Sequence[TrainingDataInstance], held_out: Sequence[TrainingDataInstance]
) -> RewardModelFigures:
    return RewardModelFigures(
        refused=reason,
        sha256="",
        accuracy=None,
        train_pairs=len(learned),
        held_out_pairs=len(held_out),
        train_people=_people(learned),
        held_out_people=_people(held_out),
    )


def _people(pairs: Sequence[TrainingDataInstance]) -> int:
    return len({pair.user_id for pair in pairs if pair.user_id is not None})


def _rows(
    pairs: Sequence[TrainingDataInstance], renderer: Renderer, spec: VoiceSpec, seed: int
) -> list[dict[str, Any]]:
    examples = pair_examples(pairs, renderer)
    lengths = np.array([len(each.chosen) + len(each.rejected) for each in examples])
    order = phase_order(
        np.arange(len(examples)),
        lengths,
        spec.reward_model.epochs,
        None,
        effective_batch(spec),
        np.random.default_rng(seed),
    )
    return [
        {
            "chosen_ids": [*examples[row].chosen.prompt, *examples[row].chosen.completion],
            "rejected_ids": [*examples[row].rejected.prompt, *examples[row].rejected.completion],
            "weight": examples[row].weight,
        }
        for row in order
    ]


def _terms(
    base: BaseFolder, spec: VoiceSpec, pairs: Sequence[TrainingDataInstance], seed: int
) -> str:
    told = [
        base.sha256,
        spec.model_dump_json(),
        [[pair.instance_id, pair.weight] for pair in pairs],
        seed,
    ]
    return f"{PHASE}-{hashlib.sha256(canonical_json(told).encode()).hexdigest()[:16]}"


def _trainer(
    model: PeftModel,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    spec: VoiceSpec,
    folder: Path,
    seed: int,
    on_progress: Progress,
) -> Any:
    from datasets import Dataset  # noqa: PLC0415
    from trl.trainer.reward_config import RewardConfig  # noqa: PLC0415

    from everloop.adaptation.training.reward_trainer import (  # noqa: PLC0415
        PairCollator,
        WeightedRewardTrainer,
    )
    from everloop.adaptation.training.supervised import Report  # noqa: PLC0415

    settings = trainer_settings(
        spec,
        folder,
        seed,
        rate=spec.reward_model.learning_rate,
        steps=steps_of(len(rows), 1.0, None, effective_batch(spec)),
    )
    return WeightedRewardTrainer(
        model=model,
        args=RewardConfig(**settings, max_length=None, train_sampling_strategy="sequential"),
        train_dataset=Dataset.from_list(list(rows)),
        processing_class=tokenizer,
        data_collator=PairCollator(int(tokenizer.pad_token_id)),
        callbacks=[Report(PHASE, on_progress)],
    )
