"""Sticky assignment of people to arms: GrowthBook's hash, version 2.

A person's bucket is fnv1a32(str(fnv1a32(seed + user_id))) mod 10,000 / 10,000, with the 32-bit FNV-1a
hash over code points; the arms divide [0, 1) in order of their weights. The same person and seed give the
same bucket in every process and in every GrowthBook SDK, and a share that grows keeps whoever is in it
already. Another seed for another trial makes a fresh draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollouts import RolloutRecord

_OFFSET = 0x811C9DC5
_PRIME = 0x01000193
_BUCKETS = 10_000


def fnv1a32(text: str) -> int:
    """32-bit FNV-1a over code points, as GrowthBook's SDKs compute it for ASCII."""
    value = _OFFSET
    for character in text:
        value = (value ^ ord(character)) * _PRIME & 0xFFFFFFFF
    return value


def bucket(user_id: str, seed: str) -> float:
    """A person's place in [0, 1), a multiple of 1/10,000."""
    return fnv1a32(str(fnv1a32(seed + user_id))) % _BUCKETS / _BUCKETS


def choose(place: float, ranges: Sequence[tuple[float, float]]) -> int:
    """Index of the half-open range that holds ``place``; -1 where none does."""
    for index, (low, high) in enumerate(ranges):
        if low <= place < high:
            return index
    return -1


def assign(user_id: str, seed: str, weights: Sequence[float]) -> int:
    """Index of a person's arm.

    Args:
        user_id: the person's pseudonym.
        seed: what is being tried; a rollout's id.
        weights: share of each arm, each >= 0, together 1.

    Raises:
        ShouldFixArgument: weights that are no shares, or an empty id or seed (everybody would be in one
            arm).
    """
    if not user_id or not seed:
        raise ShouldFixArgument(
            f"assign: user_id={user_id!r}, seed={seed!r} is empty.",
            "Name the person and the trial.",
        )
    if not all(0.0 <= w <= 1.0 for w in weights) or not math.isclose(
        sum(weights), 1.0, abs_tol=1e-6
    ):
        raise ShouldFixArgument(
            f"assign: weights {tuple(weights)} are no shares of 1.", "Give one share per arm."
        )
    edges = [0.0, *accumulate(weights)]
    # rounding of the sum may leave the last bucket outside every range
    edges[-1] = 1.0
    return choose(bucket(user_id, seed), list(pairwise(edges)))


def in_trial(user_id: str, rollout: RolloutRecord) -> bool:
    """Whether a person meets the candidate: the share ``traffic_percent`` of a started rollout."""
    if rollout.state != "started":
        return False
    share = rollout.traffic_percent / 100.0
    return assign(user_id, rollout.rollout_id, (1.0 - share, share)) == 1
