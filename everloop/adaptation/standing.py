"""Which of the things that one person said of one output count.

Who praises and complains of the same output, or prefers A to B and B to A, contradicts themselves: the
newest of these counts, at ``CONTRADICTED`` of its weight; what was said against it teaches nothing. Of
what says the same twice, the newest counts. A complaint beside the same person's correction needs no
better text than that one: the correction's pair speaks for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from everloop.adaptation.verdicts import (
    COMPLAINTS,
    VERDICTS,
    digest,
    pair_key,
    pair_of,
    stance_of,
    teaches,
    verdict_of,
)
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.voice_ports import SpokenFeedback

CONTRADICTED = 0.5
"""Factor of the newest feedback where its person said the opposite before."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one feedback. ``reason``: why it teaches nothing (``contradicted``, ``superseded``,
    ``told_by_correction``), or "". ``also``: complaints that it speaks for."""

    factor: float = 1.0
    reason: str = ""
    also: tuple[str, ...] = ()


_PLAIN = Standing()
_CORRECTION = FeedbackType.CORRECTION.value


class _Said(NamedTuple):
    """Ordered by when it was given, then by when it arrived, then by its id."""

    given: datetime
    arrived: datetime
    feedback_id: str
    side: bool | None
    kind: str


class Standings:
    """Collects feedback, then says what counts. Holds about 400 bytes for each feedback that judges."""

    def __init__(self, feedback: Iterable[SpokenFeedback] = ()) -> None:
        self._groups: dict[bytes, list[_Said]] = {}
        self._found: dict[str, Standing] | None = None
        for spoken in feedback:
            self.add(spoken)

    def add(self, spoken: SpokenFeedback) -> None:
        """Take a feedback into account; disputed ones and those that do not teach say nothing."""
        said, key = spoken.feedback, _group(spoken)
        if spoken.disputed or not teaches(said) or key is None:
            return
        row = _Said(
            given=said.timestamp,
            arrived=said.received_at or said.timestamp,
            feedback_id=said.feedback_id,
            side=_side(spoken),
            kind=_kind(spoken),
        )
        self._found = None
        self._groups.setdefault(key, []).append(row)

    def of(self, feedback_id: str) -> Standing:
        """Where a feedback stands; one that nothing else speaks of teaches with its whole weight."""
        if self._found is None:
            several = (sorted(group) for group in self._groups.values() if len(group) > 1)
            self._found = {name: made for group in several for name, made in _settled(group)}
        return self._found.get(feedback_id, _PLAIN)


def _group(spoken: SpokenFeedback) -> bytes | None:
    said = spoken.feedback
    if said.feedback_type is FeedbackType.COMPARISON:
        pair = pair_of(said)
        return (
            None if pair is None else digest(said.user_id, pair_key(spoken.interaction, pair).hex())
        )
    if said.feedback_type is FeedbackType.CORRECTION:
        return None if pair_of(said) is None else digest(said.user_id, said.log_id)
    return None if verdict_of(said) is None else digest(said.user_id, said.log_id)


def _side(spoken: SpokenFeedback) -> bool | None:
    said = spoken.feedback
    if said.feedback_type is FeedbackType.COMPARISON:
        pair = pair_of(said)
        return None if pair is None else pair[0] < pair[1]
    return stance_of(said)


def _kind(spoken: SpokenFeedback) -> str:
    """What is said twice where it is said again."""
    kind = spoken.feedback.feedback_type
    if kind in COMPLAINTS and verdict_of(spoken.feedback) is False:
        return "complaint"
    return "verdict" if kind in VERDICTS else kind.value


def _settled(group: list[_Said]) -> Iterable[tuple[str, Standing]]:
    """``group``: oldest first."""
    sides = [row.side for row in group if row.side is not None]
    contradicted = len(set(sides)) > 1
    stands = [row for row in group if not contradicted or row.side in (None, sides[-1])]
    corrected = any(row.kind == _CORRECTION for row in stands)
    thumbs = [row for row in stands if row.kind == "verdict" or (_complains(row) and not corrected)]
    others = [row for row in stands if row.kind in (_CORRECTION, FeedbackType.COMPARISON.value)]
    counting = {row.feedback_id for row in (*thumbs[-1:], *others[-1:])}
    complaints = tuple(row.feedback_id for row in stands if _complains(row))
    for row in group:
        if row not in stands:
            yield row.feedback_id, Standing(reason="contradicted")
        elif corrected and _complains(row):
            yield row.feedback_id, Standing(reason="told_by_correction")
        elif row.feedback_id not in counting:
            yield row.feedback_id, Standing(reason="superseded")
        else:
            also = complaints if row.kind == _CORRECTION else ()
            yield row.feedback_id, Standing(CONTRADICTED if contradicted else 1.0, also=also)


def _complains(row: _Said) -> bool:
    return row.kind == "complaint"
