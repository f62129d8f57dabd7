"""What a sweep searches, and how: light to import, so that a wrong search is refused at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from everloop.contracts.errors import ShouldFixArgument
from rl.tune.space import FROM_THE_START, SearchSpace

Scheduler = Literal["asha", "pbt"]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What is searched, and how.

    Attributes:
        space: what varies.
        trials: how many settings are tried.
        scheduler: ``asha`` ends the worse two thirds early, again and again (Li et al. 2020);
            ``pbt`` lets the worst quarter go on from the best quarter's weights with settings nearby
            (Jaderberg et al. 2017).
        cpus: trials that run side by side, one CPU each.
        seed: of the settings that are tried, of every trial and of the evaluation.
    """

    space: SearchSpace
    trials: int
    scheduler: Scheduler = "asha"
    cpus: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("cpus", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ShouldFixArgument(
                    f"{name}={getattr(self, name)} is below {least}.", f"Give at least {least}."
                )
        if self.scheduler not in {"asha", "pbt"}:
            raise ShouldFixArgument(
                f"There is no scheduler {self.scheduler!r}.", "Use asha or pbt."
            )
        if self.scheduler == "pbt":
            if self.trials < 4:
                raise ShouldFixArgument(
                    f"A population of {self.trials} has no best and worst quarter.",
                    "Give pbt at least 4 trials.",
                )
            fixed = sorted({d.setting for d in self.space.dimensions} & set(FROM_THE_START))
            if fixed:
                raise ShouldFixArgument(
                    f"pbt changes settings half-way, and {fixed[0]} is for good.",
                    "Leave it out, or use asha.",
                )
