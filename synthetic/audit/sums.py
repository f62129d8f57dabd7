"""People planted in the profiles' statistics, each alone in a bin of a category.

A person's vector is clipped to norm 1, and a canary's is all in one bin: it moves that bin's noisy sum
by the most that a person may. What is audited is the function that releases.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from everloop.contracts.datasets import EncodedBlock, EncodedEpisodes, EncodingLayout, Float
from everloop.contracts.privacy import GaussianMechanism
from synthetic.audit.verdict import AuditResult, judge
from synthetic.marginals import variables
from synthetic.noise import Noise, SealedNoise
from synthetic.people import PeopleEpisodes, gather, people_of
from synthetic.profile_statistics import ProfileBlocks, shares_alone

ORDINARY_BINS = 8
EACH = 20
Sums = Callable[[ProfileBlocks, PeopleEpisodes, GaussianMechanism, int, Noise], Float]
"""The signature of ``synthetic.profile_statistics.noisy_sums``."""


def audit_sums(
    release: str,
    sums: Sums,
    canaries: int,
    ordinary: int,
    mechanism: GaussianMechanism,
    epsilon: float,
    delta: float,
    seed: int,
    noise_seed: bytes,
) -> AuditResult:
    """Release the sums of planted people and judge them.

    Args:
        release: what is audited.
        sums: the shipped function.
        canaries: people whose coin is thrown.
        ordinary: people who take part in any case.
        mechanism: what was paid for, one step.
        epsilon, delta: what it claims to cost.
        seed: of the coins.
        noise_seed: 32 bytes.
    """
    rng = np.random.default_rng([seed, canaries, ordinary])
    included = rng.random(canaries) < 0.5
    layout = EncodingLayout(
        "audit",
        canaries + ORDINARY_BINS,
        (EncodedBlock("bin", "category", 0, canaries + ORDINARY_BINS),),
    )
    bins = np.concatenate(
        [
            canaries + rng.integers(0, ORDINARY_BINS, ordinary * EACH),
            np.repeat(np.flatnonzero(included), EACH),
        ]
    )
    episodes = _episodes(bins, layout.width)
    expected = len(people_of(episodes))
    people = gather(episodes, people_of(episodes), EACH)
    released = sums(
        shares_alone(layout), people, mechanism, expected, SealedNoise(noise_seed, "audit")
    )
    (category,) = variables(layout)
    own = released[category.part][:canaries] * expected
    deviation = mechanism.sigma * mechanism.clip
    return judge(release, own, included, deviation, epsilon, delta)


def _episodes(bins: np.ndarray[tuple[int], np.dtype[np.int64]], width: int) -> EncodedEpisodes:
    """Rows in given bins, ``EACH`` of them a person."""
    rows = len(bins)
    context = np.zeros((rows, width), dtype=np.float32)
    context[np.arange(rows), bins] = 1.0
    return EncodedEpisodes(
        episode_id=np.array([f"{row}" for row in range(rows)], dtype=np.str_),
        person=np.arange(rows) // EACH,
        people=np.array([f"{index:064x}" for index in range(rows // EACH)], dtype=np.str_),
        context=context,
        interacting=np.zeros(width, dtype=np.bool_),
        action=np.zeros(rows, dtype=np.int64),
        mask=np.ones((rows, 1), dtype=np.bool_),
        propensity=np.ones(rows),
        reward=np.zeros(rows),
        signals=np.zeros((rows, 1)),
        holdout=np.zeros(rows, dtype=np.bool_),
        comparison=np.zeros(rows, dtype=np.bool_),
        timestamp=np.arange(rows, dtype=np.float64),
        encoder="audit",
    )
