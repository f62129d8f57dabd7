"""What is run at which size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from everloop.loops.loader import shipped_path

LOGICAL_DATE: Final = date(2026, 3, 28)
WINDOW_DAYS: Final = 28
"""The shipped loop's window. The newest day's episodes are still open, so one day fewer counts."""
VISITS: Final = 0.5
"""Chance that somebody comes on a day, as the shipped loop guesses it in public."""
SIGNALS_EACH: Final = 10
_SPARE: Final = 1.05
"""People above what the size takes on average, so that chance leaves no run below it."""
_LEARNED_FROM: Final = 10
"""Episodes of a log for each of its people who is not held out, about: half of the people are."""


@dataclass(frozen=True, slots=True)
class ScaleTerms:
    """One size: what the log holds and where it lies.

    Attributes:
        size: closed episodes that the night extracts, about, at least 1,000.
        seed: of people, decisions, signals and pseudonyms.
        folder: the workspace and everything else of this size.
    """

    size: int
    seed: int
    folder: Path

    def __post_init__(self) -> None:
        if self.size < 1000:
            raise ValueError(f"size={self.size} is below 1,000 episodes, of which no night learns.")

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def loop(self) -> Path:
        """The loop's file."""
        return self.folder / "companion.yaml"

    @property
    def days(self) -> tuple[date, ...]:
        """Days with decisions, oldest first."""
        return tuple(LOGICAL_DATE - timedelta(days=d) for d in range(WINDOW_DAYS - 1, -1, -1))

    @property
    def people(self) -> int:
        """Present on any day: they grow with the log, and each has as many episodes as at any size."""
        return math.ceil(_SPARE * self.size / (WINDOW_DAYS - 1) / VISITS)

    @property
    def people_expected(self) -> int:
        """The public guess of how many people are learned from."""
        return max(1, round(self.size / _LEARNED_FROM))

    def write_loop(self) -> None:
        """The shipped companion with the public guess of a product of this size."""
        yaml = YAML(typ="rt")
        document = yaml.load(shipped_path("companion").read_text(encoding="utf-8"))
        document["privacy"]["people_expected"] = self.people_expected
        with self.loop.open("w", encoding="utf-8") as stream:
            yaml.dump(document, stream)
