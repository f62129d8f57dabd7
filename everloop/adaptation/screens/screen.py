"""The screen that training examples pass: personal data, abuse, language, in this order."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.adaptation.screens.language import BundledLanguageTeller
from everloop.adaptation.screens.pii import PersonalDataScreen
from everloop.adaptation.screens.toxicity import ProfanityScorer
from everloop.contracts.screens import (
    LanguageGuess,
    LanguageTeller,
    PersonalDataFinder,
    ToxicityScorer,
)
from everloop.contracts.voice_spec import DataSpec

SURE = 0.6
"""Probability from which a text counts as being in another language."""
ORDER = ("pii", "toxic", "language")
"""Which reason is told where several hold."""
_REMEMBERED = 100_000


class VoiceScreen:
    """Implements ``everloop.adaptation.filters.Screen``; one that cannot be loaded lets nothing through.

    Raises:
        ShouldRestoreArtefact: a package or model that it needs is missing or another.
    """

    def __init__(
        self,
        spec: DataSpec,
        personal: PersonalDataFinder | None = None,
        abuse: ToxicityScorer | None = None,
        teller: LanguageTeller | None = None,
    ) -> None:
        self._spec = spec
        self._personal = personal or PersonalDataScreen()
        self._abuse = abuse or ProfanityScorer()
        self._teller = teller or BundledLanguageTeller()
        # A conversation's turns are asked about again with every later turn.
        self._known: dict[str, str] = {}

    def reason(self, texts: Sequence[str]) -> str:
        """Why an example is kept out: ``pii``, ``toxic``, ``language``; "" when it may stay.

        It is toxic where a text scores above ``max_toxicity``; in another language where one text of it is
        surely in none of ``languages``.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        found = dict(zip(new, self._looked_at(new), strict=True)) if new else {}
        reasons = {found[text] if text in found else self._known[text] for text in texts}
        if len(self._known) + len(found) > _REMEMBERED:
            self._known.clear()
        self._known |= found
        return next((reason for reason in ORDER if reason in reasons), "")

    def _looked_at(self, texts: Sequence[str]) -> list[str]:
        scores = self._abuse.toxicity(texts)
        guesses = self._teller.languages(texts)
        return [
            self._why(text, score, guess)
            for text, score, guess in zip(texts, scores, guesses, strict=True)
        ]

    def _why(self, text: str, score: float, guess: LanguageGuess) -> str:
        if self._personal.personal_data(text):
            return "pii"
        if score > self._spec.max_toxicity:
            return "toxic"
        foreign = guess.language not in self._spec.languages
        return "language" if guess.probability >= SURE and foreign else ""
