"""What the asynchronous client asks for: a voice's versions, and what it learned from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from everloop.sdk.client.answers.voice import LearnedInstance, VoiceVersion
from everloop.sdk.client.call import Call
from everloop.sdk.client.calls import voice

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

    @abstractmethod
    async def _ask(self, call: Call[T]) -> T:
        """Send a call; its answer."""
