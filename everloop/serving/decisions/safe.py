"""What decides where no model does.

A *cold start* (no model was ever deployed, or an operator took it away) explores around doing nothing,
so that learning begins with true propensities. A *standstill* (models exist, and none works) does
nothing and explores nothing. Neither ever chooses a safety-critical action: that is a trained model's
decision alone, so those actions leave the mask, and the mask that is logged is the one that was used.
While a loop's safety breaker is open they leave it whoever decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float
from everloop.contracts.errors import ShouldRetryLater
from everloop.serving.decisions.question import Catalogue

NO_ACTION = "no_action"
UNIFORM = "uniform"
_RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class SafeChoice:
    """How to choose without a model.

    Attributes:
        version: what stands for the model's version, ``no_action`` or ``uniform``.
        mask: (A,) what may be chosen.
        propensity: (A,) with which probability; sums to 1, 0 outside the mask.
        epsilon: exploration share that the propensities hold.
    """

    version: str
    mask: Bool
    propensity: Float
    epsilon: float


def cold_start(catalogue: Catalogue, valid: Bool) -> SafeChoice:
    """epsilon-greedy around the loop's ``no_action``; uniform where that is not valid.

    Raises:
        ShouldRetryLater: only safety-critical actions are valid.
    """
    mask = harmless(catalogue, valid)
    uniform = mask / mask.sum()
    quiet = _quiet(catalogue, mask)
    if quiet is None:
        return SafeChoice(UNIFORM, mask, uniform, 1.0)
    epsilon = catalogue.spec.exploration.start
    propensity = epsilon * uniform
    propensity[quiet] += 1.0 - epsilon
    return SafeChoice(NO_ACTION, mask, propensity, epsilon)


def standstill(catalogue: Catalogue, valid: Bool) -> SafeChoice:
    """``no_action`` for certain; uniform where that is not valid.

    Raises:
        ShouldRetryLater: only safety-critical actions are valid.
    """
    mask = harmless(catalogue, valid)
    quiet = _quiet(catalogue, mask)
    if quiet is None:
        return SafeChoice(UNIFORM, mask, mask / mask.sum(), 1.0)
    alone = np.zeros_like(mask)
    alone[quiet] = True
    return SafeChoice(NO_ACTION, alone, alone.astype(np.float64), 0.0)


def harmless(catalogue: Catalogue, valid: Bool, breaker_open: bool = False) -> Bool:
    """(A,) what is left of a mask without safety-critical actions.

    Raises:
        ShouldRetryLater: nothing is; says whether for want of a model or because of the breaker.
    """
    mask: Bool = valid & ~catalogue.critical
    if not mask.any():
        why = f"no model of loop {catalogue.spec.name!r} serves that could choose one"
        when = "a model serves"
        if breaker_open:
            why = f"the safety breaker of loop {catalogue.spec.name!r} is open"
            when = "it is closed"
        raise ShouldRetryLater(
            f"Only safety-critical actions are valid ({', '.join(catalogue.ids(valid))}) and {why}.",
            f"Keep an action such as no_action valid, or ask again once {when}.",
            retry_after=_RETRY_S,
        )
    return mask


def _quiet(catalogue: Catalogue, mask: Bool) -> int | None:
    return next((index for index in catalogue.quiet if mask[index]), None)
