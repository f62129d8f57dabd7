"""What the product sees: the specification's wide context as a noisy image of the hidden state.

Six numbers lie behind the 128 of the emotion vector: four moods and the two traits, each blurred anew
at every decision and shifted by the person's own bent. Pulse follows tension, the hour follows the part
of the day, and the connections are the person's own. Weekday and week say nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from synthetic.population.archetypes import (
    AGE_GROUPS,
    ARCHETYPE_OF,
    HOURS_PER_PART,
    PLANE,
)
from synthetic.population.catalogue import ACTIONS, EMOTION_WIDTH
from synthetic.population.state import MOODS, Hidden

BEHIND: Final = len(MOODS) + PLANE.shape[1]
FEELING: Final = 0.6
"""How far a mood's level moves its number; traits lie on a circle of this radius."""
BLUR: Final = 0.08
GRAIN: Final = 0.04
"""Half the width of the noise of each of the 128 numbers."""
_MIXING_SEED = 1


def mixing() -> Float:
    """(128, 6) public mixing from the six numbers to the emotion vector: constants, from no data.

    Entry i is driven by number i mod 6 at 0.85 with a random sign, and by every other one at up to
    0.02, so that the vector stays within [-0.95, 0.95] before noise.
    """
    rng = np.random.default_rng([EMOTION_WIDTH, BEHIND, _MIXING_SEED])
    matrix = rng.uniform(-0.02, 0.02, (EMOTION_WIDTH, BEHIND))
    entry = np.arange(EMOTION_WIDTH)
    matrix[entry, entry % BEHIND] = 0.85 * rng.choice([-1.0, 1.0], EMOTION_WIDTH)
    return matrix


MIXING: Final[Float] = mixing()
MIXING.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class Persons:
    """What is a person's own and stays: n people.

    Attributes:
        kind: (n,) hidden type. age_group: (n,) 0..3. connections: (n,) 0..50.
        resting_pulse: (n,) beats per minute. bent: (n, 6) shift of the numbers behind the emotion.
    """

    kind: Int
    age_group: Int
    connections: Int
    resting_pulse: Float
    bent: Float

    def __len__(self) -> int:
        return len(self.kind)

    def where(self, rows: Bool | Int) -> Persons:
        return Persons(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def joined(self, others: Persons) -> Persons:
        return Persons(
            **{
                f.name: np.concatenate([getattr(self, f.name), getattr(others, f.name)])
                for f in fields(self)
            }
        )


@dataclass(frozen=True, slots=True, eq=False)
class WideContexts:
    """What the product logs of n decisions, as arrays; ``snapshots`` are the same as JSON values.

    Attributes:
        emotion: (n, 128) in [-1, 1]. heart_rate, pulse_variability: (n,).
        hour, weekday, week: (n,) 0..23, Monday 0, ISO week. connections, active_connections: (n,).
        age_group: (n,) 0..3.
        past_action: (n, 10) actions of the last decisions, newest last, -1 in front where there are
            fewer. past_reward: (n, 10) their rewards, NaN where not known yet.
    """

    emotion: Float
    heart_rate: Float
    pulse_variability: Float
    hour: Int
    weekday: Int
    week: Int
    connections: Int
    active_connections: Int
    age_group: Int
    past_action: Int
    past_reward: Float

    def __len__(self) -> int:
        return len(self.heart_rate)

    def where(self, rows: Bool | Int | slice) -> WideContexts:
        return WideContexts(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def snapshots(self, actions: tuple[str, ...] = ACTIONS) -> list[dict[str, Any]]:
        """The context of every decision as the product logs it; ``actions`` are the catalogue's ids."""
        emotion = self.emotion.tolist()
        past_action, past_reward = self.past_action.tolist(), self.past_reward.tolist()
        return [
            {
                "emotion": emotion[row],
                "recent_interactions": [
                    {"action": actions[action], "reward": None if math.isnan(reward) else reward}
                    for action, reward in zip(past_action[row], past_reward[row], strict=True)
                    if action >= 0
                ],
                "heart_rate": float(self.heart_rate[row]),
                "pulse_variability": float(self.pulse_variability[row]),
                "hour": int(self.hour[row]),
                "weekday": int(self.weekday[row]),
                "week": int(self.week[row]),
                "connections": int(self.connections[row]),
                "active_connections": int(self.active_connections[row]),
                "age_group": AGE_GROUPS[self.age_group[row]],
            }
            for row in range(len(self))
        ]


def behind(hidden: Hidden) -> Float:
    """(n, 6) the noiseless numbers behind the emotion vector."""
    return np.concatenate([hidden.feeling, PLANE[ARCHETYPE_OF[hidden.kind]]], axis=1) * FEELING


def noiseless(hidden: Hidden, connections: Int) -> Float:
    """(n, 134) the wide state without noise: emotion, pulse, its variability, sine and cosine of the
    hour, connections and active ones."""
    numbers = behind(hidden)
    tension = hidden.feeling[:, 0]
    angle = 2 * np.pi * (hidden.part + 0.5) * HOURS_PER_PART / 24
    others = [
        68 + 12 * tension,
        60 - 18 * tension,
        np.sin(angle),
        np.cos(angle),
        connections,
        0.4 * connections,
    ]
    return np.concatenate([numbers @ MIXING.T, np.stack(others, axis=1)], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """When n decisions are taken: (n,) seconds since the epoch, UTC, in which the people live."""

    timestamp: Int

    @property
    def day(self) -> Int:
        return np.asarray(self.timestamp // 86_400)

    @property
    def hour(self) -> Int:
        return np.asarray(self.timestamp % 86_400 // 3_600)

    @property
    def weekday(self) -> Int:
        return np.asarray((self.day + 3) % 7)

    @property
    def week(self) -> Int:
        """ISO week: the number of the week that holds the week's Thursday, within its year."""
        thursday = (self.day - self.weekday + 3).astype("datetime64[D]")
        first = thursday.astype("datetime64[Y]").astype("datetime64[D]")
        return np.asarray((thursday - first).astype(np.int64) // 7 + 1)


def emit(
    hidden: Hidden,
    persons: Persons,
    timestamp: Int,
    past_action: Int,
    past_reward: Float,
    rng: np.random.Generator,
) -> WideContexts:
    """Draw the wide contexts of n decisions."""
    n, when = len(hidden), Calendar(timestamp)
    numbers = behind(hidden) + persons.bent + BLUR * rng.normal(size=(n, BEHIND))
    emotion = np.clip(numbers, -1.0, 1.0) @ MIXING.T
    emotion += rng.uniform(-GRAIN, GRAIN, (n, EMOTION_WIDTH))
    tension = hidden.feeling[:, 0]
    heart_rate = np.clip(persons.resting_pulse + 12 * tension + rng.normal(0, 4, n), 40, 180)
    variability = np.clip(60 - 18 * tension + rng.normal(0, 8, n), 0, 200)
    return WideContexts(
        emotion=_rounded(np.clip(emotion, -1.0, 1.0), 4),
        heart_rate=_rounded(heart_rate, 1),
        pulse_variability=_rounded(variability, 1),
        hour=when.hour,
        weekday=when.weekday,
        week=when.week,
        connections=persons.connections,
        active_connections=rng.binomial(persons.connections, 0.4),
        age_group=persons.age_group,
        past_action=past_action,
        past_reward=past_reward,
    )


def _rounded(values: Float, digits: int) -> Float:
    return np.asarray(np.round(values, digits), dtype=np.float64)
