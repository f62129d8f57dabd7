"""Server-sent events of a spoken answer, read as they come."""

from __future__ import annotations

from collections.abc import Iterator

from everloop.contracts.errors import ShouldRetryLater, ShouldUpdateClient
from everloop.sdk.client.answers.voice import SpokenAnswer
from everloop.sdk.client.failures import refused
from everloop.sdk.client.reading import json_of, parse

_END = b"\n\n"


class SpeechEvents:
    """Turns the bytes of a stream into its pieces of text and, last, the whole answer.

    Events are parted at blank lines alone: a text may hold any other character that ends lines.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._answered = False

    def fed(self, data: bytes) -> Iterator[str | SpokenAnswer]:
        """What the bytes complete.

        Raises:
            EverloopError: the service's own, where it told that the answer failed.
            ShouldUpdateClient: an event is not what this client knows.
        """
        *whole, self._rest = (self._rest + data).split(_END)
        for block in whole:
            found = self._read(block)
            if found is not None:
                yield found

    def require_whole(self) -> None:
        """Refuse a stream that ended before its answer did.

        Raises:
            ShouldRetryLater: it did.
        """
        if not self._answered:
            raise ShouldRetryLater(
                "The stream ended before the answer did.",
                "Ask again with the same log_id: what was stored is answered as before.",
            )

    def _read(self, block: bytes) -> str | SpokenAnswer | None:
        """An event; None for one that a newer service adds."""
        lines = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
        name, data = lines.get(b"event", b""), lines.get(b"data", b"")
        if name == b"answer":
            answer = parse(SpokenAnswer, json_of(data))
            self._answered = True
            return answer
        if name == b"piece":
            found = json_of(data)
            text = found.get("text") if isinstance(found, dict) else None
            if not isinstance(text, str):
                raise ShouldUpdateClient(
                    "A piece of an answer holds no text.",
                    "Install the client of the service's version.",
                )
            return text
        if name == b"problem":
            told = json_of(data)
            status = told.get("status") if isinstance(told, dict) else None
            raise refused(status if isinstance(status, int) else 500, {}, data).error
        return None
