"""The files that every system reads, as a dataset version."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from everloop.contracts.datasets import DatasetManifest, DatasetVersion, Exclusions


def dataset_in(folder: Path) -> DatasetVersion:
    """The two generated files in a folder; the manifest says nothing that rewards depend on."""
    manifest = DatasetManifest(
        "bench", "companion", "default", date(2024, 5, 1), 1, 0, 0, 0, "", (), Exclusions()
    )
    return DatasetVersion(folder, manifest)
