"""Texts as sets of hashed shingles, and the smallest of those hashes kept for verification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.errors import ShouldFixArgument

SHINGLE = 5
"""Characters."""
SKETCH = 256
"""Smallest hashes that are kept of a text."""
_BLOCK = 1 << 16
_Kind = TypeVar("_Kind", bound=np.generic)
_MULTIPLIERS = np.array(
    [
        0x9E3779B97F4A7C15,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0xD6E8FEB86659FD93,
        0xA0761D6478BD642F,
    ],
    dtype=np.uint64,
)


def shingle_hashes(text: str) -> NDArray[np.uint64]:
    """Hashes of the shingles of a text, sorted, each once, at least one; shape (shingles,)."""
    plain = " ".join(text.lower().split())
    points = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    if len(points) < SHINGLE:
        points = np.concatenate([points, np.zeros(SHINGLE - len(points), dtype=np.uint32)])
    wide = points.astype(np.uint64) + np.uint64(1)
    count = len(wide) - SHINGLE + 1
    hashes = wide[:count] * _MULTIPLIERS[0]
    for offset in range(1, SHINGLE):
        hashes ^= hashes >> np.uint64(31)
        hashes += wide[offset : offset + count]
        hashes *= _MULTIPLIERS[offset]
    hashes ^= hashes >> np.uint64(32)
    hashes *= _MULTIPLIERS[0]
    hashes ^= hashes >> np.uint64(29)
    hashes.sort()
    once: NDArray[np.uint64] = hashes[np.concatenate([[True], hashes[1:] != hashes[:-1]])]
    return once


def similarity(
    one: NDArray[np.uint32], one_whole: bool, other: NDArray[np.uint32], other_whole: bool
) -> float:
    """Jaccard similarity of two texts from their sorted sketches, in [0, 1].

    Exact where both are whole; otherwise over the hashes below the smaller end of those that are not.
    """
    if not (one_whole and other_whole):
        ends = [
            sketch[-1] for sketch, whole in ((one, one_whole), (other, other_whole)) if not whole
        ]
        end = min(ends)
        one = one[: np.searchsorted(one, end, side="right")]
        other = other[: np.searchsorted(other, end, side="right")]
    both = np.concatenate([one, other])
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


class _Block:
    """65,536 sketches one after the other."""

    def __init__(self, bands: int) -> None:
        self.keys = np.empty((256, bands), dtype=np.uint32)
        self.starts = np.zeros(257, dtype=np.uint32)
        self.whole = np.empty(256, dtype=np.bool_)
        self.hashes = np.empty(16_384, dtype=np.uint32)
        self.count = 0

    def add(self, sketch: NDArray[np.uint32], whole: bool, keys: NDArray[np.uint32]) -> None:
        row, start = self.count, int(self.starts[self.count])
        if row == len(self.whole):
            self.keys = _grown(self.keys, row * 2)
            self.whole = _grown(self.whole, row * 2)
            self.starts = _grown(self.starts, row * 2 + 1)
        if start + len(sketch) > len(self.hashes):
            self.hashes = _grown(self.hashes, max(start + len(sketch), len(self.hashes) * 3 // 2))
        self.keys[row], self.whole[row] = keys, whole
        self.hashes[start : start + len(sketch)] = sketch
        self.starts[row + 1] = start + len(sketch)
        self.count += 1

    def close(self) -> None:
        """Let go of the room that growing left."""
        self.hashes = self.hashes[: self.starts[self.count]].copy()

    @property
    def memory_bytes(self) -> int:
        parts = (self.keys, self.starts, self.whole, self.hashes)
        return int(sum(part.nbytes for part in parts))


class SketchPool:
    """Sketches and band keys by running number; the oldest block goes where there are too many.

    Raises:
        ShouldFixArgument: ``limit`` is below 1.
    """

    def __init__(self, bands: int, limit: int) -> None:
        if limit < 1:
            raise ShouldFixArgument(f"{limit} texts cannot be remembered.", "Give at least 1.")
        self._bands, self._limit = bands, limit
        self._blocks: dict[int, _Block] = {}
        self._next = 0
        self.oldest = 0

    def __len__(self) -> int:
        return self._next - self.oldest

    def add(self, sketch: NDArray[np.uint32], whole: bool, keys: NDArray[np.uint32]) -> int:
        """Keep one; its number."""
        number = self._next
        place = number // _BLOCK
        if number % _BLOCK == 0:
            if place - 1 in self._blocks:
                self._blocks[place - 1].close()
            self._blocks[place] = _Block(self._bands)
        self._blocks[place].add(sketch, whole, keys)
        self._next += 1
        first = min(self._blocks)
        if len(self) - _BLOCK >= self._limit:
            del self._blocks[first]
            self.oldest = (first + 1) * _BLOCK
        return number

    def sketch(self, number: int) -> tuple[NDArray[np.uint32], bool]:
        """A sketch and whether it is the whole set."""
        block, row = self._blocks[number // _BLOCK], number % _BLOCK
        return block.hashes[block.starts[row] : block.starts[row + 1]], bool(block.whole[row])

    def keys(self, number: int) -> NDArray[np.uint32]:
        """Band keys, (bands,)."""
        keys: NDArray[np.uint32] = self._blocks[number // _BLOCK].keys[number % _BLOCK]
        return keys

    def blocks(self) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        """Each block's first number and its band keys, oldest first."""
        for place, block in self._blocks.items():
            yield place * _BLOCK, block.keys[: block.count]

    @property
    def memory_bytes(self) -> int:
        """Of all blocks."""
        return sum(block.memory_bytes for block in self._blocks.values())


def _grown(array: NDArray[_Kind], length: int) -> NDArray[_Kind]:
    larger = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
