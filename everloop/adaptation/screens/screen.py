"""The screen that training examples pass: personal data, abuse, language, in this order."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.adaptation.screens.language import BundledLanguageTeller
from everloop.adaptation.screens.pii import PersonalDataScreen
from everloop.adaptation.screens.toxicity import ProfanityScorer
from everloop.contracts.screens import LanguageTeller, PersonalDataFinder, ToxicityScorer
from everloop.contracts.voice_spec import DataSpec

SURE = 0.6
"""Probability from which a text counts as being in another language."""


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

    def reason(self, texts: Sequence[str]) -> str:
        """Why an example is kept out: ``pii``, ``toxic``, ``language``; "" when it may stay.

        It is toxic where a text scores above ``max_toxicity``; in another language where one text of it is
        surely in none of ``languages``.
        """
        if any(self._personal.personal_data(text) for text in texts):
            return "pii"
        if any(score > self._spec.max_toxicity for score in self._abuse.toxicity(texts)):
            return "toxic"
        guesses = self._teller.languages(texts)
        if any(
            guess.probability >= SURE and guess.language not in self._spec.languages
            for guess in guesses
        ):
            return "language"
        return ""
