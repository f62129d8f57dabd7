"""Conversations in tokens, within the base's context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from everloop.contracts.control_tokens import control_tokens
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.voices import Message

_LEAST_ROOM = 16
"""Tokens of the newest turn that are kept whatever else must go."""
_CHARACTERS = 8
"""Of a text, for every token of the context, are looked at: what is older could not be kept anyway."""
_BROKEN = "\ufffd"
"""What a decoder writes where a character was cut in two."""


class Renderer:
    """Renders by the tokenizer's chat template.

    Control tokens in texts are broken up as in training, last of all that is done to a text, so that nobody
    can end a turn and begin another role's from inside one.

    Args:
        context_tokens: prompt and answer together have at most so many.
    """

    def __init__(self, tokenizer: Any, context_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._context = context_tokens
        self._control = control_tokens(tokenizer)

    def prompt(self, messages: Sequence[Message], reserved: int) -> list[int]:
        """Tokens up to where the answer begins.

        A conversation that is too long keeps its system turn and its newest turns; where the newest turn
        alone is too long, it loses its beginning.

        Args:
            reserved: tokens of the context that the answer takes.

        Raises:
            ShouldFixArgument: the system turn leaves no room for what was said.
        """
        room = self._context - reserved
        given = messages[:1] if messages[0].role == "system" and len(messages) > 1 else []
        system = [Message(turn.role, self._broken(turn.content)) for turn in given]
        said = self._newest(messages[len(system) :], room)
        while len(ids := self._ids([*system, *said])) > room and len(said) > 1:
            said = _shorter(said)
        return ids if len(ids) <= room else self._cut(system, said[-1], len(ids), room)

    def completion(self, text: str) -> list[int]:
        """Tokens of what the assistant says, its end of turn included."""
        return [*self._text_ids(self._broken(text)), int(self._tokenizer.eos_token_id)]

    def _newest(self, said: Sequence[Message], room: int) -> list[Message]:
        """The newest turns whose texts alone have at most ``room`` tokens, at least one of them; each is
        tokenised once, and what lies too many characters back not at all."""
        kept: list[Message] = []
        tokens, characters = 0, _CHARACTERS * self._context
        for turn in reversed(said):
            if kept and len(turn.content) > characters:
                break
            text = self._broken(turn.content[-characters:])
            tokens += len(self._text_ids(text))
            if kept and tokens > room:
                break
            kept.insert(0, Message(turn.role, text))
            characters -= len(text)
            if characters <= 0:
                break
        return _shorter(kept, 0) if len(kept) < len(said) else kept

    def _cut(self, system: list[Message], newest: Message, length: int, room: int) -> list[int]:
        ids = self._text_ids(newest.content)
        kept = len(ids) - (length - room)
        while kept >= _LEAST_ROOM:
            end = self._tokenizer.decode(ids[-kept:], clean_up_tokenization_spaces=False)
            end = self._broken(end.lstrip(_BROKEN))
            cut = self._ids([*system, Message(newest.role, end)])
            if len(cut) <= room:
                return cut
            kept -= len(cut) - room  # another cut of the text has other tokens
        raise ShouldFixArgument(
            f"A prompt of {length} tokens does not fit into {room}, however short what was said "
            "last is made.",
            "Shorten the system turn, or ask for a shorter answer.",
        )

    def _ids(self, turns: Sequence[Message]) -> list[int]:
        text = self._tokenizer.apply_chat_template(
            [{"role": turn.role, "content": turn.content} for turn in turns],
            tokenize=False,
            add_generation_prompt=True,
        )
        return self._text_ids(text)

    def _text_ids(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def _broken(self, text: str) -> str:
        broken = self._control.broken(text)
        if self._control.stand_in(self._text_ids(broken)):
            raise ShouldFixArgument(
                "A text holds a control token in a form that cannot be broken up.",
                "Write it without.",
            )
        return broken


def _shorter(said: list[Message], by: int = 1) -> list[Message]:
    """Without the oldest turns, and without an answer whose question went."""
    said = said[by:]
    return said[1:] if said[0].role == "assistant" and len(said) > 1 else said
