"""Contexts of a dataset version as they were logged; every reading of health data is written down."""

from __future__ import annotations

from collections.abc import Mapping

from everloop.contracts.contexts import SEALED, ContextOpener
from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.episodes import Json
from everloop.wiring import Workspace


def audited_contexts(workspace: Workspace, manifest: DatasetManifest, stage: str) -> ContextOpener:
    """Opens the contexts of one dataset version.

    The audit entry of a reading (``health.read``, with the dataset and its rows) is durable before
    the first sealed context is opened; a version without any leaves none.

    Args:
        stage: the step that reads.
    """
    open_sealed = workspace.vault.opener(manifest.tenant, manifest.loop)
    audited = False

    def opened(record_id: str, context: Mapping[str, Json]) -> Mapping[str, Json]:
        nonlocal audited
        if not audited and SEALED in context:
            workspace.audit.append(
                manifest.tenant,
                f"pipeline:{stage}",
                "health.read",
                f"sha256:{manifest.dataset_id}",
                manifest.episodes,
            )
            audited = True
        return open_sealed(record_id, context)

    return opened
