"""Synthetic people: a private release of statistics, and profiles drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, EncodingLayout
from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import BlobStore, PrivacyLedger, Reservation
from everloop.contracts.privacy import GaussianMechanism, ReleaseNote
from everloop.contracts.simulation import ProfileBatch
from synthetic.noise import SealedNoise
from synthetic.people import gather, inputs_sha256, people_of, require_bounded
from synthetic.profiles.persona import personas
from synthetic.profiles.persona_space import persona_projection, persona_space
from synthetic.profiles.plan import profile_plan
from synthetic.profiles.rows import load_profiles, save_profiles, to_rows
from synthetic.profiles.sampling import EDGE_SHARE, fitted_mixture, sample_contexts
from synthetic.profiles.statistics import (
    ProfileBlocks,
    ProfileFacts,
    ProfileStatistics,
    averaged,
    load_statistics,
    noisy_sums,
    restated,
    save_statistics,
    statistics_of,
)
from synthetic.release import Night, gaussian_of, note_of, release

__all__ = [
    "draw_profiles",
    "load_profiles",
    "load_statistics",
    "persona_projection",
    "release_profiles",
    "save_profiles",
    "to_rows",
]

STAGE = "profiles"
MECHANISM_VERSION = 4
_PROFILES_FILE = "people.safetensors"
_LARGEST = 10_000_000


def release_profiles(
    spec: LoopSpec,
    layout: EncodingLayout,
    episodes: EncodedEpisodes,
    ledger: PrivacyLedger,
    blobs: BlobStore,
    logical_date: date,
    dataset_id: str,
    pipeline: str,
    workdir: Path,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, ReleaseNote]:
    """Release statistics of ``episodes.training`` and draw ``training.profiles`` people from them.

    Drawing is post-processing: another number of people or another seed spends nothing.

    Args:
        spec: the loop, budget and ``training`` included.
        layout: which dimensions of a context mean what.
        episodes: every encoded episode of the dataset; holdout and comparison are left out here.
        ledger, blobs: where budget is taken from and the statistics are kept.
        logical_date: the night; (pipeline, date) is paid for once.
        dataset_id: what the noise is bound to.
        pipeline: owner of the releases, such as "companion/default".
        workdir: folder that gets ``profiles.safetensors`` and ``people.safetensors``.
        progress: called with (1, 1) at the end.

    Returns:
        The file of the people (``load_profiles``) and what the report says of the release.

    Raises:
        ShouldFixArgument: the layout is not that of the episodes.
        ShouldFixInput: NaN or out-of-range contexts; nothing was spent.
        ShouldFixLoopSpec: persona vectors cannot be made as declared; nothing was spent.
        ShouldCollectMoreData, ShouldWaitForBudget: no new release is possible and there is none to
            reuse.
        ShouldRepairLedger: the ledger does not verify.
    """
    if (layout.encoder, layout.width) != (episodes.encoder, episodes.context.shape[1]):
        raise ShouldFixArgument(
            f"Layout {layout.encoder} has {layout.width} dimensions, the episodes have "
            f"{episodes.context.shape[1]} of {episodes.encoder}.",
            "Pass the layout of the encoder that made the episodes.",
        )
    night = Night(spec, ledger, blobs, pipeline, STAGE, logical_date, dataset_id, Path(workdir))
    training = episodes.training
    require_bounded(training)
    plan = profile_plan(spec, layout, night.first_fit_mu_squared())
    blocks = ProfileBlocks(layout, plan, persona_space(spec, layout))
    before, kept = _statistics_before(night, blocks)
    configuration = {
        "version": MECHANISM_VERSION,
        "product": spec.model_dump(mode="json", include={"name", "context", "persona", "privacy"}),
        "encoder": layout.encoder,
        "persona_space": blocks.space.version if blocks.space else "",
        "averaged_with": before.facts.release_id if before else "",
        "inputs": inputs_sha256(training),
    }

    def compute(reservation: Reservation, path: Path) -> Path:
        mechanism = gaussian_of(reservation)
        tonight = noisy_sums(
            blocks,
            gather(training, reservation.admitted, spec.privacy.episodes_per_person),
            mechanism,
            spec.privacy.people_expected,
            SealedNoise(reservation.noise_seed, STAGE),
        )
        vector, precision = averaged(tonight, mechanism.mu_squared, before, kept)
        facts = _facts(spec, blocks, reservation.release_id, mechanism, precision, before)
        statistics = statistics_of(blocks, vector, facts)
        mixture = fitted_mixture(layout, statistics)
        return save_statistics(path, replace(statistics, mixture=mixture))

    def usable(path: Path) -> bool:
        try:
            load_statistics(path, layout)
        except ShouldRestoreArtefact:
            return False
        return True

    released = release(night, people_of(training), configuration, compute, usable)
    statistics = load_statistics(released.path, layout)
    profiles = draw_profiles(spec, layout, statistics)
    if progress is not None:
        progress(1, 1)
    figures = {
        "profiles": float(len(profiles)),
        "joint_pairs": float(len(statistics.facts.pair_list)),
        "precision_in_first_fits": statistics.facts.precision / night.first_fit_mu_squared(),
    }
    path = save_profiles(Path(workdir) / _PROFILES_FILE, profiles)
    return path, note_of(night, released, len(statistics.vector), figures)


def draw_profiles(
    spec: LoopSpec,
    layout: EncodingLayout,
    statistics: ProfileStatistics,
    count: int | None = None,
    seed: int | None = None,
    variance: float = 1.0,
    edge_share: float | None = None,
) -> ProfileBatch:
    """People from a release; as many as one likes, the same arguments give the same people.

    Args:
        spec: the loop.
        layout: what a context's dimensions mean.
        statistics: the release.
        count: how many, 1 or more; ``training.profiles`` by default.
        seed: of the drawing, beside the release; ``training.seed`` by default.
        variance: factor on how much people differ (see ``sample_contexts``).
        edge_share: share of edge cases, the last rows, which are marked and weigh less.

    Raises:
        ShouldFixArgument: an argument is out of range.
    """
    wanted = spec.training.profiles if count is None else count
    if not 1 <= wanted <= _LARGEST:
        raise ShouldFixArgument(f"count={wanted} is not within 1..{_LARGEST}.")
    if seed is not None and seed < 0:
        raise ShouldFixArgument(f"seed={seed} is negative.")
    release_id = statistics.facts.release_id
    chosen = spec.training.seed if seed is None else seed
    rng = np.random.default_rng([chosen, int(release_id[:8], 16)])
    share = EDGE_SHARE if edge_share is None else edge_share
    context, weight = sample_contexts(layout, statistics, wanted, rng, variance, share)
    edge = np.arange(wanted) >= wanted - int(share * wanted)
    space = persona_space(spec, layout)
    persona = personas(spec, layout, statistics, context, edge, variance, rng)
    if space.field is not None and persona is not None:
        context[:, space.field.dimensions] = np.clip(persona, -1.0, 1.0)
        persona = context[:, space.field.dimensions].astype(np.float32)
    return ProfileBatch(
        context=np.clip(context, -1.0, 1.0).astype(np.float32),
        mask=np.ones((wanted, len(spec.actions)), dtype=np.bool_),
        weight=weight,
        encoder=layout.encoder,
        release_id=release_id,
        edge=edge,
        persona=persona,
    )


def _facts(
    spec: LoopSpec,
    blocks: ProfileBlocks,
    release_id: str,
    mechanism: GaussianMechanism,
    precision: float,
    before: ProfileStatistics | None,
) -> ProfileFacts:
    plan = blocks.plan
    alone = mechanism.sigma * mechanism.clip / spec.privacy.people_expected
    deviation = alone * float(np.sqrt(mechanism.mu_squared / precision))

    def of(part: float) -> float:
        """Of a block's entries; 1 where the release has no such block."""
        return deviation / float(np.sqrt(part)) if part > 0.0 else 1.0

    return ProfileFacts(
        release_id=release_id,
        loop=spec.name,
        encoder=blocks.layout.encoder,
        scale=plan.shares_scale,
        precision=precision,
        deviation=of(plan.shares_part),
        people_expected=spec.privacy.people_expected,
        sigma=mechanism.sigma,
        averaged_with=before.facts.release_id if before else "",
        pair_scale=plan.pairs_scale,
        pair_deviation=of(plan.pairs_part),
        persona_deviation=of(plan.persona_part),
        group=plan.group,
        pair_list=plan.pairs.pairs,
        parts=blocks.parts,
        persona_space=blocks.space.version if blocks.space else "",
    )


def _statistics_before(
    night: Night, blocks: ProfileBlocks
) -> tuple[ProfileStatistics | None, float]:
    """(the release before, what is kept of its weight: it fades by 1 / period_days a day).

    None of another encoding, plan or persona space: their entries mean something else. One that was
    divided by another number of expected people is restated for the present one.
    """
    found = night.previous()
    if found is None:
        return None, 1.0
    row, path = found
    try:
        before = load_statistics(path, blocks.layout)
    except EverloopError:
        return None, 1.0
    version = blocks.space.version if blocks.space else ""
    plan, facts = blocks.plan, before.facts
    same = (facts.group, facts.pair_list, facts.parts) == (
        plan.group,
        plan.pairs.pairs,
        blocks.parts,
    )
    if not same or facts.persona_space != version:
        return None, 1.0
    days = (night.logical_date - row.logical_date).days
    restating = restated(before, night.spec.privacy.people_expected)
    return restating, float((1.0 - 1.0 / night.spec.privacy.period_days) ** days)
