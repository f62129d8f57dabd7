"""How a voice is asked and what it answers: the port between models and whoever lets them speak."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.voice_spec import GenerationSpec
from everloop.contracts.voices import Message


@dataclass(frozen=True, slots=True)
class BaseFolder:
    """A base model ready to be loaded: plain bfloat16 safetensors, tokenizer, chat template.

    ``sha256``: of the list of its files' names and checksums; verified before every load.
    """

    name: str
    path: Path
    sha256: str
    license: str
    context_tokens: int


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """A trained adapter as PEFT saves it: ``adapter_model.safetensors`` and ``adapter_config.json``.

    ``version``: what answers carry; ``sha256``: of the list of its files' names and checksums.
    """

    version: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class SpeakRequest:
    """One conversation to be continued.

    Attributes:
        messages: the whole prompt, system turn included, as it is rendered.
        adapter: version of a loaded adapter; "" is the base alone.
        seed: of this answer's draws; the same request with the same seed gives the same text.
    """

    messages: tuple[Message, ...]
    adapter: str = ""
    seed: int = 0
    generation: GenerationSpec = field(default_factory=GenerationSpec)

    def __post_init__(self) -> None:
        if not self.messages or self.messages[-1].role == "assistant":
            raise ShouldFixArgument(
                "There is nothing to answer: the last turn is the assistant's, or there is none.",
                "End the conversation with what was said to it.",
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said. ``tokens``: generated, the end of turn included; ``ended``: it came to its own end."""

    text: str
    adapter: str
    tokens: int
    prompt_tokens: int
    ended: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class TextScore:
    """Log-probability of a completion after a prompt, end of turn included. ``tokens``: its length."""

    log_probability: float
    tokens: int

    def __post_init__(self) -> None:
        if self.tokens < 1 or not math.isfinite(self.log_probability):
            raise ShouldFixArgument(
                f"A score of {self.log_probability} over {self.tokens} tokens is no measure."
            )

    @property
    def per_token(self) -> float:
        """Mean over the tokens, in nats."""
        return self.log_probability / self.tokens


class Speaker(Protocol):
    """One base with versioned adapters. Answers of several adapters may be asked in one batch.

    Unknown adapters raise ``ShouldNameKnownId``; conversations longer than the context keep the system
    turn and the newest turns.
    """

    def answer(self, requests: Sequence[SpeakRequest]) -> tuple[Answer, ...]:
        """Answers in the order asked, made in one batch."""

    def stream(self, request: SpeakRequest) -> Iterator[str]:
        """The answer's text in pieces, as they are made; joined they are what ``answer`` gives."""

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str], adapter: str = ""
    ) -> tuple[TextScore, ...]:
        """How likely the completions are, in the order asked."""


class OutputScreen(Protocol):
    """Looks at what a voice is about to say. One that cannot be loaded lets nothing through."""

    def refusal(self, text: str) -> str:
        """Why a text must not be shown, in a word; "" where it may."""
