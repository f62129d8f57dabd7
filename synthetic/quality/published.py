"""Quality figures that may leave the trust boundary: one noisy sum over held-out people, paid for.

Each person's vector (``published_vectors``) has norm at most 1, the ledger's clip; their sum gets Gaussian
noise and is divided by a public constant. Everything else is post-processing: nights are averaged with
their mu^2 as weights, and figures (``published_figures``) are ratios of the released sums with the interval
that the noise gives them. Each night asks about its own user model; older nights fade by
1 / ``MEMORY_NIGHTS`` a day, the memory of the user model itself, and ``PublishedFacts.method`` says how old
the mean is, since no interval of noise covers that models and people change.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from everloop.contracts.datasets import EncodedEpisodes, EncodingLayout, Float
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import BlobStore, PrivacyLedger, Reservation
from everloop.contracts.privacy import ReleaseNote
from everloop.contracts.simulation import ProfileBatch, UserModel
from synthetic.noise import SealedNoise
from synthetic.people import gather, inputs_sha256, people_of, require_bounded
from synthetic.quality.published_figures import Sums, figures_of
from synthetic.quality.published_vectors import noisy_sums, ruler_of, shared_columns
from synthetic.release import Night, mechanism_of, note_of, release
from synthetic.user_model.nights import MEMORY_NIGHTS

STAGE = "quality"
MECHANISM_VERSION = 2
FORMAT = 2
KEPT_PER_DAY = 1.0 - 1.0 / MEMORY_NIGHTS
"""What a night's weight is multiplied by for every day that it is older than tonight."""


@dataclass(frozen=True, slots=True)
class PublishedFacts:
    """What a release says of itself; all public.

    ``precision``: mu^2 of every release that went into the average, older ones faded. ``deviation``:
    standard deviation of the noise in each entry of ``Sums.sums``. ``people_expected``: the public
    constant that sums are divided by. ``last_date``, ``first_date``: the newest and the oldest night in
    the average, ISO. ``age_days``: mean age of the nights on ``last_date``, with the average's own weights.
    """

    release_id: str
    loop: str
    encoder: str
    user_model: str
    profiles: str
    precision: float
    deviation: float
    people_expected: float
    sigma: float
    averaged_with: str
    last_date: str
    first_date: str
    age_days: float
    format: int = FORMAT

    def __post_init__(self) -> None:
        ordered = date.fromisoformat(self.first_date) <= date.fromisoformat(self.last_date)
        if not (ordered and 0.0 <= self.age_days < math.inf):
            raise ShouldFixArgument(
                f"Published quality: nights from {self.first_date} to {self.last_date}, "
                f"{self.age_days} days old on average, are in no order."
            )

    @property
    def method(self) -> str:
        """Which nights and models the figures are the mean of, and what their intervals cover."""
        if self.first_date == self.last_date:
            return (
                f"private release about the models of {self.last_date} alone; the interval is of its "
                "noise, not of change since"
            )
        return (
            f"private release: mean over the models of the nights {self.first_date} to {self.last_date}, "
            f"{self.age_days:.1f} days old on average; the interval is of the noise, not of change "
            "between them or since"
        )


@dataclass(frozen=True, slots=True, eq=False)
class PublishedQuality:
    """A release of quality figures."""

    sums: Sums
    facts: PublishedFacts

    @property
    def figures(self) -> tuple[Estimate, ...]:
        """``acceptance_auc``, ``acceptance_accuracy``, ``acceptance_brier``,
        ``expected_reward_absolute_error`` and ``marginal_gap``; NaN where the noise hides a figure."""
        return figures_of(self.sums, self.facts.deviation, self.facts.release_id, self.facts.method)


def release_quality(
    spec: LoopSpec,
    layout: EncodingLayout,
    model: UserModel,
    profiles: ProfileBatch,
    episodes: EncodedEpisodes,
    ledger: PrivacyLedger,
    blobs: BlobStore,
    logical_date: date,
    dataset_id: str,
    pipeline: str,
    workdir: Path,
) -> tuple[Path, ReleaseNote]:
    """Release the night's quality figures of held-out people under a reservation of the ledger.

    Args:
        spec: the loop, budget and mechanism included.
        layout: what the dimensions of contexts mean.
        model, profiles: the releases that are judged.
        episodes: every encoded episode; rewarded decisions of held-out people are asked, comparison
            arms are not.
        ledger, blobs: where budget is taken from and the output is kept.
        logical_date: the night; (pipeline, date) is paid for once.
        dataset_id: what the noise is bound to.
        pipeline: owner of the releases, such as "companion/default".
        workdir: folder that gets ``quality.safetensors``.

    Returns:
        The released file (``load_published``) and what the report says of it.

    Raises:
        ShouldFixInput: NaN or out-of-range contexts; nothing was spent.
        ShouldCollectMoreData, ShouldWaitForBudget: no new release is possible and there is none to
            reuse.
        ShouldRepairLedger: the ledger does not verify.
    """
    night = Night(spec, ledger, blobs, pipeline, STAGE, logical_date, dataset_id, Path(workdir))
    asked = episodes.where(episodes.holdout & ~episodes.comparison & np.isfinite(episodes.reward))
    require_bounded(asked)
    before, days = _before(night, layout)
    configuration = {
        "version": MECHANISM_VERSION,
        "product": spec.model_dump(
            mode="json", include={"name", "context", "actions", "signals", "reward", "privacy"}
        ),
        "encoder": layout.encoder,
        "user_model": model.release_id,
        "profiles": hashlib.sha256(np.ascontiguousarray(profiles.context).tobytes()).hexdigest(),
        "averaged_with": before.facts.release_id if before else "",
        "inputs": inputs_sha256(asked),
        "expected": people_expected(spec),
    }

    def compute(reservation: Reservation, path: Path) -> Path:
        mechanism = mechanism_of(reservation)
        ruler = ruler_of(layout, model, profiles)
        expected = people_expected(spec)
        tonight = noisy_sums(
            spec,
            layout,
            model,
            ruler,
            gather(asked, reservation.admitted, spec.privacy.episodes_per_person),
            (mechanism.sigma * mechanism.clip, expected),
            SealedNoise(reservation.noise_seed, STAGE),
        )
        sums, precision, age = _averaged(tonight, reservation.row.mu_squared, before, days)
        one_night = mechanism.sigma * mechanism.clip / expected
        facts = PublishedFacts(
            release_id=reservation.release_id,
            loop=spec.name,
            encoder=layout.encoder,
            user_model=model.release_id,
            profiles=profiles.release_id,
            precision=precision,
            deviation=one_night * float(np.sqrt(reservation.row.mu_squared / precision)),
            people_expected=expected,
            sigma=mechanism.sigma,
            averaged_with=before.facts.release_id if before else "",
            last_date=logical_date.isoformat(),
            first_date=before.facts.first_date if before else logical_date.isoformat(),
            age_days=age,
        )
        return save_published(path, PublishedQuality(sums, facts))

    released = release(night, people_of(asked), configuration, compute)
    found = load_published(released.path)
    return released.path, note_of(
        night, released, len(found.sums.sums), {"noise_deviation": found.facts.deviation}
    )


def people_expected(spec: LoopSpec) -> float:
    """Public guess of the held-out people: as many to each training person as the holdout says."""
    held = spec.thresholds.holdout_share
    return spec.privacy.people_expected * held / (1.0 - held)


def save_published(path: Path | str, published: PublishedQuality) -> Path:
    """Write a release as safetensors; the same release gives the same bytes."""
    metadata = {"everloop": json.dumps(asdict(published.facts), sort_keys=True)}
    return write_atomically(save(asdict(published.sums), metadata=metadata), Path(path))


def load_published(path: Path | str) -> PublishedQuality:
    """Read a release of quality figures; ``ShouldRestoreArtefact`` when it is damaged."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            document = json.loads(file.metadata()["everloop"])
        found = PublishedQuality(Sums(**tensors), PublishedFacts(**document))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, EverloopError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no quality figures ({problem}).", "Rerun check_synthetic."
        ) from problem
    if found.facts.format != FORMAT:
        raise ShouldRestoreArtefact(
            f"{path} holds quality figures of format {found.facts.format}, not {FORMAT}.",
            "Rerun check_synthetic.",
        )
    return found


def _before(night: Night, layout: EncodingLayout) -> tuple[PublishedQuality | None, int]:
    """(the release before that can be averaged with tonight's, its age in days)."""
    found = night.previous()
    if found is None:
        return None, 0
    row, path = found
    try:
        published = load_published(path)
    except EverloopError:  # of another format: start anew
        return None, 0
    same_marginals = len(published.sums.shares) == len(shared_columns(layout))
    if published.facts.encoder != layout.encoder or not same_marginals:
        return None, 0
    days = (night.logical_date - row.logical_date).days
    return restated(published, people_expected(night.spec)), days


def restated(published: PublishedQuality, expected: float) -> PublishedQuality:
    """The same release divided by another number of expected people; its counts stay as they are."""
    factor = published.facts.people_expected / expected
    return PublishedQuality(
        replace(published.sums, sums=published.sums.sums * factor),
        replace(
            published.facts,
            deviation=published.facts.deviation * factor,
            people_expected=expected,
        ),
    )


def _averaged(
    tonight: Sums, mu_squared: float, before: PublishedQuality | None, days: int
) -> tuple[Sums, float, float]:
    """(sums, precision, mean age in days) of tonight and the nights before, weighted by mu^2 and faded."""
    if before is None:
        return tonight, mu_squared, 0.0
    older = before.facts.precision * KEPT_PER_DAY**days
    total = older + mu_squared
    mixed: Callable[[Float, Float], Float] = lambda a, b: (a * older + b * mu_squared) / total  # noqa: E731
    sums = Sums(
        mixed(before.sums.sums, tonight.sums),
        tonight.weights,
        mixed(before.sums.shares, tonight.shares),
    )
    return sums, total, (before.facts.age_days + days) * older / total
