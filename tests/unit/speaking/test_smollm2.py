"""The base that the companion speaks with: dequantised from its wheel, whole, and sensible."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.contracts.speaking import SpeakRequest
from everloop.contracts.voice_spec import GenerationSpec
from everloop.contracts.voices import Message
from everloop.loops import load
from everloop.speaking.base import prepare_base
from everloop.speaking.engine import Engine

pytestmark = pytest.mark.slow


def test_the_companions_base_is_prepared_and_answers(tmp_path: Path) -> None:
    voice = load("companion").voice
    assert voice is not None
    base = prepare_base(voice.base, tmp_path)
    engine = Engine(base, device="cpu")
    tokenizer = engine._tokenizer
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token != tokenizer.eos_token
    # The model was taught digits one by one, which transformers does not read from GGUF.
    assert tokenizer.convert_ids_to_tokens(tokenizer("2026")["input_ids"]) == list("2026")
    greedy = GenerationSpec(max_new_tokens=24, temperature=0, repetition_penalty=1.0)
    asked = (Message("user", "What is the capital of France?"),)
    answer = engine.answer([SpeakRequest(asked, generation=greedy)])[0]
    assert "Paris" in answer.text
    assert answer.ended
    likely, unlikely = engine.score([asked, asked], ["Paris.", "Cucumber."])
    assert likely.log_probability > unlikely.log_probability + 5.0
