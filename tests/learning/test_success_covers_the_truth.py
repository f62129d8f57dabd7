"""Intervals of the success metrics on people whose truth is known: they cover it at their rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pytest
from scipy.stats import binom

from bench.private.population_log import World, make_world
from everloop.contracts.datasets import DatasetManifest, EncodedEpisodes, Exclusions, Float
from everloop.contracts.evaluation import Estimate
from everloop.loops import load
from everloop.reporting import success
from everloop.reporting.success import success_figures
from synthetic.population import Population, PopulationSpec, logging_policy
from synthetic.population.dynamics import end_chance
from synthetic.population.responses import GRADES, LOWEST, STEP

LOOP = load("companion")
GROUPS, IN_GROUP, EACH = 150, 60, 6
CONFIDENCE = 0.95
RARE = 5e-4
"""How seldom a right interval may fail here."""
DAYS, AHEAD = 20, 7
EPOCH_DAY = 20_454
LAST = date(2026, 1, DAYS)
WINDOW = DatasetManifest("d", "companion", "default", LAST, 28, 1, 1, 1, "s", (), Exclusions())


def in_bounds(covered: int, of: int) -> bool:
    """Whether so many covering intervals are what a rate of 95 % gives."""
    low, high = binom.ppf([RARE, 1 - RARE], of, CONFIDENCE)
    return bool(low <= covered <= high)


@dataclass(frozen=True)
class Logged:
    """Many small logs of one population, the law of each row, and predictions."""

    world: World
    predicted: Float

    def log(self, group: int) -> EncodedEpisodes:
        rows = self.world.episodes.person // IN_GROUP == group
        return replace(
            self.world.episodes, holdout=np.ones_like(self.world.episodes.holdout)
        ).where(rows)

    def figure(self, name: str, group: int) -> Estimate:
        rows = self.world.episodes.person // IN_GROUP == group
        found = success_figures(LOOP, self.log(group), predicted=self.predicted[rows])
        return current(found, name)


def current(figures: tuple, name: str) -> Estimate:
    return next(figure.current for figure in figures if figure.name == name)


@pytest.fixture(scope="module")
def logged() -> Logged:
    world = make_world(LOOP, GROUPS * IN_GROUP, EACH, 3)
    predicted = np.tile(0.3 * world.episodes.context[:, :1].astype(np.float64), (1, 3))
    return Logged(world, predicted)


def of_kind(world: World, kind: str) -> np.ndarray:
    kinds = np.array([action.kind.value == kind for action in LOOP.actions])
    return kinds[world.episodes.action]


def graded(world: World) -> Float:
    """(n, 5) exact law of a reported resonance of the logged action, mean over its partners."""
    found = np.empty((len(world.episodes), GRADES))
    chances = world.truth.responses.chances(world.hidden)
    rows = np.arange(len(found))
    law = world.truth.responses._graded(chances[rows, world.episodes.action, 1])
    found[:] = law
    return found


def reaching(world: World, threshold: float) -> Float:
    """(n,) exact probability that the logged decision's reward reaches a threshold."""
    reward = LOOP.reward.model_copy(update={"success_at": threshold})
    loop = LOOP.model_copy(update={"reward": reward})
    truth = replace(world.truth, responses=replace(world.truth.responses, loop=loop))
    accepted = truth.acceptance(world.hidden)
    return np.asarray(accepted[np.arange(len(accepted)), world.episodes.action])


def true_acceptance(logged: Logged) -> float:
    rows = of_kind(logged.world, "intervention")
    return float(logged.world.acceptance(rows).mean())


def true_rejection(logged: Logged) -> float:
    world = logged.world
    rows = of_kind(world, "intervention")
    return float(1 - reaching(world, LOOP.reward.failure_at + 1e-6)[rows].mean())


def true_prediction_error(logged: Logged) -> float:
    """Over every decision with resonance evidence, which depends on the action alone."""
    world, value = logged.world, LOWEST + STEP * np.arange(GRADES)
    shown = world.truth.responses.presence()[world.episodes.action, 1]
    errors = (logged.predicted[:, [1]] - (2 * value - 1)) / 2
    square = (graded(world) * errors**2).sum(axis=1)
    # A pairing's mean law is not the law at the mean chance: those rows are taken as they came out.
    pairing = of_kind(world, "suggest_pairing")
    seen = pairing & np.isfinite(world.episodes.signals[:, 1])
    noisy = (logged.predicted[seen, 1] - world.episodes.signals[seen, 1]) / 2
    weighted = (shown * square)[~pairing].sum() + (noisy**2).sum()
    return float(np.sqrt(weighted / (shown[~pairing].sum() + seen.sum())))


def true_pairing_accuracy(logged: Logged) -> float:
    """Share of graded outcomes above the middle, over every draw of partners."""
    world, laws = logged.world, logged.world.truth.responses
    total = count = 0.0
    rng = np.random.default_rng(0)
    rows = of_kind(world, "suggest_pairing")
    hidden, action = world.hidden.where(rows), world.episodes.action[rows]
    for _ in range(40):
        partners = rng.choice(6, (len(action), 3), p=laws.partner_mix)
        law = laws._graded(laws.chances_with(hidden, action, partners)[:, 1])
        total += law[:, 3:].sum()
        count += len(law)
    return total / count


TRUTHS: dict[str, Callable[[Logged], float]] = {
    "pairing_accuracy": true_pairing_accuracy,
    "resonance_prediction_rmse": true_prediction_error,
    "intervention_acceptance": true_acceptance,
    "intervention_false_positive_rate": true_rejection,
}


@pytest.mark.parametrize("name", TRUTHS)
def test_intervals_cover_the_truth_at_their_rate(logged, name) -> None:
    truth = TRUTHS[name](logged)
    found = [logged.figure(name, group) for group in range(GROUPS)]
    covered = sum(figure.low <= truth <= figure.high for figure in found)
    assert in_bounds(covered, GROUPS), (covered, truth)
    # The same check refuses intervals of half the width.
    halved = sum(abs(figure.value - truth) <= (figure.high - figure.low) / 4 for figure in found)
    assert not in_bounds(halved, GROUPS), halved


@pytest.fixture(scope="module")
def lived() -> tuple[EncodedEpisodes, float]:
    """Days of a population whose people leave for good, and the true share of those seen again."""
    start = date(2026, 1, 1)
    population = Population(LOOP, GROUPS * 40, 5, PopulationSpec(arrivals_per_day=0.0))
    comes = population.spec.visits(LOOP)
    persons, days, again = [], [], []
    for number in range(DAYS):
        played = population.day(start + timedelta(days=number), logging_policy)
        made = played.decisions
        persons += [int(user.rsplit("-", 1)[1]) for user in played.user_ids]
        days += [number] * len(played)
        if number + AHEAD < DAYS:
            rows = np.arange(len(played))
            stays = 1 - end_chance(made.expected_reward[rows, made.action])
            again += (stays * (1 - (1 - comes) ** AHEAD)).tolist()
    n = len(persons)
    empty = make_world(LOOP, 2, 1, 1).episodes
    episodes = EncodedEpisodes(
        episode_id=np.arange(n).astype(str),
        person=np.array(persons),
        people=np.arange(GROUPS * 40).astype(str),
        context=np.zeros((n, empty.context.shape[1]), np.float32),
        interacting=empty.interacting,
        action=np.zeros(n, dtype=np.int64),
        mask=np.ones((n, len(LOOP.actions)), np.bool_),
        propensity=np.full(n, 0.125),
        reward=np.zeros(n),
        signals=np.zeros((n, 3)),
        holdout=np.zeros(n, np.bool_),
        comparison=np.zeros(n, np.bool_),
        timestamp=(EPOCH_DAY + np.array(days)) * 86_400.0,
        encoder="test-1",
    )
    return episodes, float(np.mean(again))


def test_retention_covers_what_the_leaving_law_says(lived) -> None:
    episodes, truth = lived
    found = []
    for group in range(GROUPS):
        log = episodes.where(episodes.person % GROUPS == group)
        found.append(current(success_figures(LOOP, log, manifest=WINDOW), "user_retention_7_day"))
    covered = sum(figure.low <= truth <= figure.high for figure in found)
    assert in_bounds(covered, GROUPS), (covered, truth)
    halved = sum(abs(figure.value - truth) <= (figure.high - figure.low) / 4 for figure in found)
    assert not in_bounds(halved, GROUPS)


def test_a_share_that_forgets_that_people_come_again_is_refused(lived, monkeypatch) -> None:
    """Rows of one person taken for rows of many: the check must see it."""
    episodes, truth = lived
    right = success.share_estimate
    copied = 4

    def careless(name: str, hits: Float, cluster: np.ndarray, confidence: float) -> Estimate:
        several = np.tile(hits, copied)
        return right(name, several, np.arange(len(several)), confidence)

    monkeypatch.setattr(success, "share_estimate", careless)
    covered = 0
    for group in range(GROUPS):
        log = episodes.where(episodes.person % GROUPS == group)
        figures = success_figures(LOOP, log, manifest=WINDOW)
        figure = current(figures, "user_retention_7_day")
        covered += figure.low <= truth <= figure.high
    assert not in_bounds(covered, GROUPS)
