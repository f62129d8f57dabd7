"""The user model of a night: a private release, warm-started from the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, EncodingLayout
from everloop.contracts.errors import EverloopError
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import BlobStore, PrivacyLedger, Reservation
from everloop.contracts.privacy import Mechanism, ReleaseNote
from synthetic.noise import Noise, SealedNoise
from synthetic.people import (
    PeopleEpisodes,
    following,
    gather,
    inputs_sha256,
    people_of,
    require_bounded,
)
from synthetic.release import Night, mechanism_of, note_of, release
from synthetic.user_model.facts import ReleaseFacts
from synthetic.user_model.file import load_user_model, read_release, save_user_model
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.mlp import MlpUserModel, cold_mlp_weights, mlp_features
from synthetic.user_model.nights import night_rate
from synthetic.user_model.noise_covariance import noise_share, uncertainty_of
from synthetic.user_model.warm_start import continued
from synthetic.user_model.weights import cold_weights
from synthetic.user_model.widest import feature_map

__all__ = ["LinearUserModel", "load_user_model", "release_user_model"]

STAGE = "user_model"
_PRODUCT = {"name", "context", "actions", "signals", "reward", "privacy", "journeys", "candidates"}
MECHANISM_VERSION = 7
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
    layout: EncodingLayout | None = None,
    known_until: datetime | None = None,
) -> tuple[Path, ReleaseNote]:
    """Fit the user model on ``episodes.training`` under a reservation of the ledger.

    The rate of a night falls with its part of the precision so far (``nights``): later nights
    are small, steady corrections, and their noise averages out instead of piling up.

    Args:
        spec: the loop, budget and mechanism included.
        episodes: every encoded episode of the dataset; holdout and comparison are left out here, except
            that a person's next decision counts as one whatever became of it.
        ledger, blobs: where budget is taken from and the output is kept.
        logical_date: the night; (pipeline, date) is paid for once.
        dataset_id: what the noise is bound to.
        pipeline: owner of the releases, such as "companion/default".
        workdir: folder that gets ``user_model.safetensors``.
        progress: called with (steps done, steps).
        layout: what the context's dimensions mean; without it, no history is seen.
        known_until: public end of the data (UTC); ``None``: the end of the logical date.

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
    learned = ~episodes.holdout & ~episodes.comparison & np.isfinite(episodes.reward)
    end = known_until or datetime.combine(logical_date, time(), UTC) + timedelta(days=1)
    followed = following(episodes, end.timestamp()).at(np.flatnonzero(learned))
    cold = cold_model(spec, training, layout)
    before = _before(night, cold)
    started_from = "" if before is None else before.facts.release_id
    configuration = {
        "version": MECHANISM_VERSION,
        "product": spec.model_dump(mode="json", include=_PRODUCT),
        "start": cold.heads.flat.tolist() if before is None else [],
        "encoder": training.encoder,
        "warm_start": started_from,
        "inputs": inputs_sha256(training, followed),
    }

    def compute(reservation: Reservation, path: Path) -> Path:
        mechanism, spent = mechanism_of(reservation), reservation.row.mu_squared
        rate, precision = night_rate(
            spec.privacy, spent, None if before is None else before.facts.precision
        )
        fitted = _fitted(
            spec,
            cold if before is None else before,
            gather(training, reservation.admitted, spec.privacy.episodes_per_person, followed),
            mechanism,
            rate,
            SealedNoise(reservation.noise_seed, STAGE),
            progress,
        )
        fitted.facts = replace(
            cold.facts,
            release_id=reservation.release_id,
            sigma=mechanism.sigma,
            clip=mechanism.clip,
            steps=mechanism.steps,
            sampling_rate=mechanism.sampling_rate,
            mu_squared=spent,
            learning_rate=rate,
            precision=precision,
            warm_start=started_from,
        )
        old = None if before is None else before.uncertainty
        known = uncertainty_of(spec, fitted, mechanism, rate, old, layout)
        facts = replace(
            fitted.facts,
            noise_deviation=float(np.sqrt(np.diag(known.noise).mean())),
            noise_share=noise_share(spec, fitted, known, layout),
        )
        return save_user_model(path, fitted.features, fitted.weights, facts, known)

    def usable(path: Path) -> bool:
        return _loaded(path, spec, training.encoder) is not None

    released = release(night, people_of(training), configuration, compute, usable)
    model = load_user_model(released.path, spec)
    return released.path, note_of(night, released, model.parameters, _figures(model))


def cold_model(
    spec: LoopSpec, training: EncodedEpisodes, layout: EncodingLayout | None = None
) -> LinearUserModel | MlpUserModel:
    """What a first fit starts from: the kind that ``privacy.user_model`` names, with constants alone.

    Raises:
        ShouldFixLoopSpec: the model cannot be made small enough.
    """
    linear = spec.privacy.user_model == "linear"
    facts = ReleaseFacts(
        release_id="",
        loop=spec.name,
        encoder=training.encoder,
        actions=spec.action_ids,
        signals=spec.signal_names,
        interacting=tuple(int(i) for i in np.flatnonzero(training.interacting)),
        sigma=0.0,
        clip=spec.privacy.clip,
        steps=0,
        sampling_rate=1.0,
        mu_squared=0.0,
        learning_rate=0.0,
        precision=0.0,
        people_expected=spec.privacy.people_expected,
        noise_deviation=0.0,
        noise_share=0.0,
        warm_start="",
        kind="linear" if linear else "mlp",
        action_features=spec.action_features,
        descriptors=() if spec.candidates is None else spec.candidates.descriptors,
        states=_states(spec, layout),
    )
    if linear:
        features = feature_map(spec, training.interacting, layout)
        return LinearUserModel(spec, features, cold_weights(spec, features), facts)
    features, units = mlp_features(spec, training.interacting, layout)
    return MlpUserModel(spec, features, cold_mlp_weights(spec, features, units), facts)


def _states(spec: LoopSpec, layout: EncodingLayout | None) -> str:
    """SHA-256 of what the context's dimensions mean; of the catalogue, nothing but its kinds' places."""
    if layout is None:
        return ""
    fields = [
        field.model_dump(mode="json", exclude={"description", "sensitivity"})
        for field in spec.context
    ]
    blocks = [(block.field, block.kind, block.start, block.width) for block in layout.blocks]
    return hashlib.sha256(json.dumps([fields, blocks], sort_keys=True).encode()).hexdigest()


def _fitted(
    spec: LoopSpec,
    start: LinearUserModel | MlpUserModel,
    people: PeopleEpisodes,
    mechanism: Mechanism,
    rate: float,
    noise: Noise,
    progress: Callable[[int, int], None] | None,
) -> LinearUserModel | MlpUserModel:
    # Opacus takes seconds to import, which loading a model need not cost.
    from synthetic.user_model.private_fit import private_fit, private_mlp_fit  # noqa: PLC0415

    terms = (mechanism, rate, noise)
    if isinstance(start, LinearUserModel):
        fitted = private_fit(spec, start.features, people, start.weights, *terms, progress=progress)
        return start.moved(fitted.flat)
    deep = private_mlp_fit(spec, start.features, people, start.weights, *terms, progress=progress)
    return start.moved(deep.flat)


def _before(
    night: Night, cold: LinearUserModel | MlpUserModel
) -> LinearUserModel | MlpUserModel | None:
    """The newest earlier release under tonight's features; ``None`` if nothing of it can be kept."""
    found = night.previous()
    try:
        return None if found is None else continued(read_release(found[1]), cold, night.spec)
    except EverloopError:
        return None


def _loaded(path: Path, spec: LoopSpec, encoder: str) -> LinearUserModel | MlpUserModel | None:
    """A release that still serves; ``None`` for one of another catalogue, format or encoder."""
    try:
        model = load_user_model(path, spec)
    except EverloopError:
        return None
    return model if model.facts.encoder == encoder else None


def _figures(model: LinearUserModel | MlpUserModel) -> dict[str, float]:
    """Figures of the release's own output."""
    facts = model.facts
    return {
        "weight_root_mean_square": float(np.sqrt((model.heads.flat**2).mean())),
        "noise_deviation_per_weight": facts.noise_deviation,
        "noise_share_of_acceptance": facts.noise_share,
        "learning_rate": facts.learning_rate,
        "warm_started": float(bool(facts.warm_start)),
    }
