"""What a release measures: blocks of norm one together, pairs only where the population pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import GaussianMechanism
from synthetic.noise import SealedNoise
from synthetic.people import gather, people_of
from synthetic.profiles.marginals import variables
from synthetic.profiles.persona_space import persona_space
from synthetic.profiles.plan import LARGEST_DEVIATION, TYPICAL_SQUARE, profile_plan
from synthetic.profiles.sampling import fitted_mixture, mixture_of
from synthetic.profiles.statistics import (
    ProfileBlocks,
    ProfileFacts,
    ProfileStatistics,
    noisy_sums,
    statistics_of,
)
from tests.unit.synthetic.world import LAYOUT, SPEC, make

FIRST_FIT = 0.0036
"""mu^2 of the first release of profiles under the default budget."""


def spec_of(people: int) -> LoopSpec:
    document = SPEC.model_dump()
    document["privacy"] |= {"people_expected": people}
    return LoopSpec.model_validate(document)


def blocks_of(people: int) -> ProfileBlocks:
    spec = spec_of(people)
    return ProfileBlocks(LAYOUT, profile_plan(spec, LAYOUT, FIRST_FIT), persona_space(spec, LAYOUT))


def test_few_people_pay_for_no_pair() -> None:
    plan = blocks_of(3_000).plan
    assert plan.pairs.pairs == ()
    assert (plan.shares_part, plan.pairs_part, plan.persona_part) == (0.7, 0.0, 0.3)


def test_many_people_pay_for_pairs_within_the_bound() -> None:
    plan = blocks_of(20_000).plan
    assert 0 < len(plan.pairs.pairs) <= 15
    assert plan.shares_part + plan.pairs_part + plan.persona_part == pytest.approx(1.0)
    for tables, part in ((6, plan.shares_part), (len(plan.pairs.pairs), plan.pairs_part)):
        noise = np.sqrt(TYPICAL_SQUARE * tables / (FIRST_FIT * part)) / 20_000
        assert noise <= LARGEST_DEVIATION * (1 + 1e-9)
    assert len(blocks_of(200_000).plan.pairs.pairs) == 15


def test_categories_and_interacting_fields_come_first() -> None:
    names = [v.block.field for v in variables(LAYOUT)]
    few = next(
        plan for people in range(3_000, 30_000, 250) if (plan := blocks_of(people).plan).pairs.pairs
    )
    paired = {(names[i], names[j]) for i, j in few.pairs.pairs}
    assert ("mood", "group") in paired


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 25), st.sampled_from([3_000, 20_000, 200_000]))
def test_one_person_moves_the_release_by_at_most_one(seed: int, each: int, people: int) -> None:
    episodes = make(4, each=each, seed=seed)
    blocks = blocks_of(people)
    vectors = blocks.vectors(gather(episodes, people_of(episodes), 20))
    assert vectors.shape == (4, sum(blocks.sizes))
    assert np.linalg.norm(vectors, axis=1).max() <= 1.0 + 1e-12


def dependent(people: int) -> EncodedEpisodes:
    """People whose group follows from their mood."""
    episodes = make(people, each=1, seed=3)
    group = np.digitize(episodes.context[:, 0], [-0.2, 0.2])
    episodes.context[:, 9:12] = np.eye(3)[group]
    return episodes


def released(people: int, expected: int, sigma: float) -> tuple[ProfileBlocks, ProfileStatistics]:
    episodes = dependent(people)
    blocks = blocks_of(expected)
    mechanism = GaussianMechanism(sigma, 1.0, 1)
    drawn = SealedNoise(bytes(range(32)), "profiles")
    everyone = gather(episodes, people_of(episodes), 20)
    vector = noisy_sums(blocks, everyone, mechanism, people, drawn)
    plan = blocks.plan
    parts = [sigma / people / np.sqrt(part) if part else 1.0 for part in blocks.parts]
    facts = ProfileFacts(
        "a" * 32, "small", LAYOUT.encoder, plan.shares_scale, 0.01, parts[0], people, sigma, "",
        plan.pairs_scale, parts[1], parts[2], plan.group, plan.pairs.pairs, blocks.parts,
    )  # fmt: skip
    return blocks, statistics_of(blocks, vector, facts)


def mood_and_group(statistics: ProfileStatistics) -> float:
    """Mutual information of mood and group among drawn people, nats."""
    mixture = statistics.mixture or mixture_of(LAYOUT, statistics)
    joint = mixture.joint[:10][:, 53:56]
    joint = joint / joint.sum()
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    kept = joint > 0
    return float((joint[kept] * np.log(joint[kept] / apart[kept])).sum())


def test_what_goes_together_is_drawn_together() -> None:
    blocks, statistics = released(3_000, 200_000, 2.0)
    assert statistics.pairs.shape == (blocks.plan.pairs.cells,)
    assert mood_and_group(statistics) < 1e-9, "independent until it is fitted"
    mixture = fitted_mixture(LAYOUT, statistics)
    assert mixture is not None
    fitted = ProfileStatistics(statistics.sums, statistics.facts, mixture=mixture)
    assert mood_and_group(fitted) > 0.3


def test_far_fewer_people_than_expected_are_drawn_independently() -> None:
    _, statistics = released(40, 200_000, 30.0)
    assert fitted_mixture(LAYOUT, statistics) is None
