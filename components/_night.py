"""The releases of a night that is over, as its own steps left them, without another charge."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from components._private import publish_release, refusal_of
from components._quality import measured_quality
from components._stage import Stage
from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.documents import read, write
from everloop.contracts.encoded_file import load_encoded
from everloop.contracts.errors import ShouldCollectMoreData
from everloop.contracts.loop_spec import LoopSpec
from everloop.privacy.closed import ClosedLedger
from everloop.wiring import Workspace
from rl.encoders import layout
from synthetic.profiles import release_profiles
from synthetic.user_model import release_user_model

WHY = "An experiment spends no privacy budget"


def load_night(
    told: Stage,
    spec: LoopSpec,
    workspace: Workspace,
    logical_date: str,
    tenant: str,
    artefacts: tuple[Any, ...],
) -> None:
    """Write the user model, the people and the quality figures that serve a date.

    The ledger is closed meanwhile, so each stage finds its newest release up to the date.

    Args:
        told: the step's page and summary.
        spec: the loop, all sections that the releases read.
        workspace: holds the ledger and the releases.
        logical_date: the night, ISO.
        tenant: owner of the rows.
        artefacts: dataset, encoded episodes; then what is written: user model, profiles, quality.

    Raises:
        ShouldCollectMoreData: the night left no release, or none that says something to this loop.
    """
    dataset, encoded, user_model, profiles, quality = artefacts
    closed = replace(workspace, ledger=ClosedLedger(workspace.ledger, WHY))
    manifest, episodes = read(DatasetManifest, dataset.path), load_encoded(encoded.path)
    night, pipeline = date.fromisoformat(logical_date), f"{spec.name}/{tenant}"
    encoding = layout(spec)
    common = (closed.ledger, closed.blobs, night, manifest.dataset_id, pipeline)
    lines: list[tuple[str, str]] = []
    for artefact, make in (
        (
            user_model,
            lambda folder: release_user_model(
                spec, episodes, *common, folder, layout=encoding, known_until=manifest.known_until
            ),
        ),
        (profiles, lambda folder: release_profiles(spec, encoding, episodes, *common, folder)),
    ):
        if not publish_release(told, artefact.path, make):
            refusal = refusal_of(artefact.path)
            raise ShouldCollectMoreData(
                f"The night of {logical_date} has nothing to learn from"
                f"{f': {refusal.reason}' if refusal else '.'}",
                "Run the daily graph for it first: everloop run daily.",
            )
        lines += told.rows
    figures = measured_quality(
        spec, closed, logical_date, tenant, (dataset, encoded, user_model, profiles)
    )
    write(figures, Path(quality.path))
    passed = sum(check.status == "passed" for check in figures.checks)
    told.says(
        f"releases of {logical_date}; nothing was spent; {passed} of {len(figures.checks)} checks of "
        "synthetic quality passed",
        lines,
        {"epsilon_spent": 0.0},
    )
