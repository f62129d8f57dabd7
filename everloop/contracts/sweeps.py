"""What a search for training settings found: its trials, the best of them, and what that one is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from everloop.contracts.evaluation import Estimate

Setting = int | float | str
"""What a setting is set to."""


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial: its last settings, how far it came, and what its policy earned when last judged.

    ``ended`` is "finished", "stopped early" or the error that ended it; ``value`` is None where it was
    never judged.
    """

    trial: str
    settings: Mapping[str, Setting]
    iterations: int
    steps: int
    value: Estimate | None
    ended: str

    @property
    def number(self) -> str:
        """Which of the sweep's trials it is; the rest of ``trial`` is drawn anew for every sweep."""
        return self.trial.rpartition("_")[2]

    @property
    def told(self) -> str:
        """Its settings in one line, in the order of their names."""
        return " ".join(f"{name}={value}" for name, value in sorted(self.settings.items()))


@dataclass(frozen=True, slots=True)
class SweepTable:
    """Every trial, the best first, and what they were trained on.

    The best trial's ``value`` is the largest of many noisy figures, so it is optimistic.
    ``judged_again`` is what the same policy earned with people and doubts that no trial met: the
    figure to trust, as far as the user model's release can be.

    ``sweep`` names the search by all that its result depends on; "" in tables of older searches.
    """

    trials: tuple[TrialRow, ...]
    best: str
    judged_again: Estimate
    scheduler: str
    user_model_release: str
    profiles_release: str
    sweep: str = ""
    schema_version: int = 2

    @property
    def winner(self) -> TrialRow:
        """The best trial."""
        return self.trials[0]

    @property
    def lineage(self) -> Mapping[str, str]:
        """Where the best trial's policy comes from: the sweep, which of its trials, and its settings."""
        return {
            "sweep": self.sweep,
            "trial": self.winner.number,
            "trial_settings": self.winner.told,
        }
