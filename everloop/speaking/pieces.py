"""An answer's text as its tokens come in: what was shown once never changes."""

from __future__ import annotations

from typing import Any

_LEFT_OUT = dict.fromkeys(
    [*(code for code in range(0x20) if chr(code) not in "\n\t"), *range(0x7F, 0xA0), 0xFFFD]
)
"""Control characters, and what a decoder writes for bytes that are no character, or not yet a whole one."""


class Pieces:
    """Turns tokens into text. Its pieces join to ``text``: without blanks at its ends, without control
    characters, and without the bytes of characters that never came to their end."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self.text = ""
        """What was shown so far."""

    def push(self, token: int) -> str:
        """What can be shown since the token came; empty where nothing can."""
        self._tokens.append(token)
        whole = self._tokenizer.decode(
            self._tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        # A trailing blank is held back until something follows it.
        shown = str(whole).translate(_LEFT_OUT).strip()
        piece = shown[len(self.text) :]
        self.text = shown
        return piece
