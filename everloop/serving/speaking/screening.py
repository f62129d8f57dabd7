"""The last look at an answer before anybody sees it: sentence by sentence, so that streams pass it too."""

from __future__ import annotations

import re

from everloop.contracts.screens import ToxicityScorer
from everloop.contracts.speaking import OutputScreen

SAFE = "I would rather not answer that. Shall we talk about something else?"
"""What is said in place of an answer that may not be shown."""
_ENDS = re.compile(r"[.!?…]+[\"')\]]*\s|\n")
_LONGEST = 400
"""Characters after which a sentence without an end is looked at as it is."""


class ToxicityScreen:
    """Implements ``OutputScreen``: refuses what scores above ``most`` in [0, 1]."""

    def __init__(self, scorer: ToxicityScorer, most: float) -> None:
        self._scorer, self._most = scorer, most

    def refusal(self, text: str) -> str:
        """See ``OutputScreen``."""
        return "toxic" if self._scorer.toxicity([text])[0] > self._most else ""


class ScreenedText:
    """Lets an answer out by whole sentences, each seen together with all before it.

    What was let out joins to ``text``. Once something is refused nothing more of it comes; ``refused`` says
    why, and ``instead`` what follows.
    """

    def __init__(self, screen: OutputScreen) -> None:
        self._screen = screen
        self._held = ""
        self.text = ""
        self.refused = ""

    def push(self, piece: str) -> str:
        """What may be shown since a piece came."""
        self._held += piece
        found = list(_ENDS.finditer(self._held))
        if found:
            return self._let_out(found[-1].end())
        return self._let_out(len(self._held)) if len(self._held) > _LONGEST else ""

    def finish(self) -> str:
        """What is left at the answer's end."""
        return self._let_out(len(self._held))

    @property
    def instead(self) -> str:
        """The safe sentence, as it follows what was let out; empty where nothing was refused."""
        if not self.refused:
            return ""
        return SAFE if not self.text or self.text[-1].isspace() else f" {SAFE}"

    def _let_out(self, count: int) -> str:
        if self.refused or not count:
            return ""
        shown = self._held[:count]
        self.refused = self._screen.refusal(self.text + shown)
        if self.refused:
            return ""
        self._held = self._held[count:]
        self.text += shown
        return shown
