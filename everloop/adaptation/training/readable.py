"""Which rows a training can render, so that two trainings to compare leave out the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import TrainingDataInstance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def readable(
    rows: Iterable[TrainingDataInstance],
    spec: VoiceSpec,
    tokenizer: PreTrainedTokenizerBase,
    context_tokens: int,
) -> Iterator[TrainingDataInstance]:
    """The rows of which every text fits the curriculum's length and the base's context, in their order."""
    renderer = Renderer(tokenizer, min(spec.phases.max_length, context_tokens))
    for row in rows:
        texts = (row.completion,) if row.rejected is None else (row.completion, row.rejected)
        if all(text.strip() and renderer.tokens(row.prompt, text) is not None for text in texts):
            yield row
