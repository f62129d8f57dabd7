"""Tokens that steer a model, and texts that cannot become them: one rule for training and serving.

A chat template marks with them whose turn begins and ends. Whoever can write one can speak as the system.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_ROUNDS = 3
"""How often what a break has made anew is broken; what is left then is taken out."""


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class ControlTokens:
    """Control tokens of a tokenizer.

    Attributes:
        names: as they are written, the longest first.
        ids: what no text of anybody may be tokenised to.
        normalised: what the tokenizer makes of a text before it looks for tokens in it.
    """

    names: tuple[str, ...]
    ids: frozenset[int]
    normalised: Callable[[str], str] = _as_it_is

    def broken(self, text: str) -> str:
        """The text with a blank inside every control token. To be asked last, of the text as it is
        rendered: whatever is taken out of it afterwards can make a token again."""
        if self._has(text):
            return self._apart(text)
        if self.normalised is not _as_it_is and self._has(normal := self.normalised(text)):
            return self._apart(normal)
        return text

    def stand_in(self, tokens: Sequence[int]) -> bool:
        """Whether a tokenised text holds a control token after all."""
        return not self.ids.isdisjoint(tokens)

    def _has(self, text: str) -> bool:
        return any(name in text for name in self.names)

    def _apart(self, text: str) -> str:
        for _ in range(_ROUNDS):
            for name in self.names:
                text = text.replace(name, f"{name[0]} {name[1:]}" if len(name) > 1 else " ")
            if not self._has(text):
                return text
        while self._has(text):  # a name with a blank in it, which every break makes again
            for name in self.names:
                text = text.replace(name, "")
        return text


def control_tokens(tokenizer: Any) -> ControlTokens:
    """The special tokens of a Hugging Face tokenizer, and what else was added to it and its chat template
    writes. What stands for an unknown character steers nothing."""
    template = str(getattr(tokenizer, "chat_template", None) or "")
    added = {
        str(token.content): int(index)
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.special or str(token.content) in template
    }
    names = {name for name in (*added, *map(str, tokenizer.all_special_tokens)) if name.strip()}
    unknown = tokenizer.unk_token_id
    ids = {added[name] for name in names if name in added} - {unknown}
    return ControlTokens(
        tuple(sorted(names, key=lambda name: (-len(name), name))),
        frozenset(ids),
        _normaliser(tokenizer),
    )


def _normaliser(tokenizer: Any) -> Callable[[str], str]:
    found = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    if found is None:
        return _as_it_is

    def normalised(text: str) -> str:
        return str(found.normalize_str(text))

    return normalised
