"""Conversations in tokens, within the base's context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from everloop.contracts.conversation_tokens import ConversationTokens
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.voices import Message


class Renderer:
    """Renders as training does (``ConversationTokens``).

    Args:
        context_tokens: prompt and answer together have at most so many.
    """

    def __init__(self, tokenizer: Any, context_tokens: int) -> None:
        self._conversations = ConversationTokens(tokenizer)
        self._context = context_tokens

    def prompt(self, messages: Sequence[Message], reserved: int) -> list[int]:
        """Tokens up to where the answer begins.

        Args:
            reserved: tokens of the context that the answer takes.

        Raises:
            ShouldFixArgument: the system turn leaves no room for what was said, or a text holds a control
                token that cannot be broken up.
        """
        room = self._context - reserved
        found = self._conversations.prompt(messages, room)
        if found is None:
            raise ShouldFixArgument(
                f"A prompt does not fit into {room} tokens, however short what was said last is made.",
                "Shorten the system turn, or ask for a shorter answer.",
            )
        return found

    def completion(self, text: str) -> list[int]:
        """Tokens of what the assistant says, its end of turn included."""
        return self._conversations.completion(text)
