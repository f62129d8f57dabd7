"""Private releases of a loop in a workspace, from episodes of people who were made up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, EncodingLayout, Float32
from everloop.contracts.loop_spec import LoopSpec, Silence
from everloop.contracts.privacy import LedgerRow, ReleaseRequest
from everloop.wiring import Workspace
from rl.encoders import layout
from rl.encoders.context import encoder_of

DAY = date(2026, 3, 9)


@dataclass(frozen=True)
class Made:
    """Rows of the ledger."""

    user_model: str
    profiles: str


def made_episodes(
    spec: LoopSpec, people: int = 150, each: int = 4, seed: int = 5
) -> EncodedEpisodes:
    """Episodes with contexts of every kind of block, uniform actions and signals by action."""
    rng = np.random.default_rng([seed, people])
    n = people * each
    encoded = encoder_of(spec)
    action = rng.integers(0, len(spec.actions), n)
    ranges = [(-1.0, 1.0) if s.two_sided else (s.low, s.high) for s in spec.signals]
    low, high = np.array(ranges).T
    share = (1 + action[:, None]) / (1 + len(spec.actions)) * np.ones(len(low))
    signals = low + (high - low) * rng.beta(4 * share, 4 * (1 - share))
    missing = [i for i, s in enumerate(spec.signals) if s.silence is Silence.MISSING]
    signals[:, missing] = np.where(rng.random((n, len(missing))) < 0.5, np.nan, signals[:, missing])
    weight = np.array([s.weight for s in spec.signals]) * np.isfinite(signals)
    with np.errstate(invalid="ignore"):
        reward = (np.nan_to_num(signals) * weight).sum(axis=1) / weight.sum(axis=1)
    names = sorted(sha256(f"{seed}/{i}".encode()).hexdigest() for i in range(people))
    return EncodedEpisodes(
        episode_id=np.array([f"e{i}" for i in range(n)], dtype=np.str_),
        person=np.repeat(np.arange(people), each),
        people=np.array(names, dtype=np.str_),
        context=_contexts(layout(spec), n, rng),
        interacting=encoded.interacting,
        action=action,
        mask=np.ones((n, len(spec.actions)), dtype=np.bool_),
        propensity=np.full(n, 1 / len(spec.actions)),
        reward=reward,
        signals=signals,
        holdout=np.zeros(n, dtype=np.bool_),
        comparison=np.zeros(n, dtype=np.bool_),
        timestamp=np.arange(n) * 3600.0,
        encoder=encoded.layout.encoder,
    )


def _contexts(encoding: EncodingLayout, n: int, rng: np.random.Generator) -> Float32:
    made = np.zeros((n, encoding.width))
    for block in encoding.blocks:
        place = block.dimensions
        if block.kind in ("number", "vector"):
            made[:, place] = np.tanh(0.6 * rng.normal(size=(n, block.width)))
        elif block.kind == "cycle":
            angle = 2 * np.pi * rng.random(n)
            made[:, place] = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        elif block.kind == "category":
            made[np.arange(n), block.start + rng.integers(0, block.width, n)] = 1.0
        elif block.kind == "history":
            made[:, place] = 0.5 * rng.random((n, block.width))
    return made.astype(np.float32)


def release_people(
    workspace: Workspace,
    spec: LoopSpec,
    folder: Path,
    tenant: str = "default",
    day: date = DAY,
    people: int = 150,
) -> Made:
    """Release a user model and profiles; takes seconds."""
    from synthetic.profiles import release_profiles
    from synthetic.user_model import release_user_model

    episodes, pipeline = made_episodes(spec, people), f"{spec.name}/{tenant}"
    folder.mkdir(parents=True, exist_ok=True)
    ledger, blobs = workspace.ledger, workspace.blobs
    _, model = release_user_model(spec, episodes, ledger, blobs, day, "d" * 64, pipeline, folder)
    _, profiles = release_profiles(
        spec, layout(spec), episodes, ledger, blobs, day, "d" * 64, pipeline, folder
    )
    return Made(model.release_id, profiles.release_id)


def paid_release(
    workspace: Workspace,
    spec: LoopSpec,
    stage: str,
    file: Path,
    tenant: str = "default",
    day: date = DAY,
) -> LedgerRow:
    """A release of any file, paid for by people who were made up; nothing is computed."""
    pipeline = f"{spec.name}/{tenant}"
    request = ReleaseRequest(
        pipeline=pipeline,
        logical_date=day,
        stage=stage,
        configuration_sha256="c" * 64,
        dataset_id="d" * 64,
        mechanism=workspace.ledger.night_mechanism(spec, pipeline, stage, day),
    )
    people = [sha256(f"{tenant}/{i}".encode()).hexdigest() for i in range(5)]
    reserved = workspace.ledger.reserve(request, people, spec, 2)
    url, checksum = workspace.blobs.put(file)
    return workspace.ledger.complete(reserved.release_id, url, checksum)


def release_quality_of(workspace: Workspace, spec: LoopSpec, folder: Path, day: date = DAY) -> str:
    """Publish quality figures of what ``release_people`` released; the release's id."""
    from synthetic.profiles import draw_profiles
    from synthetic.profiles.statistics import load_statistics
    from synthetic.quality.published import release_quality
    from synthetic.user_model import load_user_model

    encoding, pipeline = layout(spec), f"{spec.name}/default"
    files = {}
    for stage in ("user_model", "profiles"):
        found = workspace.ledger.latest_release(pipeline, stage, day)
        if found is None:
            raise RuntimeError(f"there is no {stage}")
        files[stage] = workspace.blobs.fetch(*found[1:])
    episodes = made_episodes(spec)
    held_out = replace(episodes, holdout=np.ones(len(episodes), dtype=np.bool_))
    _, note = release_quality(
        spec,
        encoding,
        load_user_model(files["user_model"], spec),
        draw_profiles(spec, encoding, load_statistics(files["profiles"], encoding)),
        held_out,
        workspace.ledger,
        workspace.blobs,
        day,
        "d" * 64,
        pipeline,
        folder,
    )
    return note.release_id
