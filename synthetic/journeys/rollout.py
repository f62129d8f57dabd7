"""Monte Carlo roll-outs of people's days and weeks over a released user model.

What a person answers is the user model's ``respond`` alone, the same that policies practise on:
habituation arises from the history block that it updates, and journeys end by its own hazard. The
roll-out adds when decisions come, and to the exported evidence what changes no reward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from everloop.contracts.datasets import Bool, EncodingLayout, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from synthetic.journeys.clock import Arrivals, Calendar, clock, own_shift
from synthetic.journeys.evidence import Definition, Evidence, Imperfections, evidence

MOST_DAYS = 366
MOST_DECISIONS = 10_000
"""Decisions of one person that a roll-out may expect."""
FIRST_DAY = date(2024, 1, 1)
"""Day 0 where none is given: a Monday."""
TYPICAL = Imperfections()

Chooser = Callable[[Float32, Bool, np.random.Generator], Int]
"""(n, d) contexts, (n, A) masks, randomness -> (n,) actions."""


@dataclass(frozen=True, slots=True, eq=False)
class Journeys:
    """What happened to P people, each with at most T decisions of S signal types.

    Attributes:
        start: day 0.
        days: how many days were simulated.
        count: (P,) decisions of each person, at least 1; columns from there on are empty.
        at: (P, T) time in days since midnight of day 0, ascending; NaN where empty.
        action: (P, T) index into the catalogue, -1 where empty.
        reward: (P, T) in [-1, 1], NaN where empty.
        value: (P, T, S) signals in [-1, 1], NaN where none came.
        latency: (P, T, S) whole seconds, NaN where none came.
        late: (P, T, S) True where the signal came after the window and counts nowhere.
        contradicts: (P, T) True where two signals of a response contradict each other.
        left: (P,) True where the person left before the days were over.
    """

    start: date
    days: int
    count: Int
    at: Float
    action: Int
    reward: Float
    value: Float
    latency: Float
    late: Bool
    contradicts: Bool
    left: Bool

    def __len__(self) -> int:
        return len(self.count)

    @property
    def decisions(self) -> int:
        """Of all people together."""
        return int(self.count.sum())


def uniform(_: Float32, mask: Bool, rng: np.random.Generator) -> Int:
    """Each valid action alike."""
    return np.asarray(np.where(mask, rng.random(mask.shape), -1.0).argmax(axis=1), dtype=np.int64)


def roll_out(
    spec: LoopSpec,
    layout: EncodingLayout,
    model: UserModel,
    profiles: ProfileBatch,
    days: int,
    seed: int | Sequence[int],
    chooser: Chooser = uniform,
    start: date = FIRST_DAY,
    imperfections: Imperfections = TYPICAL,
) -> Journeys:
    """Play every profile's days, each with a first decision on day 0.

    Args:
        spec: the loop; ``spec.journeys`` says how often decisions come and what gap ends a journey.
        layout: which dimensions of a context mean what.
        model: how people respond.
        profiles: who they are.
        days: 1 to ``MOST_DAYS``.
        seed: the same gives the same journeys.
        chooser: who decides; uniformly over valid actions by default.
        start: day 0, which places weekdays and weeks.
        imperfections: shares of contradicting responses and of late signals.

    Raises:
        ShouldFixArgument: arguments out of range, profiles of another encoding, or a chooser that
            picked an action that is not valid.
        ShouldRestoreArtefact: the user model answered something that is no response.
    """
    _require(spec, layout, profiles, days)
    times, choices, answers, extras = (
        np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(4)
    )
    arrivals, calendar = Arrivals.of(spec.journeys), Calendar(spec, layout, start, days)
    definition = Definition(spec)
    person = np.arange(len(profiles))
    context = profiles.context.copy()
    operational = arrivals.first(len(profiles), times)
    shift = own_shift(spec, layout, profiles.context)
    shift = shift - np.floor(clock(operational) + shift)  # the first decision is on day 0
    left = np.zeros(len(profiles), dtype=np.bool_)
    steps: list[_Step] = []
    while len(person):
        at = clock(operational) + shift[person]
        placed = calendar.place(context, at)
        action = _chosen(chooser, placed, profiles.mask[person], choices)
        answer = model.respond(profiles.context[person], placed, action, answers)
        if not (np.abs(answer.context) <= 1.0 + 1e-5).all():
            raise ShouldRestoreArtefact(
                f"User model {model.release_id} answered a context that is not within [-1, 1].",
                "Fit the user model again.",
            )
        told = evidence(definition, answer, imperfections, extras)
        steps.append(_Step(person, at, action, np.asarray(answer.reward), told))
        ended = np.asarray(answer.ended, dtype=np.bool_)
        left[person[ended]] = True
        operational = arrivals.following(operational, times)
        goes_on = ~ended & (clock(operational) + shift[person] < days)
        person, operational = person[goes_on], operational[goes_on]
        context = answer.context[goes_on]
    return _assembled(steps, left, start, days, len(spec.signals))


@dataclass(frozen=True, slots=True)
class _Step:
    """The k-th decision of everyone who has one."""

    person: Int
    at: Float
    action: Int
    reward: Float
    evidence: Evidence


def _require(spec: LoopSpec, layout: EncodingLayout, profiles: ProfileBatch, days: int) -> None:
    if not 1 <= days <= MOST_DAYS:
        raise ShouldFixArgument(f"days={days} is not within 1..{MOST_DAYS}.", "Choose fewer days.")
    expected = Arrivals.of(spec.journeys).expected(days)
    if expected > MOST_DECISIONS:
        raise ShouldFixArgument(
            f"{days} days at journeys.decisions_per_day={spec.journeys.decisions_per_day:g} and "
            f"ends_after_hours={spec.journeys.ends_after_hours:g} are about {expected:,.0f} decisions "
            f"a person, more than {MOST_DECISIONS:,}.",
            "Simulate fewer days.",
        )
    wanted = (len(profiles), layout.width), (len(profiles), len(spec.actions))
    if (profiles.encoder, profiles.context.shape, profiles.mask.shape) != (layout.encoder, *wanted):
        raise ShouldFixArgument(
            f"Profiles {profiles.release_id} are of encoder {profiles.encoder} with contexts "
            f"{profiles.context.shape} and masks {profiles.mask.shape}, not of {layout.encoder} with "
            f"{wanted[0]} and {wanted[1]}.",
            "Draw them from a release of the present specification.",
        )
    if not len(profiles):
        raise ShouldFixArgument(f"Profiles {profiles.release_id}: there is nobody.", "Draw more.")
    undecidable = ~profiles.mask.any(axis=1)
    if undecidable.any():
        raise ShouldFixArgument(
            f"Profile {int(np.argmax(undecidable))} of {profiles.release_id} has no valid action.",
            "Keep an action such as no_action valid for everyone.",
        )


def _chosen(chooser: Chooser, context: Float32, mask: Bool, rng: np.random.Generator) -> Int:
    action = np.asarray(chooser(context, mask, rng), dtype=np.int64)
    if action.shape != (len(mask),):
        raise ShouldFixArgument(
            f"The chooser answered {action.shape}, not one action for each of {len(mask)} people."
        )
    inside = (action >= 0) & (action < mask.shape[1])
    valid = inside & mask[np.arange(len(mask)), np.where(inside, action, 0)]
    if not valid.all():
        row = int(np.argmin(valid))
        raise ShouldFixArgument(
            f"The chooser took action {int(action[row])}, which is not valid for its person.",
            "Choose among the actions that the mask allows.",
        )
    return action


def _assembled(
    steps: Sequence[_Step], left: Bool, start: date, days: int, signals: int
) -> Journeys:
    people, longest = len(left), len(steps)
    shape = (people, longest)
    count = np.zeros(people, dtype=np.int64)
    at, reward = np.full(shape, np.nan), np.full(shape, np.nan)
    action = np.full(shape, -1, dtype=np.int64)
    value, latency = np.full((*shape, signals), np.nan), np.full((*shape, signals), np.nan)
    late = np.zeros((*shape, signals), dtype=np.bool_)
    contradicts = np.zeros(shape, dtype=np.bool_)
    for place, step in enumerate(steps):
        rows = step.person
        count[rows] = place + 1
        at[rows, place], action[rows, place] = step.at, step.action
        reward[rows, place] = step.reward
        value[rows, place], latency[rows, place] = step.evidence.value, step.evidence.latency
        late[rows, place] = step.evidence.late
        contradicts[rows, place] = step.evidence.contradicts
    return Journeys(start, days, count, at, action, reward, value, latency, late, contradicts, left)
