"""Releases of private mechanisms and the ledger's rows. The unit of privacy is the person.

Neighbouring datasets differ by adding or removing one person. Evolution: fields are never removed or
given another meaning; new ones are optional.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from everloop.contracts.canonical import Json
from everloop.contracts.errors import ShouldFixArgument


class ReleaseStatus(StrEnum):
    """``reserved``: budget is taken, noise may have been drawn. ``spent``: the output is stored."""

    RESERVED = "reserved"
    SPENT = "spent"


@dataclass(frozen=True, slots=True)
class GaussianMechanism:
    """``steps`` full-batch Gaussian releases, each of sensitivity ``clip`` and noise ``sigma * clip``.

    Its privacy loss is mu^2 = steps / sigma^2 in Gaussian DP, exactly additive (Dong et al. 2022).
    """

    sigma: float
    clip: float
    steps: int
    kind: Literal["gaussian"] = "gaussian"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ShouldFixArgument(f"Gaussian mechanism: sigma={self.sigma} is not positive.")
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise ShouldFixArgument(f"Gaussian mechanism: clip={self.clip} is not positive.")
        if self.steps < 1:
            raise ShouldFixArgument(f"Gaussian mechanism: steps={self.steps} is not at least 1.")

    @property
    def mu_squared(self) -> float:
        """Privacy loss of all steps together, mu^2 = steps / sigma^2."""
        return self.steps / self.sigma**2

    @property
    def sampling_rate(self) -> float:
        """1: everyone takes part in every step."""
        return 1.0


@dataclass(frozen=True, slots=True)
class SubsampledGaussianMechanism:
    """``steps`` Gaussian releases, each of a Poisson sample of people at ``sampling_rate`` in (0, 1).

    Its loss is kept as Renyi divergences at fixed orders (Mironov, Talwar, Zhang 2019).
    """

    sigma: float
    clip: float
    steps: int
    sampling_rate: float
    kind: Literal["subsampled_gaussian"] = "subsampled_gaussian"

    def __post_init__(self) -> None:
        GaussianMechanism(self.sigma, self.clip, self.steps)
        if not 0.0 < self.sampling_rate < 1.0:
            raise ShouldFixArgument(
                f"Subsampled mechanism: sampling_rate={self.sampling_rate} is not within (0, 1)."
            )


Mechanism = GaussianMechanism | SubsampledGaussianMechanism


def mechanism_from(terms: Mapping[str, float | int | str]) -> Mechanism:
    """The mechanism that a ledger row's terms say.

    Raises:
        ShouldFixArgument: the kind is unknown, or a number is missing or out of range.
    """
    kind = terms.get("kind", "gaussian")
    try:
        sigma, clip, steps = float(terms["sigma"]), float(terms["clip"]), int(terms["steps"])
        if kind == "gaussian":
            return GaussianMechanism(sigma, clip, steps)
        if kind == "subsampled_gaussian":
            return SubsampledGaussianMechanism(sigma, clip, steps, float(terms["sampling_rate"]))
    except (KeyError, ValueError) as problem:
        raise ShouldFixArgument(f"The mechanism {dict(terms)} does not read: {problem}.") from None
    raise ShouldFixArgument(
        f"This everloop knows no mechanism {kind!r}.", "Install the version that wrote it."
    )


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """What a stage asks the ledger for, before it draws any noise.

    ``(pipeline, logical_date, stage)`` is paid for once; ``configuration_sha256`` and
    ``dataset_id`` say under which terms. The same terms again return the stored release; other terms
    are refused (``ShouldKeepRelease``).
    """

    pipeline: str
    logical_date: date
    stage: str
    configuration_sha256: str
    dataset_id: str
    mechanism: Mechanism


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One release as the ledger keeps it; append-only, chained by hash.

    ``people_commitment`` is a keyed hash of the sorted set of people, ``people`` how many they are
    (inside the boundary only); ``key_id`` is the fingerprint of the key it was made with.
    ``previous_sha256``/``row_sha256`` chain the rows.

    ``mu_squared`` is exact for a Gaussian mechanism. For a subsampled one it is that of the Gaussian with
    the same Renyi divergence at the order that the budget is judged at, and ``rdp`` says the rest: its
    divergences at the fixed orders of ``rdp_version``. ``event`` is dp_accounting's ``DpEvent`` of the
    mechanism. ``epsilon`` at ``delta`` in any ``period_days`` is what the loop has promised its people.

    Fields with a default were added later and are left out of the hash where they have it.
    """

    sequence: int
    release_id: str
    pipeline: str
    logical_date: date
    stage: str
    configuration_sha256: str
    dataset_id: str
    mechanism: Mapping[str, float | int | str]
    mu_squared: float
    delta: float
    people: int
    people_commitment: str
    status: ReleaseStatus
    recorded_at: datetime
    library: str
    previous_sha256: str
    row_sha256: str
    unit: Literal["person"] = "person"
    neighbours: Literal["add-or-remove-one"] = "add-or-remove-one"
    epsilon: float | None = None
    period_days: int | None = None
    key_id: str = ""
    event: Mapping[str, Json] | None = None
    rdp_version: int = 0
    rdp: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did.

    Attributes:
        rows: rows that were replayed.
        charged: charges of persons in them.
        lost_outputs: releases whose output is not there: they stay spent, and serve nobody.
        found_outputs: releases whose output was lost before and is there again.
        waits_for_key: fingerprint of the pseudonym key to rotate to before the rest can be replayed;
            empty when nothing is left.
    """

    rows: int = 0
    charged: int = 0
    lost_outputs: tuple[str, ...] = ()
    found_outputs: tuple[str, ...] = ()
    waits_for_key: str = ""


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The loop's budget on a date, of the person who has spent most.

    epsilon values hold at ``delta``. ``epsilon_tonight``: the most that any one person spent on the date,
    who need not be the one who has spent most in the period. ``nights_left``: later nights of the plan,
    all stages of a night together, that the person's remaining mu^2 covers; at most ``period_days``,
    since what is charged today has left the period after that.
    """

    epsilon_budget: float
    delta: float
    period_days: int
    epsilon_tonight: float
    epsilon_period: float
    epsilon_since_first_seen: float
    mu_squared_budget: float
    mu_squared_period: float
    nights_left: int
    people_retired: int


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a stage would do on a date, before it does it.

    ``serves_until``: a release is stored and the next one is due on this date; None: one is due now.
    ``mu_squared`` and ``epsilon`` are what a release due now would cost each person, 0 otherwise.
    ``people`` and ``affordable``: of those whom the ledger knows, how many there are and how many could
    pay for this stage and the ones before it. Whoever is new has the whole budget.
    ``done``: this date's release is reserved or stored already, so nothing more is spent.
    """

    stage: str
    serves_until: date | None
    done: bool
    mechanism: Mapping[str, float | int | str]
    mu_squared: float
    epsilon: float
    people: int
    affordable: int


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """What a date would spend and how long the budget lasts.

    ``epsilon``: of a person who takes part in every stage that is due, the most that anybody can spend.
    ``budget``: before them. ``lasts_until``: the last date of a plan of nights that the person who spent
    most can pay for from here.
    ``free_again``: the first date on which that person can pay for another night; the date itself while
    they can, None when no date in the coming period is.
    """

    on: date
    stages: tuple[StagePlan, ...]
    epsilon: float
    budget: BudgetStatus
    lasts_until: date
    free_again: date | None


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """One release that a person took part in; ``epsilon`` is its own, at the statement's delta."""

    logical_date: date
    pipeline: str
    stage: str
    release_id: str
    epsilon: float


@dataclass(frozen=True, slots=True)
class Statement:
    """What one person's privacy has cost up to a date, for that person to read.

    ``epsilon_budget`` at ``delta`` in any ``period_days`` is the strictest promise made to them.
    """

    on: date
    epsilon_budget: float
    delta: float
    period_days: int
    epsilon_tonight: float
    epsilon_period: float
    epsilon_total: float
    entries: tuple[StatementEntry, ...]


@dataclass(frozen=True, slots=True)
class ReleaseNote:
    """What the report says of one release.

    ``reused`` names why an older release serves instead of a new one ("" for a new one).
    ``metrics`` are fit figures computed from the release's own output or inside the boundary.
    ``due``: when the plan has the stage's next release, for a stage that is not released every night.
    """

    release_id: str
    stage: str
    released: bool
    reused: str
    epsilon: float
    delta: float
    mu_squared: float
    mechanism: Mapping[str, float | int | str]
    people: int
    parameters: int
    budget: BudgetStatus
    metrics: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    due: date | None = None


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """One person's erasure: rows deleted by table, and the artefacts that were marked."""

    erasure_id: str
    tenant: str
    recorded_at: datetime
    deleted: Mapping[str, int]
    datasets: tuple[str, ...]
    checkpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErasureMark:
    """A dataset version or a checkpoint that an erased person's data fed, or a report that showed it.

    ``kind`` is ``dataset``, ``checkpoint`` or ``report``. A marked dataset is never used again.
    """

    kind: str
    artefact_id: str
    erasure_id: str
    recorded_at: datetime
    tenant: str = "default"
