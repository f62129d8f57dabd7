"""Ratings and differences of variants: by hand, with error held at every look."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.variants import PersonaVariant, VariantExperiment
from everloop.rollout.experiment.boundary import reach, tuned_to
from everloop.rollout.variants.effects import VariantObservations, performance
from everloop.rollout.variants.meeting import variant_of
from everloop.rollout.variants.winner import after, judge_variants

NOW = datetime(2026, 3, 28, tzinfo=UTC)


def experiment(*shares: float, min_people: int = 2, **changes: object) -> VariantExperiment:
    names = ("guide", "warm", "brief", "bold")[: len(shares)]
    variants = tuple(
        PersonaVariant("guide", name, {}, share) for name, share in zip(names, shares, strict=True)
    )
    made = VariantExperiment(
        "5f4b8f0e-3c6d-4b51-9b3f-2f0a7d1b6c45",
        "companion",
        "persona",
        variants,
        NOW,
        min_people=min_people,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def seen(*people: tuple[int, float, int]) -> VariantObservations:
    variant, total, count = zip(*people, strict=True)
    return VariantObservations(
        np.array(variant), np.array(total, dtype=float), np.array(count, dtype=np.int64)
    )


def test_ratings_and_their_variance_by_hand() -> None:
    # base: people with sums 1 of 2 and 0 of 2; warm: 2 of 2 and 1 of 2; one who met and said nothing
    observed = seen((0, 1.0, 2), (0, 0.0, 2), (1, 2.0, 2), (1, 1.0, 2), (1, 0.0, 0))
    base, warm = performance(experiment(50.0, 50.0), observed)
    assert base.metrics.rating is not None
    assert warm.metrics.rating is not None
    assert warm.metrics.difference is not None
    assert (base.metrics.people, base.metrics.feedback) == (2, 4)
    assert (warm.metrics.people, warm.metrics.feedback) == (3, 4)
    assert base.metrics.rating.value == pytest.approx(0.25)
    assert warm.metrics.rating.value == pytest.approx(0.75)
    # residuals S - R n: +-.5 each; var = 2/1 * (.25 + .25) / 16
    variance = 2 * (2 / 1 * 0.5 / 16)
    width = variance * float(reach(1 / variance, tuned_to(10 * 2 / 0.5, 0.05), 0.05))
    assert warm.metrics.difference.value == pytest.approx(0.5)
    assert warm.metrics.difference.low == pytest.approx(0.5 - width)
    assert warm.metrics.difference.high == pytest.approx(0.5 + width)
    assert base.metrics.difference is None


def test_error_is_split_over_the_variants() -> None:
    rng = np.random.default_rng(11)
    variant = rng.integers(0, 3, 600)
    observed = VariantObservations(variant, rng.uniform(-1, 1, 600), np.ones(600, dtype=np.int64))
    one = performance(experiment(30.0, 30.0, 40.0), observed)[1].metrics.difference
    assert one is not None
    assert one.confidence == pytest.approx(1 - 0.05 / 2)


def test_too_few_people_have_no_interval_and_decide_nothing() -> None:
    observed = seen((0, -1.0, 1), (0, -0.9, 1), (1, 1.0, 1), (1, 0.9, 1))
    found = performance(experiment(50.0, 50.0, min_people=3), observed)
    assert found[1].metrics.difference is not None
    assert math.isnan(found[1].metrics.difference.low)
    verdict = judge_variants(experiment(50.0, 50.0, min_people=3), found, NOW)
    assert (verdict.winner, verdict.stop) == ("", False)
    assert "Too few" in verdict.reason


def people(rng: np.random.Generator, rates: tuple[float, ...], number: int) -> VariantObservations:
    variant = rng.integers(0, len(rates), number)
    said = np.where(rng.random(number) < np.array(rates)[variant], 1.0, -1.0)
    return VariantObservations(variant, said, np.ones(number, dtype=np.int64))


def test_the_better_variant_wins_and_the_best_of_two() -> None:
    three = experiment(*[100.0 / 3] * 3)
    observed = people(np.random.default_rng(12), (0.4, 0.6, 0.8), 3_000)
    verdict = judge_variants(three, performance(three, observed), NOW)
    assert verdict.winner == "brief"
    ended = after(three, verdict)
    assert ended is not None
    assert (ended.state, ended.winner) == ("promoted", "brief")


def test_variants_that_are_all_worse_stop_and_one_that_may_win_does_not() -> None:
    three = experiment(*[100.0 / 3] * 3)
    worse = people(np.random.default_rng(13), (0.8, 0.5, 0.6), 3_000)
    assert judge_variants(three, performance(three, worse), NOW).stop
    mixed = people(np.random.default_rng(13), (0.8, 0.5, 0.8), 3_000)
    verdict = judge_variants(three, performance(three, mixed), NOW)
    assert (verdict.winner, verdict.stop) == ("", False)
    assert after(three, verdict) is None


def test_looking_every_day_promotes_no_equal_variant_too_often() -> None:
    """200 trials of 30 looks: at error .05 more than 20 promotions have a chance below 1e-3."""
    two, promoted = experiment(50.0, 50.0, min_people=20), 0
    for seed in range(200):
        observed = people(np.random.default_rng([14, seed]), (0.5, 0.5), 3_000)
        for last in range(100, 3_001, 100):
            part = VariantObservations(
                observed.variant[:last], observed.total[:last], observed.count[:last]
            )
            if judge_variants(two, performance(two, part), NOW).winner:
                promoted += 1
                break
    assert promoted <= 20


def test_judgements_outside_their_range_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match=r"\[-1, 1\]"):
        seen((0, 2.5, 2))
    with pytest.raises(ShouldFixArgument, match=r"\[-1, 1\]"):
        seen((0, math.nan, 2))


def test_shares_hold_and_nobody_moves() -> None:
    two = experiment(90.0, 10.0)
    names = [variant_of(two, f"{n:064x}").variant_id for n in range(4_000)]
    assert names == [variant_of(two, f"{n:064x}").variant_id for n in range(4_000)]
    assert 0.08 < names.count("warm") / 4_000 < 0.12


def test_when_it_is_over_everybody_meets_the_winner_or_the_base() -> None:
    two = experiment(90.0, 10.0)
    users = [f"{n:064x}" for n in range(50)]
    won = replace(two, state="promoted", winner="warm")
    assert {variant_of(won, u).variant_id for u in users} == {"warm"}
    stopped = replace(two, state="stopped")
    assert {variant_of(stopped, u).variant_id for u in users} == {"guide"}
    with pytest.raises(ShouldRestoreArtefact, match="bold"):
        variant_of(replace(two, state="promoted", winner="bold"), users[0])
