"""Journeys as ``interaction_history``: JSON rows of decisions with the signals that they led to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time

from everloop.contracts.episodes import Json
from everloop.contracts.loop_spec import LoopSpec
from synthetic.journeys.rollout import Journeys

_DIGITS = 6
_DAY_S = 86_400


def histories(journeys: Journeys, spec: LoopSpec) -> Iterator[tuple[Mapping[str, Json], ...]]:
    """For each person in order, their decisions, oldest first.

    A row: ``at`` (RFC 3339, UTC), ``day`` since the first one, ``hour`` of the day, ``action`` id,
    ``signals`` {type: {value in the loop's own range, latency in seconds, late}}, ``reward`` in [-1, 1],
    ``outcome`` (success, neutral, failure by the loop's thresholds), ``contradicts``. The last row of
    somebody who left has ``left``. Late signals count in no reward.
    """
    midnight = datetime.combine(journeys.start, time(), tzinfo=UTC).timestamp()
    names = spec.signal_names
    halved = [signal.two_sided for signal in spec.signals]
    rule = spec.reward
    for person in range(len(journeys)):
        count = int(journeys.count[person])
        at = journeys.at[person, :count].tolist()
        actions = journeys.action[person, :count].tolist()
        rewards = journeys.reward[person, :count].tolist()
        values = journeys.value[person, :count].tolist()
        latencies = journeys.latency[person, :count].tolist()
        lates = journeys.late[person, :count].tolist()
        contradicts = journeys.contradicts[person, :count].tolist()
        rows: list[dict[str, Json]] = []
        for k in range(count):
            signals: dict[str, Json] = {}
            for name, two_sided, v, latency, late in zip(
                names, halved, values[k], latencies[k], lates[k], strict=True
            ):
                if not math.isnan(v):
                    raw = (v + 1.0) / 2.0 if two_sided else v
                    signals[name] = {
                        "value": round(raw, _DIGITS),
                        "latency": int(latency),
                        "late": late,
                    }
            second = round(at[k] * _DAY_S)
            reward = round(rewards[k], _DIGITS)
            rows.append(
                {
                    "at": datetime.fromtimestamp(midnight + second, UTC).isoformat(),
                    "day": int(at[k]),
                    "hour": round(at[k] % 1.0 * 24.0, 2),
                    "action": spec.action_ids[actions[k]],
                    "signals": signals,
                    "reward": reward,
                    "outcome": _outcome(reward, rule.success_at, rule.failure_at),
                    "contradicts": contradicts[k],
                }
            )
        if journeys.left[person]:
            rows[-1]["left"] = True
        yield tuple(rows)


def _outcome(reward: float, success_at: float, failure_at: float) -> str:
    if reward >= success_at:
        return "success"
    return "failure" if reward <= failure_at else "neutral"
