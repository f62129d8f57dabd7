"""A ``VoiceLog`` in memory, as strict as the port says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from everloop.contracts.feedback import FeedbackStatus
from everloop.contracts.voice_ports import SpokenFeedback, VoiceWatermark
from everloop.contracts.voices import UserDataPackage

TEACHING = frozenset({FeedbackStatus.ACCEPTED, FeedbackStatus.RELEASED})


class MemoryVoiceLog:
    """What was stored, in stored order.

    Args:
        refused: people whose newest consent to training is a refusal, or who were erased.
    """

    def __init__(
        self,
        spoken: Iterable[SpokenFeedback] = (),
        packages: Iterable[UserDataPackage] = (),
        refused: Iterable[str] = (),
    ) -> None:
        self.spoken = list(spoken)
        self.given = list(packages)
        self.refused = set(refused)

    def watermark(self, tenant: str = "default") -> VoiceWatermark:
        """See ``VoiceLog``."""
        return VoiceWatermark(len(self.spoken), len(self.spoken), len(self.given))

    def spoken_feedback(
        self, persona: str, until: VoiceWatermark, tenant: str = "default"
    ) -> Iterator[SpokenFeedback]:
        """See ``VoiceLog``."""
        for row in self.spoken[: until.feedback]:
            said = row.feedback
            mine = (said.persona, said.tenant) == (persona, tenant)
            if mine and said.status in TEACHING and said.user_id not in self.refused:
                yield row

    def packages(
        self, persona: str, until: VoiceWatermark, tenant: str = "default"
    ) -> Iterator[UserDataPackage]:
        """See ``VoiceLog``."""
        for row in self.given[: until.packages]:
            mine = row.persona in ("", persona) and row.tenant == tenant
            if mine and row.user_id not in self.refused:
                yield row
