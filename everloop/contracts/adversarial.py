"""What a regular attack on the active model found."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Estimate


@dataclass(frozen=True, slots=True)
class AttackLimits:
    """How hard a model is attacked, and what it may give way to.

    Attributes:
        radius: by how much each number of an encoded state is moved at most, in encoded units of [-1, 1]:
            .02 is a hundredth of a field's declared range, less than most measurements are off.
        material: by how much the most likely action's propensity must fall for a flip to count.
        max_random_flips: share of random moves that may flip a decision.
        max_worst_flips: share of decisions that a search may flip.
        max_change: the largest change of a propensity that a random move may cause.
        max_extreme_share: mean propensity that one action may have over extreme contexts.
        max_renormalisation_error: by how much a propensity under a narrower mask may differ from the wider
            mask's, renormalised.
        bots: share of people who reward one action whatever happens.
        states: how many logged decisions are attacked at most.
        draws: random moves of each.
        searched: how many of them the search attacks.
    """

    radius: float = 0.02
    material: float = 0.05
    max_random_flips: float = 0.05
    max_worst_flips: float = 0.5
    max_change: float = 0.5
    max_extreme_share: float = 0.95
    max_renormalisation_error: float = 1e-3
    bots: float = 0.05
    states: int = 2000
    draws: int = 16
    searched: int = 200

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            top = math.inf if field.name in {"states", "draws", "searched"} else 1.0
            if not 0 < value <= top:
                raise ShouldFixArgument(
                    f"Attack limits: {field.name}={value} is outside (0, {top:g}].",
                    "Give a positive number, a share at most 1.",
                )


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack: whether the model withstood it, and what was measured."""

    check: Check
    figures: tuple[Estimate, ...] = ()


@dataclass(frozen=True, slots=True)
class AdversarialReview:
    """Every attack on one model.

    Attributes:
        checkpoint_id: the model that was attacked.
        policy: its version.
        dataset_id: the dataset version whose decisions were attacked.
        epsilon: the exploration at which policies were judged under poisoned rewards.
    """

    loop: str
    tenant: str
    logical_date: str
    checkpoint_id: str
    policy: str
    dataset_id: str
    epsilon: float
    attacks: tuple[Attack, ...]

    @property
    def passed(self) -> bool:
        """Whether the model withstood every attack; none is a no, and so is one that could not be made."""
        return bool(self.attacks) and all(
            a.check.status is CheckStatus.PASSED for a in self.attacks
        )

    @property
    def verdict(self) -> CheckStatus:
        """``passed``; ``failed`` where it gave way to an attack; ``insufficient`` where it gave way to none
        and some could not be made: that blocks as ``failed`` does, and is no word against the model."""
        if self.passed:
            return CheckStatus.PASSED
        gave_way = any(a.check.status is CheckStatus.FAILED for a in self.attacks)
        return CheckStatus.FAILED if gave_way else CheckStatus.INSUFFICIENT

    @property
    def reason(self) -> str:
        """What it gave way to, that it withstood, or that there was too little to attack it with."""
        failing = [a.check for a in self.attacks if a.check.status is not CheckStatus.PASSED]
        if not self.attacks:
            return "No attack was made."
        if not failing:
            return f"{self.policy} withstood {len(self.attacks)} attacks."
        told = " ".join(f"{check.name}: {check.reason}" for check in failing)
        if self.verdict is CheckStatus.FAILED:
            return told
        return (
            f"There was too little to attack {self.policy} with: {len(failing)} of {len(self.attacks)} "
            f"attacks could not be made. {told}"
        )
