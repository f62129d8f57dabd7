"""What keeps a text out of the training data: the two ports that the builder asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Screen(Protocol):
    """Looks at what an example says before anything learns from it."""

    def reason(self, texts: Sequence[str]) -> str:
        """Why the example that holds these texts is kept out: ``pii``, ``toxic`` or ``language``; "" when
        it may stay."""


class NearDuplicateFilter(Protocol):
    """Remembers every text that it is asked about; one filter a data set."""

    def seen(self, text: str) -> bool:
        """Whether a text nearly like this one was asked about before; it is remembered either way."""
