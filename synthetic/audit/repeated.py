"""One person planted in a release that is cheap enough to make a thousand times.

Where everybody shares a few dimensions there is no direction of one's own for a thousand canaries in one
run. So the release is made once for each coin, with one and the same person taken in or left out, and
noise of its own; the auditor knows everything else and reads the output along the direction in which
that person moves it. The coins are independent, so the bound is that of the one-run audit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from synthetic.audit.verdict import AuditResult, Shift, judge
from synthetic.noise import Noise, SealedNoise

SHIFT_TOLERANCE = 0.25
"""How far the planted person may be from the longest that there can be: an encoded person need not fill
every block of the vector."""
Make = Callable[[bool, Noise], Float]
"""The released numbers with the person (True) or without, under some noise."""


def audit_repeated(
    release: str,
    make: Make,
    runs: int,
    deviation: float,
    most: float,
    epsilon: float,
    delta: float,
    seed: int,
    noise_seed: bytes,
) -> AuditResult:
    """Make a release ``runs`` times and judge it.

    Args:
        release: what is audited.
        make: the shipped code on the audit's people.
        runs: coins that are thrown.
        deviation: standard deviation that the paid noise gives each released number.
        most: length that one person may move the released numbers by.
        epsilon, delta: what one release claims to cost.
        seed: of the coins.
        noise_seed: 32 bytes; every run has a stream of its own.

    Raises:
        ShouldFixArgument: the person moves nothing.
    """
    included = np.random.default_rng([seed, runs]).random(runs) < 0.5
    base = make(False, _silence)
    moved = make(True, _silence) - base
    length = float(np.linalg.norm(moved))
    if not length > 0.0:
        raise ShouldFixArgument(
            f"The planted person does not move {release}.", "Plant somebody who is clipped."
        )
    scores = np.array(
        [
            float((make(bool(coin), _stream(noise_seed, run)) - base) @ moved / length)
            for run, coin in enumerate(included)
        ]
    )
    shift = Shift(length / most, SHIFT_TOLERANCE)
    return judge(release, scores, included, deviation, shift, epsilon, delta)


def _silence(shape: tuple[int, ...]) -> Float:
    return np.zeros(shape)


def _stream(seed: bytes, run: int) -> Noise:
    return SealedNoise(hashlib.sha256(seed + run.to_bytes(8, "big")).digest(), "audit")
