"""Training instances as what the model reads and what it must say, in tokens.

The loss is of the completion alone, its end of turn included, so that the voice learns to stop. What is
rendered is the conversation: no category, source or any other word of an instance's metadata.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from everloop.contracts.control_tokens import control_tokens
from everloop.contracts.errors import ShouldFixInput
from everloop.contracts.voices import LearningTask, Message, TrainingDataInstance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""Label of a position that gives no gradient."""
TOO_LONG, SPECIAL = "too_long", "special_token"
"""Why a row is left out: its completion does not fit, or a text holds a control token in a form that cannot
be broken up."""


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
    """Renders rows by a tokenizer's chat template, each of at most ``max_length`` tokens.

    A prompt that is too long loses its oldest turns, its system turn last, and then its oldest tokens;
    the completion is never cut. Control tokens in texts are broken up, as they are where the voice speaks:
    nobody's text begins or ends a turn. ``left_out`` counts what could not be rendered, by reason.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self._tokenizer = tokenizer
        self.max_length = max_length
        self._control = control_tokens(tokenizer)
        self.left_out: Counter[str] = Counter()
        if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
            raise ShouldFixInput(
                f"The tokenizer {tokenizer.name_or_path} has no chat template or no end of turn.",
                "Prepare a base that was made for conversations.",
            )

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
        prompt = [Message(turn.role, self._control.broken(turn.content)) for turn in prompt]
        completion = self._control.broken(completion)
        texts = [*(turn.content for turn in prompt), completion]
        if any(self._control.stand_in(self._text_ids(text)) for text in texts):
            self.left_out[SPECIAL] += 1
            return None
        before, after = self._split(turns(prompt), [{"role": "assistant", "content": completion}])
        self._require_whole(after, completion)
        room = self.max_length - len(after)
        if room < 1:
            self.left_out[TOO_LONG] += 1
            return None
        return self._shortened(prompt, before, room), after

    def _split(self, prompt: list[Turn], completion: list[Turn]) -> tuple[list[int], list[int]]:
        before = self._ids(prompt, answering=True)
        whole = self._ids(prompt + completion, answering=False)
        if whole[: len(before)] != before:
            raise ShouldFixInput(
                f"The chat template of {self._tokenizer.name_or_path} renders a prompt otherwise when "
                "its answer follows.",
                "Give the base a template that renders turn by turn.",
            )
        after = whole[len(before) :]
        end = self._tokenizer.eos_token_id
        # What a template writes after the end of turn is never generated.
        return before, after[: after.index(end) + 1] if end in after else after

    def _ids(self, messages: list[Turn], *, answering: bool) -> list[int]:
        rendered: Any = self._tokenizer.apply_chat_template(
            [{"role": turn["role"], "content": turn["content"]} for turn in messages],
            tokenize=True,
            add_generation_prompt=answering,
            return_dict=True,
        )
        return list(rendered["input_ids"])

    def _text_ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _require_whole(self, completion: list[int], text: str) -> None:
        """The decoded labels are the completion and its end of turn."""
        tokenizer = self._tokenizer
        if not completion or completion[-1] != tokenizer.eos_token_id:
            raise ShouldFixInput(
                f"The chat template of {tokenizer.name_or_path} does not end an answer by "
                f"{tokenizer.eos_token}: a voice that learned from it would never stop.",
                "Give the base a template that ends each turn by the tokenizer's end of sequence.",
            )
        said = " ".join(str(tokenizer.decode(completion[:-1])).split())
        wanted = tokenizer.decode(self._text_ids(text))
        if said != " ".join(str(wanted).split()):
            raise ShouldFixInput(
                f"The chat template of {tokenizer.name_or_path} renders the answer {text!r} as "
                f"{said!r}.",
                "Give the base a template that renders a turn's text as it is.",
            )

    def _shortened(self, messages: Sequence[Message], prompt: list[int], room: int) -> list[int]:
        """The prompt without its oldest turns, in at most ``room`` tokens."""
        if len(prompt) <= room:
            return prompt
        system = [message for message in messages if message.role == "system"]
        others = [message for message in messages if message.role != "system"]
        for first in range(1, len(others)):
            kept = self._ids(turns([*system, *others[first:]]), answering=True)
            if len(kept) <= room:
                return kept
        last = self._ids(turns(others[-1:] or messages[-1:]), answering=True)
        return last[-room:]


def decoded_labels(tokenizer: PreTrainedTokenizerBase, labels: Sequence[int]) -> str:
    """The text that gives a gradient, special tokens included."""
    kept = np.asarray([label for label in labels if label != IGNORED])
    return str(tokenizer.decode(kept.tolist()))
