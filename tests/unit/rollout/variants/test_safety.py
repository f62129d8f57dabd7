"""What keeps a variant from winning: people who stop answering, other shares than asked for, time."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.variants import (
    PersonaPerformanceMetrics,
    PersonaVariant,
    VariantExperiment,
)
from everloop.rollout.experiment.boundary import reach, tuned_to
from everloop.rollout.experiment.srm import log_evidence
from everloop.rollout.variants.effects import VariantObservations, performance
from everloop.rollout.variants.response import Responded, response, response_difference
from everloop.rollout.variants.sharing import shares_met
from everloop.rollout.variants.winner import after, judge_variants

NOW = datetime(2026, 3, 28, tzinfo=UTC)
TWO = VariantExperiment(
    "5f4b8f0e-3c6d-4b51-9b3f-2f0a7d1b6c45",
    "companion",
    "persona",
    (
        PersonaVariant("guide", "guide", {}, 50.0),
        PersonaVariant("guide", "warm", {}, 50.0),
    ),
    NOW,
    min_people=100,
)


def spoken(
    seed: int, number: int, happy: tuple[float, float], unhappy_answer: tuple[float, float]
) -> VariantObservations:
    """People by turns; happy ones always judge 1, the others -1 in so many cases."""
    rng = np.random.default_rng(seed)
    variant = np.arange(number) % 2
    value = np.where(rng.random(number) < np.array(happy)[variant], 1.0, -1.0)
    answers = (value > 0) | (rng.random(number) < np.array(unhappy_answer)[variant])
    return VariantObservations(variant, np.where(answers, value, 0.0), answers.astype(np.int64))


def met(*people: tuple[float, int]) -> tuple[PersonaVariant, ...]:
    """Variants of (share in percent, people)."""
    return tuple(
        PersonaVariant("guide", name, {}, share, PersonaPerformanceMetrics(people=number))
        for name, (share, number) in zip(("guide", "warm", "brief"), people, strict=False)
    )


def test_a_variant_that_silences_the_unhappy_does_not_win() -> None:
    seen = spoken(11, 4_000, happy=(0.5, 0.5), unhappy_answer=(1.0, 0.2))
    judged = performance(TWO, seen)
    assert judged[1].metrics.difference is not None
    assert judged[1].metrics.difference.low > 0
    verdict = judge_variants(TWO, judged, NOW)
    assert (verdict.winner, verdict.stop) == ("", False)
    assert "may have stopped answering" in verdict.reason
    assert after(TWO, verdict) is None
    honest = spoken(11, 4_000, happy=(0.5, 0.7), unhappy_answer=(0.6, 0.6))
    assert judge_variants(TWO, performance(TWO, honest), NOW).winner == "warm"


def test_the_second_best_wins_where_the_best_is_silent() -> None:
    three = replace(
        TWO, variants=tuple(replace(v, traffic_percentage=100 / 3) for v in met(*[(50.0, 0)] * 3))
    )
    variant = np.arange(6_000) % 3
    rng = np.random.default_rng(12)
    value = np.where(rng.random(6_000) < np.array([0.4, 0.6, 0.5])[variant], 1.0, -1.0)
    answers = (value > 0) | (variant != 2)
    seen = VariantObservations(variant, value * answers, answers.astype(np.int64))
    assert judge_variants(three, performance(three, seen), NOW).winner == "warm"


def test_response_and_its_difference_by_hand() -> None:
    base, one = Responded(60, 200), Responded(30, 100)
    shown = response(base, 0.95)
    assert (shown.value, shown.n, shown.clusters) == (0.3, 60, 200)
    # Wilson's interval of 60 of 200
    assert (shown.low, shown.high) == pytest.approx((0.24071, 0.36682), abs=1e-4)
    found = response_difference(one, base, 100, 0.05)
    p, q = 31 / 102, 61 / 202
    v = p * (1 - p) / 100 + q * (1 - q) / 200
    width = v * float(reach(1 / v, tuned_to(10 * 100 / 0.5, 0.05), 0.05))
    assert (found.low, found.high) == pytest.approx((-width, width))
    assert math.isnan(response_difference(one, base, 101, 0.05).low)


def test_nobody_and_everybody_have_an_error_too() -> None:
    assert math.isnan(Responded(0, 0).share)
    assert response_difference(Responded(100, 100), Responded(100, 100), 100, 0.05).low < 0
    assert math.isnan(response(Responded(0, 0), 0.95).low)


def test_looking_at_equal_response_rates_every_day_misses_the_truth_seldom() -> None:
    """200 trials of 20 looks: at error .05 more than 20 misses have a chance below 1e-3."""
    missed = 0
    for seed in range(200):
        said = np.random.default_rng([13, seed]).random((2, 2_000)) < 0.3
        sums = said.cumsum(axis=1)
        looks = [
            response_difference(Responded(int(b), n), Responded(int(a), n), 100, 0.05)
            for n, (a, b) in zip(range(100, 2_001, 100), sums[:, 99::100].T, strict=True)
        ]
        missed += any(not look.low <= 0.0 <= look.high for look in looks)
    assert missed <= 20


@pytest.mark.parametrize("lost", [0, 1])
def test_people_in_other_shares_than_asked_for_stop_it(lost: int) -> None:
    people = [1_000, 1_000]
    people[lost] = 700
    verdict = judge_variants(TWO, met((50.0, people[0]), (50.0, people[1])), NOW)
    assert verdict.stop
    assert "other shares" in verdict.reason
    assert verdict.ratio is not None
    assert verdict.ratio.mismatch
    even = judge_variants(TWO, met((50.0, 1_000), (50.0, 980)), NOW)
    assert not even.stop
    assert even.ratio is not None
    assert even.ratio.expected == {"guide": 990.0, "warm": 990.0}


def test_a_mismatch_stops_a_winner() -> None:
    seen = spoken(11, 4_000, happy=(0.5, 0.8), unhappy_answer=(1.0, 1.0))
    assert judge_variants(TWO, performance(TWO, seen), NOW).winner == "warm"
    kept = np.flatnonzero((seen.variant == 0) | (np.arange(4_000) % 5 != 1))
    less = VariantObservations(seen.variant[kept], seen.total[kept], seen.count[kept])
    verdict = judge_variants(TWO, performance(TWO, less), NOW)
    assert (verdict.winner, verdict.stop) == ("", True)


def test_shares_of_several_variants_are_a_chain_of_pairs_with_mean_one() -> None:
    by_hand = log_evidence([(50, 50, 0.5), (30, 20, 0.3 / 0.5)])
    assert shares_met(met((50.0, 50), (30.0, 20), (20.0, 30))).log_evidence == pytest.approx(
        by_hand
    )
    mean = 0.0
    for order in itertools.product(range(3), repeat=5):
        counts = np.bincount(order, minlength=3).tolist()
        chance = math.prod((0.5, 0.3, 0.2)[place] for place in order)
        found = shares_met(tuple(met((50.0, counts[0]), (30.0, counts[1]), (20.0, counts[2]))))
        mean += chance * math.exp(found.log_evidence)
    assert mean == pytest.approx(1.0)


def test_whoever_met_a_variant_without_a_share_is_wrong() -> None:
    assert shares_met(met((0.0, 1), (100.0, 900))).mismatch
    assert not shares_met(met((0.0, 0), (100.0, 900))).mismatch


def test_after_so_many_days_it_stops_undecided_and_a_winner_still_wins() -> None:
    equal = performance(TWO, spoken(11, 400, happy=(0.5, 0.5), unhappy_answer=(0.6, 0.6)))
    last = NOW + timedelta(days=28)
    before = judge_variants(TWO, equal, last - timedelta(seconds=1))
    assert (before.winner, before.stop) == ("", False)
    verdict = judge_variants(TWO, equal, last)
    assert verdict.stop
    assert "Undecided after 28.0 of at most 28 days" in verdict.reason
    ended = after(TWO, verdict)
    assert ended is not None
    assert (ended.state, ended.winner) == ("stopped", "")
    assert not judge_variants(replace(TWO, max_days=29), equal, last).stop
    better = performance(TWO, spoken(11, 4_000, happy=(0.5, 0.8), unhappy_answer=(1.0, 1.0)))
    assert judge_variants(TWO, better, last).winner == "warm"
    assert not judge_variants(replace(TWO, state="promoted", winner="warm"), equal, last).stop


def test_no_days_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="max_days=0"):
        replace(TWO, max_days=0)
