"""Conversations in tokens, as they are learned from and as they are answered: one rule for both.

What a voice learns to follow is then what it is given. Control tokens in texts are broken up, last of all
that is done to a text, so that nobody can end a turn and begin another role's from inside one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from everloop.contracts.control_tokens import control_tokens
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.voices import Message

_LEAST_ROOM = 16
"""Tokens of the newest turn that are kept whatever else must go."""
_CHARACTERS = 12
"""Of a text, for every token of room, are looked at: what is older could not be kept anyway."""
_BROKEN = "\ufffd"
"""What a decoder writes where a character was cut in two."""


class ConversationTokens:
    """Renders by a Hugging Face tokenizer's chat template."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._control = control_tokens(tokenizer)

    def prompt(self, messages: Sequence[Message], room: int) -> list[int] | None:
        """Tokens up to where the answer begins, at most ``room``; None where nothing fits.

        A conversation that is too long keeps its system turn and its newest turns; where the newest turn
        alone is too long, it loses its beginning.

        Args:
            messages: at least one.

        Raises:
            ShouldFixArgument: a text holds a control token that cannot be broken up.
        """
        given = messages[:1] if messages[0].role == "system" and len(messages) > 1 else []
        system = [Message(turn.role, self.broken(turn.content)) for turn in given]
        said = self._newest(messages[len(system) :], room)
        while len(ids := self._ids([*system, *said])) > room and len(said) > 1:
            said = _shorter(said)
        return ids if len(ids) <= room else self._cut(system, said[-1], len(ids), room)

    def completion(self, text: str) -> list[int]:
        """Tokens of what the assistant says, its end of turn included; raises as ``prompt`` does."""
        return [*self._broken(text)[1], int(self._tokenizer.eos_token_id)]

    def broken(self, text: str) -> str:
        """The text without a control token; raises as ``prompt`` does."""
        return self._broken(text)[0]

    def _broken(self, text: str) -> tuple[str, list[int]]:
        broken = self._control.broken(text)
        ids = self._text_ids(broken)
        if self._control.stand_in(ids):
            raise ShouldFixArgument(
                "A text holds a control token in a form that cannot be broken up.",
                "Write it without.",
            )
        return broken, ids

    def _newest(self, said: Sequence[Message], room: int) -> list[Message]:
        """The newest turns whose texts alone have at most ``room`` tokens, at least one of them; each is
        tokenised once, and what lies too many characters back not at all."""
        kept: list[Message] = []
        tokens, characters = 0, _CHARACTERS * max(room, 1)
        for turn in reversed(said):
            if kept and len(turn.content) > characters:
                break
            text, ids = self._broken(turn.content[-characters:])
            tokens += len(ids)
            if kept and tokens > room:
                break
            kept.insert(0, Message(turn.role, text))
            characters -= len(text)
            if characters <= 0:
                break
        return _shorter(kept, 0) if len(kept) < len(said) else kept

    def _cut(
        self, system: list[Message], newest: Message, length: int, room: int
    ) -> list[int] | None:
        ids = self._text_ids(newest.content)
        kept = len(ids) - (length - room)
        while kept >= _LEAST_ROOM:
            end = self._tokenizer.decode(ids[-kept:], clean_up_tokenization_spaces=False)
            end = self.broken(end.lstrip(_BROKEN))
            cut = self._ids([*system, Message(newest.role, end)])
            if len(cut) <= room:
                return cut
            over = len(cut) - room  # another cut of the text has other tokens
            kept = max(kept - over, _LEAST_ROOM) if kept > _LEAST_ROOM else 0
        return None

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


def _shorter(said: list[Message], by: int = 1) -> list[Message]:
    """Without the oldest turns, and without an answer whose question went."""
    said = said[by:]
    return said[1:] if said[0].role == "assistant" and len(said) > 1 else said
