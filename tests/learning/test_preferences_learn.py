"""What people prefer is learned: prompts nobody trained on, against the same training on coin flips."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from everloop.adaptation.training.log_probabilities import score_all, teach_scoring
from everloop.adaptation.training.models import load_tokenizer, with_adapter
from everloop.adaptation.training.preference import tune_preferences
from everloop.adaptation.training.preference_examples import pair_examples
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import PreferenceSpec
from everloop.contracts.voices import TrainingDataInstance
from tests.voice_instances import pair, thumb, voice

SPEC = voice(PreferenceSpec(learning_rate=5e-3), batch_size=8, accumulation=1)
HELD_OUT = tuple(pair(number) for number in range(100, 124))


def _coin(instance: TrainingDataInstance, draws: random.Random) -> TrainingDataInstance:
    """The same example with a verdict that nobody gave."""
    if draws.random() < 0.5:
        return instance
    if instance.liked is not None:
        return replace(instance, liked=not instance.liked)
    assert instance.rejected is not None
    return replace(instance, completion=instance.rejected, rejected=instance.completion)


def _margins(base: BaseFolder, adapter: AdapterFolder) -> list[float]:
    """Chosen - rejected of each held-out pair, nats a token."""
    model = with_adapter(base, SPEC.lora, 0, adapter)
    teach_scoring(model.get_base_model())
    examples = pair_examples(HELD_OUT, Renderer(load_tokenizer(base), 512))
    sequences = [e.chosen for e in examples] + [e.rejected for e in examples]
    totals = score_all(model, sequences, 0, torch.device("cpu"))
    each = [
        total / len(sequence.completion) for total, sequence in zip(totals, sequences, strict=True)
    ]
    return [each[row] - each[row + len(examples)] for row in range(len(examples))]


@pytest.mark.parametrize(
    "instances",
    [
        tuple(pair(number) for number in range(40)),
        tuple(thumb(number, number % 2 == 0) for number in range(48)),
    ],
    ids=["dpo", "kto"],
)
def test_the_margin_rises_above_the_placebo(
    tiny_voice: BaseFolder,
    tmp_path: Path,
    instances: Sequence[TrainingDataInstance],
) -> None:
    draws, seed = random.Random(1), 1
    flipped = [_coin(instance, draws) for instance in instances]
    found = []
    for name, taught in (("candidate", instances), ("placebo", flipped)):
        adapter, _, _ = tune_preferences(
            tiny_voice, None, SPEC, taught, tmp_path / name, tmp_path / f"{name}-work", seed
        )
        found.append(_margins(tiny_voice, adapter))
    gains = [ours - theirs for ours, theirs in zip(*found, strict=True)]
    mean = sum(gains) / len(gains)
    spread = (sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1)) ** 0.5
    assert mean - 3 * spread / len(gains) ** 0.5 > 0.05
