"""The public projection of wide vector fields: fixed for ever, the same on every platform."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np

from everloop.contracts.datasets import Float

_GRID = 2.0**-24
"""Entries are rounded to this grid, far above the last-bit differences of libm's cosine."""


def _digests(purpose: str, width: int, project_to: int) -> list[bytes]:
    """One SHA-256 digest per input dimension; ``purpose`` separates the streams."""
    return [
        hashlib.sha256(
            f"everloop/projection/1/{width}/{project_to}/{purpose}/{i}".encode()
        ).digest()
        for i in range(width)
    ]


@lru_cache(maxsize=64)
def public_projection(width: int, project_to: int) -> Float:
    """(project_to, width) matrix with orthonormal rows, from no data at all.

    A subsampled randomised cosine transform (Ailon & Chazelle 2009, with the DCT-II as the
    orthogonal transform): P[r, i] = s_i sqrt((1 + [j_r > 0]) / width) cos(pi (2 i + 1) j_r / (2 width)).
    The sign s_i is the lowest bit of a SHA-256 digest of (width, project_to, i); the frequencies
    j_r are the ``project_to`` frequencies with the smallest digests, in that order. Rows are
    orthonormal to 1e-6: the entries are rounded to multiples of 2**-24. The identity when
    ``project_to`` is ``width``.
    """
    if project_to == width:
        return np.eye(width)
    signs = [1.0 if digest[0] & 1 else -1.0 for digest in _digests("sign", width, project_to)]
    order = _digests("frequency", width, project_to)
    frequencies = sorted(range(width), key=lambda j: order[j])[:project_to]
    rows = [
        [
            sign
            * math.sqrt((2.0 if j else 1.0) / width)
            * math.cos(math.pi * ((2 * i + 1) * j % (4 * width)) / (2 * width))
            for i, sign in enumerate(signs)
        ]
        for j in frequencies
    ]
    matrix: Float = np.rint(np.array(rows) / _GRID) * _GRID
    matrix.flags.writeable = False
    return matrix
