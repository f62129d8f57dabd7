"""Checked records on their way into the log: kept outside of any transaction until all are known."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from everloop.contracts.episodes import Episode, RewardSignal
from everloop.intake.unnamed_file import UnnamedFile

_EPISODE = TypeAdapter(Episode)
_SIGNAL = TypeAdapter(RewardSignal)


@dataclass(frozen=True, slots=True)
class SerialisedDecision:
    """A decision and its evidence as JSON."""

    episode: bytes
    signals: tuple[bytes, ...]

    @classmethod
    def of(cls, episode: Episode, signals: Sequence[RewardSignal]) -> SerialisedDecision:
        return cls(_EPISODE.dump_json(episode), tuple(_SIGNAL.dump_json(s) for s in signals))

    @property
    def digest(self) -> bytes:
        """16 bytes that are equal for equal records."""
        return hashlib.blake2b(b"\n".join((self.episode, *self.signals)), digest_size=16).digest()


class Spool:
    """Keeps decisions until the whole file has been checked; a context manager.

    The log's write transaction stays short: it starts once every row has been read.
    """

    def __init__(self) -> None:
        self._files = contextlib.ExitStack()
        self._episodes = self._files.enter_context(UnnamedFile("the checked decisions"))
        self._signals = self._files.enter_context(UnnamedFile("the checked signals"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()

    def add(self, decision: SerialisedDecision) -> None:
        """Keep a decision. Raises ``ShouldFreeDisk`` when there is no room."""
        self._episodes.write(decision.episode)
        for signal in decision.signals:
            self._signals.write(signal)

    def episodes(self) -> Iterator[Episode]:
        """Every episode, in the order of ``add``."""
        return map(_EPISODE.validate_json, self._episodes.lines())

    def signals(self) -> Iterator[RewardSignal]:
        """Every signal, in the order of ``add``."""
        return map(_SIGNAL.validate_json, self._signals.lines())
