"""The voice benchmark's own parts: its goals, and rows that fit whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.voice.__main__ import METHODS, SYSTEMS, _goals, _turned
from bench.voice.problem import QUICK, _tokens, texts, tokens, voice
from everloop.adaptation.training.models import load_tokenizer
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voices import LearningTask
from tests.voice_examples import correction


def _round(sft: tuple[float, float], dpo: tuple[float, float]) -> dict[tuple[str, str], dict]:
    """(tokens a second, MiB) of ours; TRL's are 100 and 1000."""
    ours = dict(zip(METHODS, (sft, dpo), strict=True))
    return {
        (system, method): dict(
            zip(
                ("tokens_per_cpu_s", "peak_mb"),
                ours[method] if system == "everloop" else (100.0, 1000.0),
                strict=True,
            )
        )
        for system in SYSTEMS
        for method in METHODS
    }


def test_both_methods_have_to_reach_a_goal() -> None:
    tokens_goal, memory_goal = _goals(
        [_round((150.0, 90.0), (120.0, 500.0)), _round((90.0, 300.0), (200.0, 800.0))]
    )

    assert (tokens_goal.name, memory_goal.name) == (
        "tokens_ratio_vs_trl",
        "peak_memory_ratio_vs_trl",
    )
    assert (tokens_goal.measured.low, tokens_goal.measured.high) == (0.9, 1.2)
    assert (memory_goal.measured.low, memory_goal.measured.high) == (0.5, 0.8)
    assert tokens_goal.met
    assert memory_goal.met  # the median of .5 and .8 is .65


def test_rounds_begin_with_another_system() -> None:
    assert [_turned(SYSTEMS, number)[0] for number in range(4)] == [*SYSTEMS, SYSTEMS[0]]


def test_a_row_that_would_be_cut_counts_nothing(tiny_voice: BaseFolder) -> None:
    renderer = Renderer(load_tokenizer(tiny_voice), 64)
    short, long = correction("Hello?", "Hello!"), correction("Hello? " * 40, "Hello!")

    assert _tokens(renderer, long) == 0
    assert renderer.max_length == 64
    prompt, completion = renderer.tokens(short.prompt, short.completion)
    assert _tokens(renderer, short) == len(prompt) + len(completion)
    pair = replace(short, task=LearningTask.PREFERENCE, rejected="Hello!")
    assert tokens(renderer, [pair]) == 2 * _tokens(renderer, short)


def test_texts_are_as_many_as_asked_for() -> None:
    assert len(texts(300)) == 300


def test_the_batch_is_the_goals() -> None:
    curriculum = voice(QUICK).phases

    assert curriculum.batch_size * curriculum.accumulation == 32
    assert curriculum.phases[0].max_steps == QUICK.steps == pytest.approx(2)
