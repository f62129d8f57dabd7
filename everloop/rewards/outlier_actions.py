"""Outlier actions: an action taken far more often than elsewhere, for a person or in a day.

Counts are compared on the scale where a Poisson count has a standard deviation of 1 whatever its mean,
x = 2 sqrt(c + 3/8) (Anscombe 1948); shares c / n on x = 2 asin sqrt((c + 3/8) / (n + 3/4)), whose
standard deviation is 1 / sqrt(n). Both scales keep small counts from looking strange: where others have
none, ten are needed. z above ``Z_LIMIT`` is flagged; only too many is strange, never too few.

*For a person.* Of each intervention and safety-critical action: c is how often it was taken for a person
in a day (UTC), over all person-days with a decision.

    z = (x - m) / s,  s = max(1, 1.4826 * MAD, (q90 - m) / 1.2816)

with m, MAD and q90 the median, median absolute deviation and 90 % quantile of x. The floor of 1 is the
standard deviation of chance alone, and makes a MAD of 0 usable, which it is wherever most person-days have
none; the quantile lets a busy tenth of the people pass. Chance around a common mean of at most 50 flags
fewer than three person-days in ten million; where people's own means follow a gamma distribution of shape
0.5 or more, at most 14 in a million were flagged (2 million person-days each, means .3 to 10).

*In a day.* Of each action: its share of the decisions that one model took in a day, against the other days
of the same model, so that a new model, which may well act otherwise, is no jump.

    z = (x - m) / sqrt(s^2 + 1 / n),  s = max(1.4826 * MAD, (q90 - m) / 1.2816)

with m, MAD and the 90 % quantile q90 of the other days. The quantile lets a regular pattern pass that
fills more than a tenth of the days (weekends), and up to a tenth of poisoned days doesn't hide another
one. At least ``MIN_DAYS`` other days of ``MIN_DECISIONS`` decisions are needed, and a share half as large
again as theirs: in a large log a trifle is significant. Days that differ by more than chance, normally
distributed, are flagged 5 times in 10,000 with 14 other days, 5 times in 100,000 with 27.

Decisions of a policy outside the loop (the comparison arm) are neither judged nor compared with.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import duckdb
import numpy as np
from numpy.typing import NDArray

from everloop.contracts.actions import ActionKind
from everloop.contracts.episodes import Arm
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import ReviewKind
from everloop.rewards.suspicion import NORMAL_MAD, Z_LIMIT, Suspicion

MIN_PERSON_DAYS = 30
"""Below this, a median of person-days says too little."""
MIN_DAYS = 14
MIN_DECISIONS = 30
MIN_RATIO = 1.5
_NORMAL_Q90 = 1.2816

_OWN = f"""
CREATE OR REPLACE TEMP VIEW own AS
SELECT episode_id, person, CAST(timestamp AS DATE) AS day, action, model_version
FROM episodes WHERE arm <> '{Arm.COMPARISON.value}'
"""  # noqa: S608
_PERSON_DAYS = """
WITH counted AS (
  SELECT person, day, count(*) FILTER (WHERE action = $action) AS taken FROM own GROUP BY person, day
),
scaled AS (SELECT *, 2 * sqrt(taken + 0.375) AS x FROM counted),
usual AS (
  SELECT count(*) AS person_days, median(x) AS middle, median(taken) AS typical,
    greatest(1.0, $mad * mad(x), (quantile_cont(x, 0.9) - median(x)) / $q90) AS scale
  FROM scaled
)
SELECT own.episode_id, own.day, taken, (x - middle) / scale AS z, typical, person_days
FROM scaled CROSS JOIN usual
JOIN own ON own.person = scaled.person AND own.day = scaled.day AND own.action = $action
WHERE person_days >= $least AND (x - middle) / scale > $limit
ORDER BY own.episode_id
"""
_DAYS = """
SELECT model_version, day, action, count(*) FROM own GROUP BY ALL ORDER BY ALL
"""
_OF_DAY = """
SELECT episode_id FROM own WHERE model_version = ? AND day = ? AND action = ? ORDER BY episode_id
"""


@dataclass(frozen=True, slots=True)
class Jump:
    """An action whose share jumped.

    ``share`` of the model's ``decisions`` that day; ``median`` of its shares on ``days`` other days.
    """

    model_version: str
    day: date
    action: str
    share: float
    decisions: int
    median: float
    days: int
    z: float


def outlier_actions(connection: duckdb.DuckDBPyConnection, spec: LoopSpec) -> tuple[Suspicion, ...]:
    """Episodes of outlier actions in the view ``episodes`` (see ``EPISODES_FILE``); one may come twice."""
    connection.execute(_OWN)
    found: list[Suspicion] = []
    for action in spec.actions:
        if action.kind is ActionKind.INTERVENTION or action.safety_critical:
            found += _for_a_person(connection, action.id)
    for jump in _jumps(connection, spec):
        found += _in_a_day(connection, jump)
    return tuple(found)


def _for_a_person(connection: duckdb.DuckDBPyConnection, action: str) -> Iterator[Suspicion]:
    asked = {
        "action": action,
        "mad": NORMAL_MAD,
        "q90": _NORMAL_Q90,
        "least": MIN_PERSON_DAYS,
        "limit": Z_LIMIT,
    }
    rows = connection.execute(_PERSON_DAYS, asked).fetchall()
    for episode_id, day, taken, z, typical, person_days in rows:
        yield Suspicion(
            episode_id,
            ReviewKind.OUTLIER_ACTION,
            f"{action} was taken {taken} times for this person on {day}; the median of "
            f"{person_days:,} person-days is {typical:g} (robust z {z:.1f}, limit {Z_LIMIT:g}).",
            z,
        )


def _in_a_day(connection: duckdb.DuckDBPyConnection, jump: Jump) -> Iterator[Suspicion]:
    place = [jump.model_version, jump.day, jump.action]
    for (episode_id,) in connection.execute(_OF_DAY, place).fetchall():
        yield Suspicion(
            episode_id,
            ReviewKind.OUTLIER_ACTION,
            f"{jump.action} was {jump.share:.2%} of the {jump.decisions:,} decisions of model "
            f"{jump.model_version} on {jump.day}; the median of its {jump.days} other days is "
            f"{jump.median:.2%} (robust z {jump.z:.1f}, limit {Z_LIMIT:g}).",
            jump.z,
        )


def _jumps(connection: duckdb.DuckDBPyConnection, spec: LoopSpec) -> Iterator[Jump]:
    counts: dict[str, dict[date, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for version, day, action, count in connection.execute(_DAYS).fetchall():
        counts[version][day][action] = count
    for version, days in counts.items():
        totals = {day: sum(taken.values()) for day, taken in days.items()}
        known = [day for day in sorted(days) if totals[day] >= MIN_DECISIONS]
        decisions = np.array([totals[day] for day in known], dtype=np.float64)
        for action in spec.action_ids:
            taken = np.array([days[day].get(action, 0) for day in known], dtype=np.float64)
            z, middle = jumps_of(taken, decisions)
            for place in np.flatnonzero(z > Z_LIMIT):
                yield Jump(
                    version,
                    known[place],
                    action,
                    float(taken[place] / decisions[place]),
                    int(decisions[place]),
                    float(middle[place]),
                    len(known) - 1,
                    float(z[place]),
                )


def jumps_of(
    taken: NDArray[np.float64], decisions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(z, median share) of each day against the others, both (days,).

    z is NaN with fewer than ``MIN_DAYS`` other days, and where the share isn't ``MIN_RATIO`` times the
    others' median.

    Args:
        taken: (days,) how often the action was taken.
        decisions: (days,) decisions, at least 1.
    """
    days = len(taken)
    z, middle = np.full(days, math.nan), np.full(days, math.nan)
    if days <= MIN_DAYS:
        return z, middle
    shares = taken / decisions
    x = 2 * np.arcsin(np.sqrt((taken + 0.375) / (decisions + 0.75)))
    for day in range(days):
        others = np.delete(x, day)
        m = float(np.median(others))
        spread = NORMAL_MAD * float(np.median(np.abs(others - m)))
        upper = (float(np.quantile(others, 0.9)) - m) / _NORMAL_Q90
        middle[day] = float(np.median(np.delete(shares, day)))
        if shares[day] > 0 and shares[day] >= MIN_RATIO * middle[day]:
            z[day] = (x[day] - m) / math.sqrt(max(spread, upper) ** 2 + 1 / decisions[day])
    return z, middle
