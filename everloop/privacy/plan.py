"""How the budget of a period is divided over nights and mechanisms.

A person may lose mu(epsilon, delta)^2 within any ``period_days`` days; where the user model is subsampled,
what Renyi accounting allows, which is less. Each stage has a share of that. Its first release gets
``first_fit_share`` of the share (a cold start needs it), and a later one what the rest adds up to, evenly,
over the days that it serves: one for the user model and quality, ``profiles_refit_days`` for profiles.

With a release every R days and k = ceil(period / R) of them in a period at most, a later one gets
min((1 - first) R / period, (1 - first) / (k - 1), 1 / k), so that a period costs at most the stage's
share, whether it holds the first release (first + (k - 1) later <= 1) or not (k later <= 1).

That counts releases that were completed. A reservation that never was is spent without a release: the
stage's next one is as large and as soon as if it had not been, and the filter refuses whatever the
budget then cannot pay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec, PrivacySpec
from everloop.contracts.privacy import (
    BudgetStatus,
    GaussianMechanism,
    LedgerRow,
    Mechanism,
    ReleaseStatus,
    mechanism_from,
)
from everloop.privacy import accounting, mechanisms, renyi

USER_MODEL = "user_model"
PROFILES = "profiles"
QUALITY = "quality"
STAGES = (USER_MODEL, PROFILES, QUALITY)

SINGLE_SHOT_CLIP = 1.0
"""Stages other than the user model release one sum of vectors that are scaled to this norm."""


def budget_mu_squared(privacy: PrivacySpec) -> float:
    """mu^2 that a person may lose within a period."""
    if privacy.sampling_rate < 1.0:
        allowed = renyi.allowed(privacy.epsilon, privacy.delta)
        return renyi.as_mu_squared(allowed, privacy.epsilon, privacy.delta)
    return accounting.mu(privacy.epsilon, privacy.delta) ** 2


def share_of(privacy: PrivacySpec, stage: str) -> float:
    """A stage's share of the budget; ``ShouldFixArgument`` for a stage that has none."""
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


def every_days(privacy: PrivacySpec, stage: str) -> int:
    """Days from one release of a stage to the next."""
    return privacy.profiles_refit_days if stage == PROFILES else 1


def later_share(privacy: PrivacySpec, stage: str) -> float:
    """What a release after the first gets of the stage's share; see the module."""
    period, days = privacy.period_days, every_days(privacy, stage)
    rest = 1.0 - privacy.first_fit_share
    most = math.ceil(period / days)
    capped = min(rest * days / period, 1.0 / most)
    return capped if most == 1 else min(capped, rest / (most - 1))


def night_mu_squared(spec: LoopSpec, stage: str, *, first: bool) -> float:
    """mu^2 of a stage's release on one night that has one."""
    privacy = spec.privacy
    of_share = privacy.first_fit_share if first else later_share(privacy, stage)
    return budget_mu_squared(privacy) * of_share * share_of(privacy, stage)


def night_mechanism(spec: LoopSpec, stage: str, *, first: bool) -> Mechanism:
    """The mechanism of a night: sigma = sqrt(steps / mu^2), so that its loss is what is planned.

    A subsampled user model's sigma is found by ``mechanisms.subsampled_for``.

    Raises:
        ShouldFixArgument: no noise makes a subsampled release cost so little.
    """
    planned = night_mu_squared(spec, stage, first=first)
    if stage == USER_MODEL and spec.privacy.sampling_rate < 1.0:
        return mechanisms.subsampled_for(planned, spec.privacy)
    steps = spec.privacy.steps if stage == USER_MODEL else 1
    clip = spec.privacy.clip if stage == USER_MODEL else SINGLE_SHOT_CLIP
    return GaussianMechanism(sigma=math.sqrt(steps / planned), clip=clip, steps=steps)


def planned_mechanism(
    spec: LoopSpec, stage: str, on: date, history: Sequence[LedgerRow]
) -> Mechanism:
    """The mechanism of a date, given a pipeline's ledger rows.

    A date that has a row keeps that row's mechanism, whatever came later: a rerun asks for what was
    paid. Otherwise it is the first fit exactly when no release of the stage was ever completed.
    """
    rows = [row for row in history if row.stage == stage]
    for row in rows:
        if row.logical_date == on:
            return mechanism_from(row.mechanism)
    first = not any(row.status is ReleaseStatus.SPENT for row in rows)
    return night_mechanism(spec, stage, first=first)


def served_by(
    privacy: PrivacySpec, stage: str, on: date, history: Sequence[LedgerRow]
) -> LedgerRow | None:
    """The completed release that makes a new one not due on a date; ``None`` where one is due.

    A date's own release, finished or not, is always due: its rerun returns or resumes it.
    """
    rows = [row for row in history if row.stage == stage and row.logical_date <= on]
    if any(row.logical_date == on for row in rows):
        return None
    completed = [row for row in rows if row.status is ReleaseStatus.SPENT]
    last = max(completed, key=lambda row: (row.logical_date, row.sequence), default=None)
    return last if last is not None and on < due_after(privacy, last) else None


def due_after(privacy: PrivacySpec, release: LedgerRow) -> date:
    """The first date on which the stage's next release is due."""
    return release.logical_date + timedelta(days=every_days(privacy, release.stage))


def later_night_mu_squared(privacy: PrivacySpec) -> float:
    """mu^2 of every stage together on a night after the first fit, spread evenly over the nights that
    a release serves within a period."""
    return budget_mu_squared(privacy) * sum(
        share_of(privacy, stage)
        * later_share(privacy, stage)
        / min(every_days(privacy, stage), privacy.period_days)
        for stage in STAGES
    )


def remaining_epsilon(status: BudgetStatus) -> float:
    """epsilon that the person who has spent most could still lose within the period.

    It is the epsilon of the mu^2 that is left, not the difference of two epsilons: epsilons do not
    add up.
    """
    left = max(0.0, status.mu_squared_budget - status.mu_squared_period)
    return accounting.epsilon_of(left, status.delta)
