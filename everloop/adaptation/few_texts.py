"""Near-duplicates among the texts of one person: every one compared with every other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everloop.adaptation.shingle_sketches import SKETCH, shingle_hashes, similarity


class FewTexts:
    """Implements ``NearDuplicateFilter`` as ``NearDuplicates`` measures, for few texts: 1 KiB each at most,
    and nothing for none."""

    def __init__(self, jaccard: float = 0.8) -> None:
        self._jaccard = jaccard
        self._held: list[tuple[NDArray[np.uint32], bool]] = []

    def seen(self, text: str) -> bool:
        """See ``NearDuplicateFilter``."""
        hashes = shingle_hashes(text)
        sketch = (hashes[:SKETCH] >> np.uint64(32)).astype(np.uint32)
        whole = len(hashes) <= SKETCH
        found = any(similarity(sketch, whole, *held) >= self._jaccard for held in self._held)
        self._held.append((sketch, whole))
        return found
