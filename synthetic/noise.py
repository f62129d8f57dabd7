"""Gaussian noise from a release's secret seed: the same after a crash, unpredictable without it."""

from __future__ import annotations

import hashlib
import math
from typing import Protocol

import numpy as np
from scipy.special import ndtri

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument

SEED_BYTES = 32


class Noise(Protocol):
    """A source of independent standard normal numbers; every call continues the stream."""

    def __call__(self, shape: tuple[int, ...]) -> Float:
        """An array of the shape."""


class SealedNoise:
    """A stream of standard normals that SHAKE-256 expands from the seed and a purpose.

    All 256 bits of the seed count. (A ``torch.Generator`` on the CPU keeps only 32 bits of its seed,
    few enough to try them all against a published model.) Each number is half the sum of four
    normals, which hides the low bits that would give a float's sampler away (Holohan and Braghin,
    "Secure random sampling in differential privacy", ESORICS 2021).

    Raises:
        ShouldFixArgument: the seed has not 32 bytes.
    """

    def __init__(self, seed: bytes, purpose: str) -> None:
        if len(seed) != SEED_BYTES:
            raise ShouldFixArgument(
                f"A noise seed has {SEED_BYTES} bytes, not {len(seed)}.",
                "Take it from the release's reservation.",
            )
        self._prefix = seed + purpose.encode() + b"\0"
        self._calls = 0

    def __call__(self, shape: tuple[int, ...]) -> Float:
        count = math.prod(shape)
        stream = hashlib.shake_256(self._prefix + self._calls.to_bytes(8, "big"))
        self._calls += 1
        words = np.frombuffer(stream.digest(count * 4 * 8), dtype=">u8").reshape(4, count)
        uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        noise: Float = ndtri(uniform).sum(axis=0).reshape(shape) / 2.0
        return noise
