"""Quick screens for tests of the sandbox: by a few words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from everloop.contracts.screens import LanguageGuess, PersonalData
from everloop.sandbox.panel import Screens

_ABUSE = re.compile(r"\b(idiot|damn|hate you|vermin)\b", re.IGNORECASE)


class WordScreen:
    """All three screens, by words."""

    def toxicity(self, texts: Sequence[str]) -> tuple[float, ...]:
        return tuple(0.95 if _ABUSE.search(text) else 0.02 for text in texts)

    def personal_data(self, text: str) -> tuple[PersonalData, ...]:
        found = re.finditer(r"\d{6,}|\S+@\S+", text)
        return tuple(PersonalData("contact", each.start(), each.end()) for each in found)

    def languages(self, texts: Sequence[str]) -> tuple[LanguageGuess, ...]:
        return tuple(LanguageGuess("en", 0.9) for _ in texts)


SCREENS = Screens(WordScreen(), WordScreen(), WordScreen())
