"""Training instances as what the model reads and what it must say, in tokens.

The loss is of the completion alone, its end of turn included, so that the voice learns to stop. What is
rendered is the conversation: no category, source or any other word of an instance's metadata.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from everloop.contracts.conversation_tokens import ConversationTokens
from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput
from everloop.contracts.voices import LearningTask, Message, TrainingDataInstance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""Label of a position that gives no gradient."""
TOO_LONG, SPECIAL = "too_long", "special_token"
"""Why a row is left out: its completion leaves no room for what was said, or a text holds a control token
in a form that cannot be broken up."""


class Turn(TypedDict):
    """A message as chat templates read it."""

    role: str
    content: str


class ConversationalRow(TypedDict):
    """An example in the form that Hugging Face's trainers read."""

    prompt: list[Turn]
    completion: list[Turn]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One example in tokens. ``labels``: ``input_ids`` where the completion is, ``IGNORED`` before.

    ``weight``: in (0, 1], what its gradient is multiplied by.
    """

    input_ids: list[int]
    labels: list[int]
    weight: float

    @property
    def completion(self) -> list[int]:
        """The tokens that give a gradient."""
        return [label for label in self.labels if label != IGNORED]


def conversational_row(instance: TrainingDataInstance) -> ConversationalRow:
    """``{"prompt": [...], "completion": [...]}``: the conversation's turns and nothing else."""
    return {
        "prompt": turns(instance.prompt),
        "completion": [{"role": "assistant", "content": instance.completion}],
    }


def turns(messages: Sequence[Message]) -> list[Turn]:
    """Messages as chat templates read them."""
    return [{"role": message.role, "content": message.content} for message in messages]


class Renderer:
    """Renders rows as the voice will read them (``ConversationTokens``), in at most ``max_length`` tokens.

    A prompt that is too long is shortened as it is where the voice speaks; the completion is never cut.
    ``left_out`` counts what could not be rendered, by reason.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self._tokenizer = tokenizer
        self.max_length = max_length
        self.left_out: Counter[str] = Counter()
        if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
            raise ShouldFixInput(
                f"The tokenizer {tokenizer.name_or_path} has no chat template or no end of turn.",
                "Prepare a base that was made for conversations.",
            )
        self._conversations = ConversationTokens(tokenizer)

    def rows(self, instances: Iterable[TrainingDataInstance]) -> Iterator[TokenRow]:
        """The instances that say what should have been said, in their order; others are passed over."""
        for instance in instances:
            if instance.task is not LearningTask.SFT:
                continue
            row = self.row(instance)
            if row is not None:
                yield row

    def row(self, instance: TrainingDataInstance) -> TokenRow | None:
        """One instance in tokens; None where it is left out."""
        tokens = self.tokens(instance.prompt, instance.completion)
        if tokens is None:
            return None
        prompt, completion = tokens
        return TokenRow(
            prompt + completion, [IGNORED] * len(prompt) + completion, float(instance.weight)
        )

    def tokens(
        self, prompt: Sequence[Message], completion: str
    ) -> tuple[list[int], list[int]] | None:
        """Tokens of a prompt up to where the answer begins, and of an answer up to its end of turn; None
        where they are left out.

        Raises:
            ShouldFixInput: the chat template loses the completion or its end of turn.
        """
        try:
            completion = self._conversations.broken(completion)
            after = self._conversations.completion(completion)
            before = self._conversations.prompt(prompt, self.max_length - len(after))
        except ShouldFixArgument:
            self.left_out[SPECIAL] += 1
            return None
        self._require_whole(turns(prompt), completion)
        if before is None:
            self.left_out[TOO_LONG] += 1
            return None
        return before, after

    def _require_whole(self, prompt: list[Turn], completion: str) -> None:
        """What the template writes of an answer is the answer and its end of turn."""
        tokenizer = self._tokenizer
        before = self._text(prompt, answering=True)
        whole = self._text([*prompt, {"role": "assistant", "content": completion}], answering=False)
        if not whole.startswith(before):
            raise ShouldFixInput(
                f"The chat template of {tokenizer.name_or_path} renders a prompt otherwise when "
                "its answer follows.",
                "Give the base a template that renders turn by turn.",
            )
        said, end, _ = whole[len(before) :].partition(str(tokenizer.eos_token))
        if not end:
            raise ShouldFixInput(
                f"The chat template of {tokenizer.name_or_path} does not end an answer by "
                f"{tokenizer.eos_token}: a voice that learned from it would never stop.",
                "Give the base a template that ends each turn by the tokenizer's end of sequence.",
            )
        if said.split() != completion.split():
            raise ShouldFixInput(
                f"The chat template of {tokenizer.name_or_path} renders the answer {completion!r} "
                f"as {said!r}.",
                "Give the base a template that renders a turn's text as it is.",
            )

    def _text(self, messages: list[Turn], *, answering: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                [{"role": turn["role"], "content": turn["content"]} for turn in messages],
                tokenize=False,
                add_generation_prompt=answering,
            )
        )


def decoded_labels(tokenizer: PreTrainedTokenizerBase, labels: Sequence[int]) -> str:
    """The text that gives a gradient, special tokens included."""
    kept = np.asarray([label for label in labels if label != IGNORED])
    return str(tokenizer.decode(kept.tolist()))
