"""What the asynchronous client asks for: a voice's answers and versions, and what it learned from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from everloop.sdk.client.answers.voice import LearnedInstance, SpokenAnswer, VoiceVersion
from everloop.sdk.client.call import Call
from everloop.sdk.client.calls import voice
from everloop.sdk.client.records import SpokenQuestion
from everloop.sdk.client.speech_events import SpeechEvents

T = TypeVar("T")


class AsyncVoiceData(ABC):
    """Versions of a voice and the training instances behind them."""

    async def voice_versions(
        self, persona: str, user_id: str | None = None
    ) -> tuple[VoiceVersion, ...]:
        """A persona's adapters, newest first; with ``user_id`` those of a person's twin."""
        return (await self._ask(voice.voice_versions(persona, user_id))).versions

    async def source_instances(self, source_id: str) -> tuple[LearnedInstance, ...]:
        """Everything that was made of a feedback, package, corpus row or test run to learn from."""
        return (await self._ask(voice.source_instances(source_id))).instances

    async def speak(self, question: SpokenQuestion) -> SpokenAnswer:
        """What the voice answers a person; logged by the service, so that feedback can name it."""
        return await self._ask(voice.speak(question))

    async def speak_in_pieces(self, question: SpokenQuestion) -> AsyncIterator[str | SpokenAnswer]:
        """As ``speak``, in pieces of text as they are made; joined they are the last thing that comes, the
        answer. Sent once: asked again under the same ``log_id``, it is answered as before."""
        events = SpeechEvents()
        async with aclosing(self._streamed(voice.speak_in_pieces(question))) as streamed:
            async for data in streamed:
                for each in events.fed(data):
                    yield each
        events.require_whole()

    @abstractmethod
    def _streamed(self, call: Call[T]) -> AsyncGenerator[bytes]:
        """Send a call once; its answer's bytes as they come."""

    @abstractmethod
    async def _ask(self, call: Call[T]) -> T:
        """Send a call; its answer."""
