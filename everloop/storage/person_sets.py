"""Sets of people as bits, one for each number a person may have.

A release covers most people of a workspace or few, so a set is a fraction of a byte a person once it is
compressed; rows of (person, release) would take a gigabyte for what these keep in a few megabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.bool_]


def packed(numbers: Sequence[int]) -> bytes:
    """A set of numbers >= 0, compressed."""
    bits = np.zeros(max(numbers, default=-1) + 1, dtype=np.bool_)
    bits[list(numbers)] = True
    return zlib.compress(np.packbits(bits).tobytes(), 1)


def unpacked(data: bytes) -> Bits:
    """Whether each number is in the set; numbers past the end are not."""
    raw = np.frombuffer(zlib.decompress(data), dtype=np.uint8)
    return np.unpackbits(raw).astype(np.bool_)


def among(data: bytes, numbers: npt.NDArray[np.int64]) -> Bits:
    """Whether each of ``numbers`` (-1: of nobody) is in the set; (len(numbers),)."""
    bits = unpacked(data)
    inside = (numbers >= 0) & (numbers < len(bits))
    found = np.zeros(len(numbers), dtype=np.bool_)
    found[inside] = bits[numbers[inside]]
    return found
