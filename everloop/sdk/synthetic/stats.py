"""What there is of synthetic people: counts, releases, the budget, and figures that were paid for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.evaluation import Estimate
from everloop.contracts.group_patterns import GroupPattern
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ProfileSource
from everloop.contracts.synthetic_jobs import UsedRelease
from everloop.privacy.accounting import epsilon_of, mu
from everloop.sdk.synthetic.sources import STAGES
from everloop.wiring import Workspace

QUALITY = "quality"


@dataclass(frozen=True, slots=True)
class ReleaseCount:
    """Stored profiles of one source that were made from one release."""

    source: str
    release_id: str
    profiles: int


@dataclass(frozen=True, slots=True)
class SpentBudget:
    """Privacy that the tenant's releases cost, from what is public of them alone.

    Attributes:
        epsilon_budget: bound at ``delta`` for each person in any ``period_days``.
        epsilon_spent: of somebody who took part in every release of the period, in all loops.
        epsilon_left: what such a person could still take part in.
        nights: releases of the period.
    """

    epsilon_budget: float
    delta: float
    period_days: int
    epsilon_spent: float
    epsilon_left: float
    nights: int


@dataclass(frozen=True, slots=True)
class SyntheticStats:
    """Synthetic people of one loop.

    Attributes:
        profiles: source -> stored profiles.
        by_release: the same by release.
        releases: the newest private releases, which the next profiles are drawn from.
        quality: published quality figures, each paid for; none where none was released.
        quality_release: the release that they come from, "" for none.
        patterns: groups that the newest profiles' release allows to tell, largest first.
        notes: what of this could not be read, and what to do.
    """

    loop: str
    profiles: Mapping[str, int]
    by_release: tuple[ReleaseCount, ...]
    releases: tuple[UsedRelease, ...]
    budget: SpentBudget
    quality: tuple[Estimate, ...]
    quality_release: str
    patterns: tuple[GroupPattern, ...]
    notes: tuple[str, ...]


def stats_of(
    workspace: Workspace, spec: LoopSpec, tenant: str = "default", on: date | None = None
) -> SyntheticStats:
    """Statistics of a tenant's loop on a day, by default today."""
    counts = workspace.profiles.counts_by_release(spec.name, tenant)
    totals = {source.value: 0 for source in ProfileSource}
    for (source, _), profiles in counts.items():
        totals[source.value] += profiles
    notes: list[str] = []
    quality, release_id = _published(workspace, spec, tenant, notes)
    return SyntheticStats(
        loop=spec.name,
        profiles=totals,
        by_release=tuple(
            ReleaseCount(source.value, release, profiles)
            for (source, release), profiles in counts.items()
        ),
        releases=_newest(workspace, spec, tenant),
        budget=_budget(workspace, spec, tenant, on or datetime.now(UTC).date()),
        quality=quality,
        quality_release=release_id,
        patterns=_patterns(workspace, spec, tenant, notes),
        notes=tuple(notes),
    )


def _newest(workspace: Workspace, spec: LoopSpec, tenant: str) -> tuple[UsedRelease, ...]:
    found = []
    for stage in (*STAGES, QUALITY):
        latest = workspace.ledger.latest_release(f"{spec.name}/{tenant}", stage, date.max)
        if latest is not None:
            found.append(UsedRelease(stage, latest[0].release_id, latest[0].logical_date))
    return tuple(found)


def _budget(workspace: Workspace, spec: LoopSpec, tenant: str, on: date) -> SpentBudget:
    privacy = spec.privacy
    after = on - timedelta(days=privacy.period_days)
    rows = {
        row.release_id: row.mu_squared
        for row in workspace.ledger.history()
        if row.pipeline.partition("/")[2] == tenant and after < row.logical_date <= on
    }
    spent, whole = math.fsum(rows.values()), mu(privacy.epsilon, privacy.delta) ** 2
    return SpentBudget(
        epsilon_budget=privacy.epsilon,
        delta=privacy.delta,
        period_days=privacy.period_days,
        epsilon_spent=epsilon_of(spent, privacy.delta),
        epsilon_left=epsilon_of(max(0.0, whole - spent), privacy.delta),
        nights=len(rows),
    )


def _published(
    workspace: Workspace, spec: LoopSpec, tenant: str, notes: list[str]
) -> tuple[tuple[Estimate, ...], str]:
    latest = workspace.ledger.latest_release(f"{spec.name}/{tenant}", QUALITY, date.max)
    if latest is None:
        return (), ""
    from synthetic.quality.published import load_published

    try:
        found = load_published(workspace.blobs.fetch(*latest[1:]))
    except ShouldRestoreArtefact as problem:
        notes.append(f"quality: {problem}")
        return (), ""
    return found.figures, found.facts.release_id


def _patterns(
    workspace: Workspace, spec: LoopSpec, tenant: str, notes: list[str]
) -> tuple[GroupPattern, ...]:
    latest = workspace.ledger.latest_release(f"{spec.name}/{tenant}", "profiles", date.max)
    if latest is None:
        return ()
    from rl.encoders import layout
    from synthetic.profiles.group_patterns import group_patterns
    from synthetic.profiles.statistics import load_statistics

    encoding = layout(spec)
    try:
        statistics = load_statistics(workspace.blobs.fetch(*latest[1:]), encoding)
    except ShouldRestoreArtefact as problem:
        notes.append(f"group patterns: {problem}")
        return ()
    found = group_patterns(encoding, statistics, spec)
    return tuple(sorted(found, key=lambda p: (-p.people, p.fields, p.values)))
