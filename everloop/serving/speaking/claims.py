"""Questions that are being answered: the same one asked twice is answered once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from everloop.contracts.errors import ShouldResolveConflict, ShouldRetryLater


@dataclass(slots=True, eq=False)
class Claim:
    """A question's id, held by whoever answers it until ``release``."""

    held: dict[tuple[str, str], Claim]
    key: tuple[str, str]
    asked_sha256: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let whoever waits go on; again changes nothing."""
        if self.held.get(self.key) is self:
            del self.held[self.key]
        self.ended.set()


class Claims:
    """Which questions of one process are being answered. Used from one event loop.

    Two processes may both answer a question: what is stored first is what counts.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Claim] = {}

    async def take(self, tenant: str, log_id: str, asked_sha256: str, timeout_s: float) -> Claim:
        """Claim a question's id; waits for the same question's answer, which may then be stored.

        Raises:
            ShouldResolveConflict: another question with this id is being answered.
            ShouldRetryLater: the same one still is, after the time that an answer may take.
        """
        key = (tenant, log_id)
        try:
            async with asyncio.timeout(timeout_s):
                while (other := self._held.get(key)) is not None:
                    if other.asked_sha256 != asked_sha256:
                        raise ShouldResolveConflict(
                            f"log_id={log_id} is another question's.",
                            "Send a UUID made once per question.",
                        )
                    await other.ended.wait()
        except TimeoutError:
            raise ShouldRetryLater(
                f"log_id={log_id} is being answered since long.", "Ask again."
            ) from None
        claim = self._held[key] = Claim(self._held, key, asked_sha256)
        return claim
