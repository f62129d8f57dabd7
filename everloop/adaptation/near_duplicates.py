"""Near-duplicates in a stream: MinHash signatures in bands, every hit verified by its Jaccard similarity.

A text is the set of its 5-character shingles, in lower case with runs of white space as one blank; a
shorter text is one shingle. Signatures are rensa's 128 R-MinHash slots, cut into ``bands_for`` bands: two
texts of similarity s share a band with probability 1 - (1 - s^rows)^bands (Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, 3.4). Whoever shares one is verified on the texts' smallest shingle hashes: up
to ``SKETCH`` shingles that is the exact Jaccard similarity; beyond, an unbiased estimate from the smallest
``SKETCH`` hashes (Bar-Yossef et al. 2002), with a standard error of .025 at .8.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from everloop.adaptation.shingle_sketches import SKETCH, SketchPool, shingle_hashes, similarity
from everloop.contracts.errors import ShouldFixArgument

PERMUTATIONS = 128
LEAST_RECALL = 0.99
"""Of pairs exactly at the threshold, by the formula above."""
DEFAULT_REMEMBERED = 4_000_000
_SEED = 42
_FIRST_SLOTS = 1 << 12
_BATCH = 512
_NONE = np.int32(-1)


def bands_for(jaccard: float) -> tuple[int, int]:
    """Bands and rows with ``bands * rows`` = 128: the longest rows that still find 99 % of the pairs at
    ``jaccard``; (32, 4) at .8.

    Raises:
        ShouldFixArgument: ``jaccard`` is not in (0, 1], or so small that 128 slots cannot do it.
    """
    if not 0.0 < jaccard <= 1.0:
        raise ShouldFixArgument(f"A Jaccard similarity of {jaccard!r} leaves (0, 1].", "Give .8.")
    for rows in (16, 8, 4, 2, 1):
        bands = PERMUTATIONS // rows
        if 1.0 - (1.0 - jaccard**rows) ** bands >= LEAST_RECALL:
            return bands, rows
    raise ShouldFixArgument(
        f"{PERMUTATIONS} slots find too few pairs at a Jaccard similarity of {jaccard}.",
        "Give at least .04.",
    )


class NearDuplicates:
    """Remembers texts and says of each whether one at least ``jaccard`` alike came before.

    Memory: for every remembered text 4 bytes a shingle up to 1 KiB, 4 bytes a band, and 8 to 16 bytes a
    band in the index: about 1.1 to 1.7 KB with 32 bands and texts of 200 characters. Texts identical but
    for case and white space are remembered once. Beyond ``remembered`` texts the oldest are forgotten,
    65,536 at a time. A bucket keeps its newest text; an older one is still found by its other bands.

    Raises:
        ShouldFixArgument: ``jaccard`` or ``remembered`` is out of range.
    """

    def __init__(self, jaccard: float = 0.8, remembered: int = DEFAULT_REMEMBERED) -> None:
        self.jaccard = jaccard
        self.bands, self.rows = bands_for(jaccard)
        self._pool = SketchPool(self.bands, remembered)
        self._band = np.arange(self.bands)
        self._slots = np.full((self.bands, _FIRST_SLOTS), _NONE, dtype=np.int32)
        odd = np.random.default_rng(_SEED).integers(0, 2**63, size=self.rows, dtype=np.uint64)
        self._mix = odd * np.uint64(2) + np.uint64(1)

    def seen(self, text: str) -> bool:
        """Whether a text nearly like this one was asked about before; it is remembered either way."""
        return self.seen_many((text,))[0]

    def seen_many(self, texts: Sequence[str]) -> tuple[bool, ...]:
        """``seen`` of each in turn, so that texts are held against earlier ones of the same call too."""
        hashed = [shingle_hashes(text) for text in texts]
        if not hashed:
            return ()
        keys = self._band_keys(hashed)
        return tuple(self._remember(hashes, key) for hashes, key in zip(hashed, keys, strict=True))

    def knows(self, text: str) -> bool:
        """Whether a text nearly like this one was asked about before; this one is not remembered."""
        hashes = shingle_hashes(text)
        keys = self._band_keys([hashes])[0]
        sketch = (hashes[:SKETCH] >> np.uint64(32)).astype(np.uint32)
        whole = len(hashes) <= SKETCH
        return any(
            similarity(sketch, whole, *self._pool.sketch(number)) >= self.jaccard
            for number in self._candidates(keys & np.uint32(self._slots.shape[1] - 1), keys)
        )

    @property
    def remembered(self) -> int:
        """Texts that are held now."""
        return len(self._pool)

    @property
    def memory_bytes(self) -> int:
        """What index and sketches take."""
        return int(self._slots.nbytes) + self._pool.memory_bytes

    def _band_keys(self, hashed: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint32]:
        """One hash a text and band, (texts, bands)."""
        ends = np.cumsum([0, *(len(hashes) for hashes in hashed)]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            np.concatenate(hashed), ends, PERMUTATIONS, _SEED
        )
        slots = np.array(matrix.to_rows(), dtype=np.uint64)
        mixed = (slots.reshape(len(hashed), self.bands, self.rows) * self._mix).sum(axis=2)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        keys: NDArray[np.uint32] = (mixed >> np.uint64(32)).astype(np.uint32)
        return keys

    def _remember(self, hashes: NDArray[np.uint64], keys: NDArray[np.uint32]) -> bool:
        places = keys & np.uint32(self._slots.shape[1] - 1)
        sketch = (hashes[:SKETCH] >> np.uint64(32)).astype(np.uint32)
        whole = len(hashes) <= SKETCH
        found = False
        for number in self._candidates(places, keys):
            alike = similarity(sketch, whole, *self._pool.sketch(number))
            found = found or alike >= self.jaccard
            if alike == 1.0 and whole:
                return True
        number = self._pool.add(sketch, whole, keys)
        self._slots[self._band, places] = number
        if len(self._pool) * 2 > self._slots.shape[1]:
            self._widen()
        return found

    def _candidates(self, places: NDArray[np.uint32], keys: NDArray[np.uint32]) -> list[int]:
        """Remembered texts that share a band's whole key, not its place in the index alone."""
        held = self._slots[self._band, places]
        numbers = np.unique(held[held >= self._pool.oldest]).tolist()
        return [number for number in numbers if (self._pool.keys(number) == keys).any()]

    def _widen(self) -> None:
        width = self._slots.shape[1] * 2
        self._slots = np.full((self.bands, width), _NONE, dtype=np.int32)
        for first, keys in self._pool.blocks():
            numbers = np.arange(first, first + len(keys), dtype=np.int32)
            for band in range(self.bands):
                self._slots[band, keys[:, band] & np.uint32(width - 1)] = numbers


@dataclass(frozen=True, slots=True)
class RemovalFigures:
    """One pass over a stream, as it was measured."""

    documents: int
    duplicates: int
    seconds: float
    bytes_per_document: float

    @property
    def documents_per_second(self) -> float:
        return self.documents / self.seconds


def without_near_duplicates(texts: Iterable[str], known: NearDuplicates) -> Iterator[str]:
    """The texts of a stream that are not nearly like an earlier one, in their order."""
    stream = iter(texts)
    while batch := tuple(islice(stream, _BATCH)):
        flags = known.seen_many(batch)
        yield from (text for text, seen in zip(batch, flags, strict=True) if not seen)


def measure_removal(texts: Iterable[str], jaccard: float = 0.8) -> RemovalFigures:
    """Take near-duplicates out of a stream and say how fast that went.

    Raises:
        ShouldFixArgument: there is no text, or ``jaccard`` is out of range.
    """
    known, documents, kept = NearDuplicates(jaccard), 0, 0

    def counted() -> Iterator[str]:
        nonlocal documents
        for text in texts:
            documents += 1
            yield text

    began = time.perf_counter()
    for _ in without_near_duplicates(counted(), known):
        kept += 1
    seconds = time.perf_counter() - began
    if not documents:
        raise ShouldFixArgument("There is no text to measure on.", "Give some.")
    held = max(known.remembered, 1)
    return RemovalFigures(documents, documents - kept, seconds, known.memory_bytes / held)
