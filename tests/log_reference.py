"""Extraction by the book: the rules of a dataset version, one record at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from everloop.contracts.datasets import Exclusions
from everloop.contracts.episodes import Consent, Dispute, Episode, RewardSignal
from everloop.contracts.ports import Extraction


@dataclass
class Logged:
    """Everything that a log was told, in the order in which it was told."""

    episodes: list[Episode] = field(default_factory=list)
    signals: list[RewardSignal] = field(default_factory=list)
    consents: list[Consent] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)


@dataclass
class Expected:
    """What a dataset version must hold. ``closed`` is by episode id."""

    episodes: list[Episode]
    closed: dict[str, bool]
    signals: list[RewardSignal]
    exclusions: Exclusions
    per_day: dict[str, int]


def extract(logged: Logged, wanted: Extraction, now: datetime) -> Expected:
    end = datetime.combine(wanted.logical_date, time(), tzinfo=UTC) + timedelta(days=1)
    start = end - timedelta(days=wanted.window_days)
    cutoff = min(end, now)
    feedback = timedelta(seconds=wanted.spec.reward.closes_after_seconds)

    def refuses(person: str) -> bool:
        said = [c for c in logged.consents if (c.user_id, c.purpose) == (person, "train")]
        return bool(said) and not max(enumerate(said), key=_newest)[1].granted

    def held(signal: RewardSignal) -> bool:
        said = [d for d in logged.disputes if d.signal_id == signal.signal_id]
        return bool(said) and max(enumerate(said), key=_newest)[1].status in ("open", "upheld")

    window = [
        e
        for e in logged.episodes
        if e.loop == wanted.spec.name
        and e.tenant == wanted.tenant
        and start <= e.timestamp < cutoff
    ]
    opted_out = [e for e in window if refuses(e.user_id)]
    asked = [e for e in window if not refuses(e.user_id)]
    kept: list[RewardSignal] = []
    episodes: list[Episode] = []
    closed: dict[str, bool] = {}
    disputed = late = 0
    for one in asked:
        heard = []
        for signal in (s for s in logged.signals if s.episode_id == one.episode_id):
            arrived = timedelta(seconds=signal.latency)
            if held(signal):
                disputed += 1
            elif one.timestamp + arrived > cutoff or arrived > feedback:
                late += 1
            else:
                heard.append(signal)
        passed = one.timestamp + feedback <= cutoff
        if passed:
            episodes.append(one)
            closed[one.episode_id] = passed
            kept += heard
    days = [wanted.logical_date - timedelta(days=n) for n in reversed(range(wanted.window_days))]
    return Expected(
        episodes=sorted(episodes, key=lambda e: (e.timestamp, e.episode_id)),
        closed=closed,
        signals=sorted(kept, key=lambda s: s.signal_id),
        exclusions=Exclusions(
            opted_out_people=len({e.user_id for e in opted_out}),
            opted_out_episodes=len(opted_out),
            disputed_signals=disputed,
            late_signals=late,
            open_episodes=len(asked) - len(episodes),
        ),
        per_day={d.isoformat(): sum(e.timestamp.date() == d for e in asked) for d in days},
    )


def _newest(numbered: tuple[int, Consent | Dispute]) -> tuple[datetime, int]:
    position, said = numbered
    return said.recorded_at, position
