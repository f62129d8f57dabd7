"""Seeded generation of the example's people, decisions and signals, with their truth beside them.

Arrays are made step by step (a person's first decisions, then everyone's second ones), because a
decision's context holds what came before it. Randomness comes from counters (seed, concern).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.intake import example_truth as truth

LAST_DAY = date(2026, 3, 28)
PEOPLE = 6_000
DAYS = 28
SEED = 7
MIN_DECISIONS, MAX_DECISIONS = 3, 6
HISTORY = 10
HALF_LIFE = 86_400.0
EMOTION_WIDTH = 128
EMOTION_NOISE = 0.04
AGE_GROUPS = ("under_25", "25_to_44", "45_to_64", "over_64")
_HOURS = np.array([1, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 8, 8, 7, 6, 4, 2.0])
"""How often each hour of the day occurs, up to a constant."""


def emotion_mixing() -> Float:
    """(128, 6) public mixing from the latent to the emotion vector: constants, from no data.

    Entry i is driven by latent i mod 6 at 0.85 with a random sign, and by every other one at up to
    0.02, so that the vector stays within [-0.95, 0.95] before noise.
    """
    rng = np.random.default_rng([EMOTION_WIDTH, len(truth.LATENT), 1])
    mixing = rng.uniform(-0.02, 0.02, (EMOTION_WIDTH, len(truth.LATENT)))
    entry = np.arange(EMOTION_WIDTH)
    mixing[entry, entry % len(truth.LATENT)] = 0.85 * rng.choice([-1.0, 1.0], EMOTION_WIDTH)
    return mixing


@dataclass(frozen=True, slots=True, eq=False)
class ExampleSignals:
    """m signals; ``episode`` is the row of the episode, ``kind`` the index of the signal type.

    ``value`` lies in [0, 1], ``latency`` is in seconds, ``confidence`` in [0, 1].
    """

    episode: Int
    kind: Int
    value: Float
    latency: Int
    confidence: Float

    def __len__(self) -> int:
        return len(self.episode)


@dataclass(frozen=True, slots=True, eq=False)
class ExampleLog:
    """n decisions ordered by (step, person), with what a log holds and the truth behind it.

    Attributes:
        person: (n,) 0..people-1. step: (n,) the person's how-manieth decision, from 0.
        timestamp: (n,) seconds since the epoch, UTC; the people live in UTC.
        latent: (n, 6) the hidden feeling. emotion: (n, 128) what the log shows of it.
        heart_rate, pulse_variability, connections, active_connections: (n,).
        hour, weekday, week, age_group: (n,) integers.
        repeats: (n, A) how often each action was taken in the person's last decisions.
        valid, propensities: (n, A). action: (n,) index into the catalogue.
        reward: (n,) realised by the loop's definition, once closed.
        previous: (n, 5) rows of the person's earlier decisions, oldest first, -1 where there is none.
        expected: (n, A) true expected reward of every action.
        signals: the evidence.
    """

    person: Int
    step: Int
    timestamp: Int
    latent: Float
    emotion: Float
    heart_rate: Float
    pulse_variability: Float
    hour: Int
    weekday: Int
    week: Int
    connections: Int
    active_connections: Int
    age_group: Int
    repeats: Float
    valid: Bool
    propensities: Float
    action: Int
    reward: Float
    previous: Int
    expected: Float
    signals: ExampleSignals

    def __len__(self) -> int:
        return len(self.person)

    def value_of(self, probabilities: Float) -> float:
        """True mean reward at these states of a policy with (n, A) action probabilities.

        Raises:
            ShouldFixArgument: the shape is wrong, or an invalid action has a probability.
        """
        if probabilities.shape != self.valid.shape:
            raise ShouldFixArgument(
                f"probabilities has shape {probabilities.shape}, not {self.valid.shape}."
            )
        if (probabilities[~self.valid] > 1e-9).any():
            raise ShouldFixArgument("An invalid action has a probability.", "Apply the mask.")
        return float((probabilities * self.expected).sum(axis=1).mean())

    @property
    def best_action(self) -> Int:
        """(n,) the valid action with the highest expected reward."""
        return np.asarray(np.where(self.valid, self.expected, -np.inf).argmax(axis=1))

    @property
    def logging_value(self) -> float:
        """True mean reward of the policy that decided."""
        return self.value_of(self.propensities)

    @property
    def best_value(self) -> float:
        """True mean reward of the best valid action in every state."""
        return float(np.where(self.valid, self.expected, -np.inf).max(axis=1).mean())


def _when(people: int, days: int, rng: np.random.Generator) -> tuple[Int, Int]:
    """((people, MAX) sorted decision times, (people,) how many of them happen)."""
    first = datetime.combine(LAST_DAY - timedelta(days=days - 1), datetime.min.time(), UTC)
    size = (people, MAX_DECISIONS)
    hours = rng.choice(24, size, p=_HOURS / _HOURS.sum())
    moments = rng.integers(0, days, size) * 86_400 + hours * 3_600 + rng.integers(0, 3_600, size)
    count = rng.integers(MIN_DECISIONS, MAX_DECISIONS + 1, people)
    absent = np.arange(MAX_DECISIONS) >= count[:, None]
    moments[absent] = days * 86_400 * 2
    return np.sort(moments, axis=1) + int(first.timestamp()), count


def _signals(means: Float, action: Int, rng: np.random.Generator) -> ExampleSignals:
    """Draw the evidence of n decisions from (n, A, S) true means.

    Engagement and resonance are Beta draws around their mean, feedback is a thumb (0 or 1). Some are
    late, a tenth has a low confidence, and one engagement in twenty is sent twice. Lateness and
    confidence are independent of the value, so every signal keeps its mean.
    """
    n = len(action)
    mean = means[np.arange(n), action]
    draws = [(0, rng.random(n) < truth.PRESENT[action, 0])]
    draws.append((0, draws[0][1] & (rng.random(n) < truth.SENT_TWICE)))
    draws += [(kind, rng.random(n) < truth.PRESENT[action, kind]) for kind in (1, 2)]
    episode = np.concatenate([np.flatnonzero(sent) for _, sent in draws])
    kind = np.concatenate([np.full(int(sent.sum()), kind) for kind, sent in draws])
    m = mean[episode, kind]
    value = np.where(kind == 2, rng.random(len(m)) < m, rng.beta(6 * m, 6 * (1 - m)))
    typical = np.array([600.0, 7_200.0, 3_600.0])[kind]
    latency = np.minimum(rng.exponential(typical), truth.CLOSES_AFTER - 1)
    late = rng.random(len(m)) < truth.LATE
    latency[late] = truth.CLOSES_AFTER + rng.uniform(60, 2 * 86_400, int(late.sum()))
    confidence = np.where(rng.random(len(m)) < 0.1, rng.uniform(0.2, 0.6, len(m)), 1.0)
    return ExampleSignals(
        episode=episode,
        kind=kind,
        value=np.round(value, 4),
        latency=latency.astype(np.int64),
        confidence=np.round(confidence, 2).astype(np.float64),
    )


def realised_reward(n: int, signals: ExampleSignals) -> Float:
    """(n,) reward by the loop's definition, of the signals that came in time.

    A type's mean weighs confidence * 2^(-latency / half-life); resonance and feedback map to 2v - 1;
    engagement that never came is 0, the others are then left out.
    """
    in_time = signals.latency <= truth.CLOSES_AFTER
    rows, kinds = signals.episode[in_time], signals.kind[in_time]
    weight = signals.confidence[in_time] * np.exp2(-signals.latency[in_time] / HALF_LIFE)
    value = signals.value[in_time]
    value = np.where(kinds == 0, value, 2 * value - 1)
    total, mass = np.zeros((n, 3)), np.zeros((n, 3))
    np.add.at(total, (rows, kinds), weight * value)
    np.add.at(mass, (rows, kinds), weight)
    mean = np.divide(total, mass, out=np.zeros((n, 3)), where=mass > 0)
    counts = mass > 0
    counts[:, 0] = True
    return np.asarray((mean * truth.WEIGHTS).sum(axis=1) / (counts @ truth.WEIGHTS), dtype=float)


def _repeats(past: list[Int], people: int) -> Float:
    """(people, A) how often each action is among everyone's last FATIGUE_SPAN decisions."""
    counts = np.zeros((people, len(truth.ACTIONS)))
    for actions in past[-truth.FATIGUE_SPAN :]:
        counts[np.arange(people), actions] += 1
    return counts


def generate(people: int = PEOPLE, days: int = DAYS, seed: int = SEED) -> ExampleLog:
    """Make the example log: the same arguments give the same log.

    Args:
        people: how many people, >= 1.
        days: length of the log in days, ending on ``LAST_DAY``, >= 1.
        seed: of everything but the public mixing.

    Raises:
        ShouldFixArgument: people or days below 1, or a negative seed.
    """
    for name, value, least in (("people", people, 1), ("days", days, 1), ("seed", seed, 0)):
        if value < least:
            raise ShouldFixArgument(f"Example: {name}={value} is below {least}.", "Raise it.")
    of_people = np.random.default_rng([seed, 0])
    moments, count = _when(people, days, of_people)
    resting = of_people.normal(size=(people, len(truth.LATENT)))
    connections = np.minimum(of_people.poisson(6.0, people), 50)
    connections[of_people.random(people) < 0.08] = 0
    age_group = of_people.integers(0, len(AGE_GROUPS), people)
    resting_pulse = of_people.normal(68, 5, people)

    past: list[Int] = []
    steps: list[ExampleLog] = []
    for step in range(MAX_DECISIONS):
        rng = np.random.default_rng([seed, 1, step])
        everyone = np.arange(people)
        latent = np.tanh(0.7 * resting + 0.6 * rng.normal(size=resting.shape))
        noise = rng.uniform(-EMOTION_NOISE, EMOTION_NOISE, (people, EMOTION_WIDTH))
        tension = latent[:, truth.LATENT.index("tension")]
        heart_rate = np.clip(resting_pulse + 14 * tension + rng.normal(0, 4, people), 40, 180)
        variability = np.clip(60 - 20 * tension + rng.normal(0, 8, people), 0, 200)
        day = moments[:, step] // 86_400
        hour = moments[:, step] % 86_400 // 3_600
        valid = np.ones((people, len(truth.ACTIONS)), dtype=np.bool_)
        valid[np.ix_(connections == 0, truth.PAIRINGS)] = False
        propensities = truth.logging_policy(hour, heart_rate, valid)
        ceilings = propensities.cumsum(axis=1)
        action = (rng.random((people, 1)) * ceilings[:, -1:] >= ceilings).sum(axis=1)
        repeats = _repeats(past, people)
        means = truth.signal_means(latent, hour, repeats)
        signals = _signals(means, action, rng)
        previous = np.full((people, MAX_DECISIONS - 1), -1)
        previous[:, :step] = everyone[:, None] + people * np.arange(step)
        past.append(action)
        steps.append(
            ExampleLog(
                person=everyone,
                step=np.full(people, step),
                timestamp=moments[:, step],
                latent=latent,
                emotion=np.round(latent @ emotion_mixing().T + noise, 4),
                heart_rate=np.round(heart_rate, 1),
                pulse_variability=np.round(variability, 1),
                hour=hour,
                weekday=(day + 3) % 7,
                week=_week(day),
                connections=connections,
                active_connections=rng.binomial(connections, 0.4),
                age_group=age_group,
                repeats=repeats,
                valid=valid,
                propensities=propensities,
                action=action,
                reward=realised_reward(people, signals),
                previous=previous,
                expected=truth.expected_reward(latent, hour, repeats),
                signals=signals,
            )
        )
    return _joined(steps, count)


def _week(day: Int) -> Int:
    """(n,) ISO week of days since the epoch."""
    distinct, where = np.unique(day, return_inverse=True)
    weeks = [
        date.fromordinal(date(1970, 1, 1).toordinal() + int(d)).isocalendar().week for d in distinct
    ]
    return np.array(weeks, dtype=np.int64)[where]


def _joined(steps: list[ExampleLog], count: Int) -> ExampleLog:
    """All steps as one log, without the decisions that do not happen."""
    people = len(count)
    happens = np.concatenate([step.step < count for step in steps])
    row = np.where(happens, np.cumsum(happens) - 1, -1)

    arrays: dict[str, NDArray[np.generic]] = {
        field.name: np.concatenate([getattr(step, field.name) for step in steps])[happens]
        for field in fields(ExampleLog)
        if field.name not in ("signals", "previous")
    }
    previous = np.concatenate([step.previous for step in steps])[happens]
    arrays["previous"] = np.where(previous >= 0, row[previous], -1)
    merged = {
        field.name: np.concatenate([getattr(step.signals, field.name) for step in steps])
        for field in fields(ExampleSignals)
    }
    offset = np.concatenate(
        [np.full(len(step.signals), people * index) for index, step in enumerate(steps)]
    )
    episode = row[merged["episode"] + offset]
    kept = episode >= 0
    signals = ExampleSignals(
        **{name: array[kept] for name, array in merged.items() if name != "episode"},
        episode=episode[kept],
    )
    return ExampleLog(**arrays, signals=signals)  # type: ignore[arg-type]


def value_of_logging_policy(people: int = 20_000, seed: int = 1_000_003) -> float:
    """True value of the logging policy, by Monte Carlo over people that no log contains."""
    return generate(people, DAYS, seed).logging_value


def value_of_best_policy(people: int = 20_000, seed: int = 1_000_003) -> float:
    """True value of the best action in every state, by Monte Carlo over the same people."""
    return generate(people, DAYS, seed).best_value
