"""The user model of a night: a private release, warm-started from the one before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import EverloopError
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import BlobStore, PrivacyLedger, Reservation
from everloop.contracts.privacy import ReleaseNote
from synthetic.features import FeatureMap, feature_map
from synthetic.linear_user_model import (
    LinearUserModel,
    ReleaseFacts,
    Weights,
    cold_weights,
    load_user_model,
    save_user_model,
)
from synthetic.noise import SealedNoise
from synthetic.people import gather, inputs_sha256, people_of, require_bounded
from synthetic.release import Night, mechanism_of, note_of, release

__all__ = ["LinearUserModel", "load_user_model", "release_user_model"]

STAGE = "user_model"
_PRODUCT = {"name", "context", "actions", "signals", "reward", "privacy", "success_metrics"}
MECHANISM_VERSION = 1
"""Rises whenever the same inputs would give another release."""


def release_user_model(
    spec: LoopSpec,
    episodes: EncodedEpisodes,
    ledger: PrivacyLedger,
    blobs: BlobStore,
    logical_date: date,
    dataset_id: str,
    pipeline: str,
    workdir: Path,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, ReleaseNote]:
    """Fit the user model on ``episodes.training`` under a reservation of the ledger.

    The rate of a night falls with its budget, learning_rate * mu^2 / mu^2 of the first fit: later
    nights are then small, steady corrections, and their noise averages out instead of piling up.

    Args:
        spec: the loop, budget and mechanism included.
        episodes: every encoded episode of the dataset; holdout and comparison are left out here.
        ledger, blobs: where budget is taken from and the output is kept.
        logical_date: the night; (pipeline, date) is paid for once.
        dataset_id: what the noise is bound to.
        pipeline: owner of the releases, such as "companion/default".
        workdir: folder that gets ``user_model.safetensors``.
        progress: called with (steps done, steps).

    Returns:
        The released file and what the report says of it.

    Raises:
        ShouldFixInput: NaN or out-of-range features; nothing was spent.
        ShouldFixLoopSpec: the model cannot be made small enough.
        ShouldCollectMoreData, ShouldWaitForBudget: no new release is possible and there is none to
            reuse.
        ShouldRepairLedger: the ledger does not verify.
    """
    night = Night(spec, ledger, blobs, pipeline, STAGE, logical_date, dataset_id, Path(workdir))
    training = episodes.training
    require_bounded(training)
    features = feature_map(spec, training.interacting)
    start, started_from = _warm_start(night, features, training.encoder)
    configuration = {
        "version": MECHANISM_VERSION,
        "product": spec.model_dump(mode="json", include=_PRODUCT),
        "encoder": training.encoder,
        "warm_start": started_from,
        "inputs": inputs_sha256(training),
    }

    def compute(reservation: Reservation, path: Path) -> Path:
        # Opacus takes seconds to import, which loading a model need not cost.
        from synthetic.private_fit import private_fit  # noqa: PLC0415

        mechanism = mechanism_of(reservation)
        rate = spec.privacy.learning_rate * min(
            1.0, mechanism.mu_squared / night.first_fit_mu_squared()
        )
        weights = private_fit(
            spec,
            features,
            gather(training, reservation.admitted, spec.privacy.episodes_per_person),
            start or cold_weights(spec, features),
            mechanism,
            rate,
            SealedNoise(reservation.noise_seed, STAGE),
            progress=progress,
        )
        facts = ReleaseFacts(
            release_id=reservation.release_id,
            loop=spec.name,
            encoder=training.encoder,
            actions=spec.action_ids,
            signals=spec.signal_names,
            interacting=tuple(int(i) for i in np.flatnonzero(training.interacting)),
            sigma=mechanism.sigma,
            clip=mechanism.clip,
            steps=mechanism.steps,
            mu_squared=mechanism.mu_squared,
            learning_rate=rate,
            people_expected=spec.privacy.people_expected,
            noise_deviation=rate
            * mechanism.sigma
            * mechanism.clip
            * float(np.sqrt(mechanism.steps))
            / spec.privacy.people_expected,
            warm_start=started_from,
        )
        return save_user_model(path, features, weights, facts)

    released = release(night, people_of(training), configuration, compute)
    model = load_user_model(released.path, spec)
    return released.path, note_of(night, released, model.parameters, _figures(model))


def _warm_start(night: Night, features: FeatureMap, encoder: str) -> tuple[Weights | None, str]:
    """(weights of the newest earlier release, its id) if they are of the same features and encoder."""
    found = night.previous()
    if found is None:
        return None, ""
    row, path = found
    try:
        model = load_user_model(path, night.spec)
    except EverloopError:  # of another catalogue or format: start cold
        return None, ""
    same = (
        model.facts.encoder == encoder
        and np.array_equal(model.features.context, features.context)
        and np.array_equal(model.features.interacting, features.interacting)
    )
    return (model.weights, row.release_id) if same else (None, "")


def _figures(model: LinearUserModel) -> dict[str, float]:
    """Figures of the release's own output."""
    facts = model.facts
    squares = float((model.weights.values**2).sum() + (model.weights.presences**2).sum())
    return {
        "weight_root_mean_square": float(np.sqrt(squares / max(1, model.parameters))),
        "noise_deviation_per_weight": facts.noise_deviation,
        "learning_rate": facts.learning_rate,
        "warm_started": float(bool(facts.warm_start)),
    }
