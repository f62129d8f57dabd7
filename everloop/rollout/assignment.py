"""Sticky assignment of people to arms: GrowthBook's hash, version 2.

A person's bucket is fnv1a32(str(fnv1a32(seed + user_id))) mod 10,000 / 10,000, with the 32-bit FNV-1a
hash over code points; the arms divide [0, 1) in order of their weights. The same person and seed give the
same bucket in every process and in every GrowthBook SDK, and a share that grows keeps whoever is in it
already. Another seed for another trial makes a fresh draw, and a loop's holdout has a seed of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import Float
from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollouts import RolloutRecord

_OFFSET = 0x811C9DC5
_PRIME = 0x01000193
_BUCKETS = 10_000
_ROWS = 100_000
_ARM = f"U{max(map(len, Arm))}"
_WITH_TRAFFIC = ("started", "paused")


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


def arm_of(user_id: str, rollout: RolloutRecord, percent: float) -> Arm:
    """The arm that a person of a live trial is in while ``percent`` of people meet the candidate.

    ``rollout.holdout_percent`` of people are held out: they never meet the candidate, and by a seed of
    their loop and tenant they are the same ones in every trial. Of the others ``percent`` meet it, drawn
    anew for each trial; a share that grows keeps whoever is in it. At 100 everybody but the holdout does.

    Raises:
        ShouldFixArgument: a percentage outside [0, 100], or an empty id.
    """
    if not 0.0 <= percent <= 100.0:
        raise ShouldFixArgument(f"percent={percent} is outside [0, 100].", "Give a percentage.")
    held = rollout.holdout_percent / 100.0
    if held > 0.0 and assign(user_id, holdout_seed(rollout), (held, 1.0 - held)) == 0:
        return Arm.HOLDOUT
    share = percent / 100.0
    if share > 0.0 and assign(user_id, rollout.rollout_id, (1.0 - share, share)) == 1:
        return Arm.CANDIDATE
    return Arm.ACTIVE


def arms_of(
    user_ids: Sequence[str], rollout: RolloutRecord, percents: Float | float
) -> NDArray[np.str_]:
    """``arm_of`` for n people at n moments: (n,) values of ``Arm``.

    Args:
        user_ids: n pseudonyms, repeated as they come.
        percents: (n,) or one percentage in [0, 100].

    Raises:
        ShouldFixArgument: as ``arm_of``; or the lengths differ.
    """
    shares = np.asarray(percents, dtype=np.float64) / 100.0
    if shares.ndim and shares.shape != (len(user_ids),):
        raise ShouldFixArgument(
            f"percents has shape {shares.shape} for {len(user_ids)} people.", "Give one each."
        )
    if not ((shares >= 0.0) & (shares <= 1.0)).all():
        raise ShouldFixArgument("percents has a value outside [0, 100].", "Give percentages.")
    found = np.full(len(user_ids), Arm.ACTIVE.value, dtype=_ARM)
    # the same edges as those of ``assign``, so that no rounding parts the two
    found[buckets(user_ids, rollout.rollout_id) >= 1.0 - shares] = Arm.CANDIDATE.value
    held = rollout.holdout_percent / 100.0
    if held > 0.0:
        found[buckets(user_ids, holdout_seed(rollout)) < held] = Arm.HOLDOUT.value
    return found


def expected_share(rollout: RolloutRecord, percent: float) -> float:
    """Share of all people who meet the candidate while ``percent`` of those not held out do."""
    return (1.0 - rollout.holdout_percent / 100.0) * percent / 100.0


def holdout_seed(rollout: RolloutRecord) -> str:
    """What a loop's holdout is drawn by, whatever is on trial."""
    return f"holdout/{rollout.tenant}/{rollout.loop}/"


def traffic_of(rollout: RolloutRecord) -> float:
    """Percent of those not held out who meet the candidate now; one that is paused keeps its traffic."""
    return rollout.traffic_percent if rollout.state in _WITH_TRAFFIC else 0.0


def in_trial(user_id: str, rollout: RolloutRecord) -> bool:
    """Whether a person meets the candidate now."""
    return arm_of(user_id, rollout, traffic_of(rollout)) is Arm.CANDIDATE


def buckets(user_ids: Sequence[str], seed: str) -> Float:
    """``bucket`` of n people, (n,)."""
    parts = [
        _bucketed(np.array(user_ids[start : start + _ROWS], dtype=np.str_), seed)
        for start in range(0, len(user_ids), _ROWS)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _bucketed(people: NDArray[np.str_], seed: str) -> Float:
    if not seed or (people == "").any():
        raise ShouldFixArgument(
            "A person's id or the seed is empty.", "Name the person and the trial."
        )
    points = people.view(np.uint32).reshape(len(people), -1)
    value = np.full(len(people), fnv1a32(seed), dtype=np.uint32)
    for column in points.T:  # NumPy pads shorter texts with zeros
        value = np.where(column > 0, (value ^ column) * np.uint32(_PRIME), value)
    twice = np.full(len(people), _OFFSET, dtype=np.uint32)
    for power in range(9, -1, -1):
        digit = value // np.uint32(10**power)
        written = (digit > 0) | (power == 0)
        step = (twice ^ (digit % np.uint32(10) + np.uint32(ord("0")))) * np.uint32(_PRIME)
        twice = np.where(written, step, twice)
    found: Float = twice % np.uint32(_BUCKETS) / _BUCKETS
    return found
