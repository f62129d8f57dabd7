"""Voices of a service that speak without a model."""

from __future__ import annotations

from everloop.serving.speaking.voices import Voices
from everloop.wiring import Workspace
from tests.fake_speaker import FakeSpeaker

FORBIDDEN = "forbidden"
"""A word that the screen lets nobody hear."""


class WordScreen:
    """Implements ``OutputScreen``: refuses texts with ``FORBIDDEN`` in them."""

    def refusal(self, text: str) -> str:
        """See ``OutputScreen``."""
        return "word" if FORBIDDEN in text else ""


def fake_voices(workspace: Workspace, speaker: FakeSpeaker | None = None) -> Voices:
    """What a workspace deploys, spoken by a fake."""
    return Voices(workspace, lambda _: speaker or FakeSpeaker(), lambda _: WordScreen())
