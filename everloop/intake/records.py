"""What every import shares: its summary, its stable ids and the count of what it hands over."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from everloop.contracts.episodes import Episode, RewardSignal
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import EventLog

Pseudonym = Callable[[str], str]
"""A product's person id -> 64 hexadecimal digits."""
Progress = Callable[[int], None]
"""Called with the number of rows done so far, about every ``PROGRESS_EVERY`` rows and at the end."""

Seal = Callable[[Episode], Episode]
"""A checked episode -> the same with its health fields sealed, as the log stores it."""

PROGRESS_EVERY = 1000
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "everloop.intake")


def stable_uuid(*parts: str) -> str:
    """A UUID5 of the parts: the same record gets the same id at every import.

    Parts are joined by their length, so ("a", "bc") and ("ab", "c") differ.
    """
    return str(uuid.uuid5(_NAMESPACE, "".join(f"{len(part)}:{part}" for part in parts)))


def as_it_is(episode: Episode) -> Episode:
    """``Seal`` of logs without health fields."""
    return episode


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    Attributes:
        episodes_new, signals_new: records that the log did not hold before.
        episodes_replayed, signals_replayed: records that it held already, unchanged.
        rejected: rows that were refused; ``rejects_path`` lists them (None when there are none).
        problems: (what was wrong, number of rows), most frequent first.
        first_timestamp, last_timestamp: of the decisions, UTC; None when there are none.
        positives: signals above the middle of their declared range.
        note: what a reader must know of this data.
    """

    loop: str
    tenant: str
    episodes_new: int
    episodes_replayed: int
    signals_new: int
    signals_replayed: int
    rejected: int = 0
    rejects_path: Path | None = None
    problems: tuple[tuple[str, int], ...] = ()
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    positives: int = 0
    note: str = ""


@dataclass(slots=True)
class Tally:
    """Counts records as they stream into a log."""

    spec: LoopSpec
    progress: Progress | None = None
    first: datetime | None = None
    last: datetime | None = None
    positives: int = 0
    _middle: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._middle = {s.name: (s.low + s.high) / 2 for s in self.spec.signals}

    def episodes(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        done = 0
        for episode in episodes:
            moment = episode.timestamp
            self.first = moment if self.first is None else min(self.first, moment)
            self.last = moment if self.last is None else max(self.last, moment)
            yield episode
            done += 1
            if self.progress is not None and done % PROGRESS_EVERY == 0:
                self.progress(done)
        if self.progress is not None and done % PROGRESS_EVERY:
            self.progress(done)

    def signals(self, signals: Iterable[RewardSignal]) -> Iterator[RewardSignal]:
        for signal in signals:
            self.positives += signal.value > self._middle[signal.signal_type]
            yield signal


def append_whole(
    log: EventLog,
    spec: LoopSpec,
    tenant: str,
    episodes: Iterable[Episode],
    signals: Iterable[RewardSignal],
    note: str,
    progress: Progress | None = None,
) -> ImportSummary:
    """Append everything in one transaction and sum it up; an error leaves the log as it was."""
    tally = Tally(spec, progress)
    stored, evidence = log.append_batch(tally.episodes(episodes), tally.signals(signals))
    return ImportSummary(
        loop=spec.name,
        tenant=tenant,
        episodes_new=stored.new,
        episodes_replayed=stored.replayed,
        signals_new=evidence.new,
        signals_replayed=evidence.replayed,
        first_timestamp=tally.first,
        last_timestamp=tally.last,
        positives=tally.positives,
        note=note,
    )
