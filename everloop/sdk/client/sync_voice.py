"""What the client asks for: a voice's answers and versions, and what it learned from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TypeVar

from everloop.sdk.client.answers.voice import LearnedInstance, SpokenAnswer, VoiceVersion
from everloop.sdk.client.call import Call
from everloop.sdk.client.calls import voice
from everloop.sdk.client.records import SpokenQuestion
from everloop.sdk.client.speech_events import SpeechEvents

T = TypeVar("T")


class VoiceData(ABC):
    """Versions of a voice and the training instances behind them."""

    def voice_versions(self, persona: str, user_id: str | None = None) -> tuple[VoiceVersion, ...]:
        """A persona's adapters, newest first; with ``user_id`` those of a person's twin."""
        return (self._ask(voice.voice_versions(persona, user_id))).versions

    def source_instances(self, source_id: str) -> tuple[LearnedInstance, ...]:
        """Everything that was made of a feedback, package, corpus row or test run to learn from."""
        return (self._ask(voice.source_instances(source_id))).instances

    def speak(self, question: SpokenQuestion) -> SpokenAnswer:
        """What the voice answers a person; logged by the service, so that feedback can name it."""
        return self._ask(voice.speak(question))

    def speak_in_pieces(self, question: SpokenQuestion) -> Iterator[str | SpokenAnswer]:
        """As ``speak``, in pieces of text as they are made; joined they are the last thing that comes, the
        answer. Sent once: asked again under the same ``log_id``, it is answered as before."""
        events = SpeechEvents()
        for data in self._streamed(voice.speak_in_pieces(question)):
            yield from events.fed(data)
        events.require_whole()

    @abstractmethod
    def _streamed(self, call: Call[T]) -> Iterator[bytes]:
        """Send a call once; its answer's bytes as they come."""

    @abstractmethod
    def _ask(self, call: Call[T]) -> T:
        """Send a call; its answer."""
