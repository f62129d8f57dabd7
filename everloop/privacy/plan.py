"""How the budget of a period is divided over nights and mechanisms.

A person may lose mu(epsilon, delta)^2 within any ``period_days`` days. The first release of a stage
gets ``first_fit_share`` of the period (a cold start needs it), every later night
(1 - first_fit_share) / period_days, each times the stage's share. So a whole period of nights costs
first_fit_share + (period_days - 1) / period_days * (1 - first_fit_share) < 1 of the budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec, PrivacySpec
from everloop.contracts.privacy import BudgetStatus, GaussianMechanism, LedgerRow
from everloop.privacy import accounting

USER_MODEL = "user_model"
PROFILES = "profiles"
QUALITY = "quality"
STAGES = (USER_MODEL, PROFILES, QUALITY)

SINGLE_SHOT_CLIP = 1.0
"""Stages other than the user model release one sum of vectors that are scaled to this norm."""


def budget_mu_squared(privacy: PrivacySpec) -> float:
    """mu^2 that a person may lose within a period."""
    return accounting.mu(privacy.epsilon, privacy.delta) ** 2


def share_of(privacy: PrivacySpec, stage: str) -> float:
    """A stage's share of a night; ``ShouldFixArgument`` for a stage that has none."""
    shares = {
        USER_MODEL: privacy.user_model_share,
        PROFILES: privacy.profiles_share,
        QUALITY: privacy.quality_share,
    }
    if stage not in shares:
        raise ShouldFixArgument(
            f"The budget has no share for stage {stage!r}.", f"Use one of {', '.join(STAGES)}."
        )
    return shares[stage]


def night_mu_squared(spec: LoopSpec, stage: str, *, first: bool) -> float:
    """mu^2 of a stage's release on one night."""
    privacy = spec.privacy
    later = (1.0 - privacy.first_fit_share) / privacy.period_days
    of_period = privacy.first_fit_share if first else later
    return budget_mu_squared(privacy) * of_period * share_of(privacy, stage)


def night_mechanism(spec: LoopSpec, stage: str, *, first: bool) -> GaussianMechanism:
    """The mechanism of a night: sigma = sqrt(steps / mu^2), so that its loss is what is planned."""
    steps = spec.privacy.steps if stage == USER_MODEL else 1
    clip = spec.privacy.clip if stage == USER_MODEL else SINGLE_SHOT_CLIP
    sigma = math.sqrt(steps / night_mu_squared(spec, stage, first=first))
    return GaussianMechanism(sigma=sigma, clip=clip, steps=steps)


def planned_mechanism(
    spec: LoopSpec, stage: str, on: date, history: Sequence[LedgerRow]
) -> GaussianMechanism:
    """The mechanism of a date, given a pipeline's ledger rows.

    A date that has a row keeps that row's mechanism, whatever came later: a rerun asks for what was
    paid. Otherwise it is the first fit exactly when the stage has no row at all.
    """
    rows = [row for row in history if row.stage == stage]
    for row in rows:
        if row.logical_date == on:
            return GaussianMechanism(
                sigma=float(row.mechanism["sigma"]),
                clip=float(row.mechanism["clip"]),
                steps=int(row.mechanism["steps"]),
            )
    return night_mechanism(spec, stage, first=not rows)


def later_night_mu_squared(privacy: PrivacySpec) -> float:
    """mu^2 of every stage together on a night after the first fit."""
    shares = sum(share_of(privacy, stage) for stage in STAGES)
    later = (1.0 - privacy.first_fit_share) / privacy.period_days
    return budget_mu_squared(privacy) * later * shares


def remaining_epsilon(status: BudgetStatus) -> float:
    """epsilon that the person who has spent most could still lose within the period.

    It is the epsilon of the mu^2 that is left, not the difference of two epsilons: epsilons do not
    add up.
    """
    left = max(0.0, status.mu_squared_budget - status.mu_squared_period)
    return accounting.epsilon_of(left, status.delta)
