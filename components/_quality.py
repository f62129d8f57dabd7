"""Synthetic quality of a night: what operators see, and the figures that the ledger paid for."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components._private import released_file, released_note
from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.documents import read
from everloop.contracts.encoded_file import load_encoded
from everloop.contracts.errors import ShouldCollectMoreData, ShouldWaitForBudget
from everloop.contracts.figures import QualityFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.privacy.plan import remaining_epsilon
from everloop.wiring import Workspace
from rl.encoders import layout
from synthetic.profiles import load_profiles
from synthetic.quality import check_quality
from synthetic.quality.published import load_published, release_quality
from synthetic.quality.reference import reference_model
from synthetic.user_model import load_user_model


def measured_quality(
    spec: LoopSpec,
    workspace: Workspace,
    logical_date: str,
    tenant: str,
    artefacts: tuple[Any, ...],
) -> QualityFigures:
    """Compare the night's releases with held-out people, and publish what is paid for.

    ``artefacts``: dataset, encoded episodes, user model and profiles. Where nothing new may be published
    and nothing was before, ``refusal`` says why, and the comparison inside the boundary stands.
    """
    dataset, encoded, user_model, profiles = artefacts
    manifest = read(DatasetManifest, dataset.path)
    episodes = load_encoded(encoded.path)
    people = load_profiles(released_file(profiles.path))
    model = load_user_model(released_file(user_model.path), spec)
    figures = check_quality(
        spec,
        layout(spec),
        people,
        model,
        episodes,
        remaining_epsilon(released_note(profiles.path).budget),
        reference_model(spec, model, episodes, manifest.known_until),
    )
    try:
        with TemporaryDirectory() as folder:
            path, note = release_quality(
                spec,
                layout(spec),
                model,
                people,
                episodes,
                workspace.ledger,
                workspace.blobs,
                date.fromisoformat(logical_date),
                manifest.dataset_id,
                f"{spec.name}/{tenant}",
                Path(folder),
            )
            published = load_published(path).figures
    except (ShouldWaitForBudget, ShouldCollectMoreData) as problem:
        return replace(figures, refusal=str(problem))
    return replace(figures, published=published, release=note)
