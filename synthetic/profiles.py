"""Synthetic people of a night: a private release of statistics, and profiles drawn from it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from everloop.contracts.datasets import EncodedEpisodes, EncodingLayout, Float
from everloop.contracts.documents import write_atomically
from everloop.contracts.episodes import Json
from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ProfileSource, SyntheticProfile
from everloop.contracts.ports import BlobStore, PrivacyLedger, Reservation
from everloop.contracts.privacy import ReleaseNote
from everloop.contracts.simulation import ProfileBatch
from synthetic.noise import SealedNoise
from synthetic.people import gather, inputs_sha256, people_of, require_bounded
from synthetic.profile_statistics import (
    ProfileFacts,
    ProfileStatistics,
    averaged,
    load_statistics,
    noisy_sums,
    save_statistics,
    scale_of,
)
from synthetic.release import Night, mechanism_of, note_of, release
from synthetic.sampling import sample_contexts

STAGE = "profiles"
MECHANISM_VERSION = 1
PERSONA_WIDTH = 512
_PROFILES_FILE = "people.safetensors"
_PERSONA = 20_260_102
_NAMESPACE = uuid.UUID("6f1b7c52-2f0e-4d8e-9a53-3a4a8a1f7c10")
"""Of profile ids; a constant, so that the same release gives the same ids."""


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
    before = _statistics_before(night, layout)
    configuration = {
        "version": MECHANISM_VERSION,
        "product": spec.model_dump(mode="json", include={"name", "context", "privacy"}),
        "encoder": layout.encoder,
        "averaged_with": before.facts.release_id if before else "",
        "inputs": inputs_sha256(training),
    }

    def compute(reservation: Reservation, path: Path) -> Path:
        mechanism = mechanism_of(reservation)
        privacy = spec.privacy
        tonight = noisy_sums(
            layout,
            gather(training, reservation.admitted, privacy.episodes_per_person),
            mechanism,
            privacy.people_expected,
            SealedNoise(reservation.noise_seed, STAGE),
        )
        kept = 1.0 - 1.0 / privacy.period_days
        sums, precision = averaged(tonight, mechanism.mu_squared, before, kept)
        one_night = mechanism.sigma * mechanism.clip / privacy.people_expected
        facts = ProfileFacts(
            release_id=reservation.release_id,
            loop=spec.name,
            encoder=layout.encoder,
            scale=scale_of(layout),
            precision=precision,
            deviation=one_night * float(np.sqrt(mechanism.mu_squared / precision)),
            people_expected=privacy.people_expected,
            sigma=mechanism.sigma,
            averaged_with=before.facts.release_id if before else "",
        )
        return save_statistics(path, ProfileStatistics(sums, facts))

    released = release(night, people_of(training), configuration, compute)
    statistics = load_statistics(released.path, layout)
    profiles = draw_profiles(spec, layout, statistics)
    if progress is not None:
        progress(1, 1)
    figures = {
        "profiles": float(len(profiles)),
        "precision_in_first_fits": statistics.facts.precision / night.first_fit_mu_squared(),
    }
    path = save_profiles(Path(workdir) / _PROFILES_FILE, profiles)
    return path, note_of(night, released, len(statistics.sums), figures)


def draw_profiles(
    spec: LoopSpec, layout: EncodingLayout, statistics: ProfileStatistics
) -> ProfileBatch:
    """``training.profiles`` people from a release; the seed is (training.seed, release)."""
    release_id = statistics.facts.release_id
    rng = np.random.default_rng([spec.training.seed, int(release_id[:8], 16)])
    context, weight = sample_contexts(layout, statistics, spec.training.profiles, rng)
    return ProfileBatch(
        context=np.clip(context, -1.0, 1.0).astype(np.float32),
        mask=np.ones((len(context), len(spec.actions)), dtype=np.bool_),
        weight=weight,
        encoder=layout.encoder,
        release_id=release_id,
    )


def save_profiles(path: Path | str, profiles: ProfileBatch) -> Path:
    """Write a batch as safetensors, atomically."""
    tensors = {"context": profiles.context, "mask": profiles.mask, "weight": profiles.weight}
    metadata = {"everloop": f"{profiles.encoder}\n{profiles.release_id}"}
    return write_atomically(save(tensors, metadata=metadata), Path(path))


def load_profiles(path: Path | str) -> ProfileBatch:
    """Read what ``save_profiles`` wrote; ``ShouldRestoreArtefact`` when it is damaged."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            encoder, release_id = file.metadata()["everloop"].split("\n")
        return ProfileBatch(**tensors, encoder=encoder, release_id=release_id)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no profiles ({problem}).", "Rerun generate_profiles."
        ) from problem


def to_rows(
    profiles: ProfileBatch, layout: EncodingLayout, spec: LoopSpec
) -> Iterator[SyntheticProfile]:
    """Rows of ``synthetic_profiles``.

    ``persona_vector`` is the profile's context under a fixed public random projection to 512
    numbers: it holds what the context holds and nothing more. ``traits`` are the categories drawn
    (``None``: missing). No journey has been simulated yet, so ``interaction_history`` is empty.
    """
    vectors = profiles.context.astype(np.float64) @ persona_projection(layout.width)
    for index, vector in enumerate(vectors):
        yield SyntheticProfile(
            profile_id=str(uuid.uuid5(_NAMESPACE, _name(profiles, index))),
            persona_vector=tuple(float(v) for v in vector),
            traits=_traits(profiles.context[index], layout, spec),
            interaction_history=(),
            source=ProfileSource.GENERATED,
            release_id=profiles.release_id,
        )


def _name(profiles: ProfileBatch, index: int) -> str:
    """Release, position and person: other people drawn from the same release are other rows."""
    person = hashlib.sha256(profiles.context[index].tobytes()).hexdigest()
    return f"{profiles.release_id}/{index}/{person}"


def persona_projection(width: int) -> Float:
    """(width, 512) public matrix with entries N(0, 1 / 512): norms are kept on average."""
    rng = np.random.default_rng([_PERSONA, width])
    drawn: Float = rng.standard_normal((width, PERSONA_WIDTH)) / np.sqrt(PERSONA_WIDTH)
    return drawn


def _traits(context: Float, layout: EncodingLayout, spec: LoopSpec) -> dict[str, Json]:
    traits: dict[str, Json] = {}
    for block in layout.of_kind("category"):
        one_hot = context[block.dimensions]
        chosen = spec.field(block.field).choices[int(one_hot.argmax())]
        traits[block.field] = chosen if one_hot.any() else None
    return traits


def _statistics_before(night: Night, layout: EncodingLayout) -> ProfileStatistics | None:
    found = night.previous()
    if found is None:
        return None
    try:
        return load_statistics(found[1], layout)
    except EverloopError:  # of another encoding: start anew
        return None
