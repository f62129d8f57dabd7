"""Kubeflow: which platform file the service submits with, and the token that its address asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from everloop.contracts.errors import ShouldProvideKey

PLATFORM = "EVERLOOP_PLATFORM"
KUBEFLOW_TOKEN = "EVERLOOP_KUBEFLOW_TOKEN"  # noqa: S105 — a name
KUBEFLOW_TOKEN_PATH = "EVERLOOP_KUBEFLOW_TOKEN_PATH"  # noqa: S105 — a name

IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where Kubernetes projects a pod's token for Kubeflow Pipelines, by Kubeflow's documentation."""


def platform_file() -> Path | None:
    """The platform file that the service's trainings are submitted with; None: they run here."""
    text = os.environ.get(PLATFORM, "").strip()
    return Path(text) if text else None


def kubeflow_token(
    named: str = "", in_cluster: Path = IN_CLUSTER_TOKEN
) -> Callable[[], str] | None:
    """Reads the bearer token anew at every call, since a pod's is replaced while it runs.

    The first of these: ``EVERLOOP_KUBEFLOW_TOKEN``, the file ``EVERLOOP_KUBEFLOW_TOKEN_PATH``, the file
    that the platform names, the pod's own. ``None`` where there is none: the address asks for none, then.

    Raises:
        ShouldProvideKey: a named file cannot be read or is empty; at the call, too.
    """
    if os.environ.get(KUBEFLOW_TOKEN, "").strip():
        return lambda: os.environ.get(KUBEFLOW_TOKEN, "").strip()
    path = os.environ.get(KUBEFLOW_TOKEN_PATH, "").strip() or named
    if not path and not in_cluster.exists():
        return None
    place = Path(path) if path else in_cluster
    _token_in(place)
    return lambda: _token_in(place)


def _token_in(place: Path) -> str:
    try:
        token = place.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ShouldProvideKey(
            f"The token for Kubeflow cannot be read from {place} ({problem}).",
            f"Write it there, or set {KUBEFLOW_TOKEN}.",
        ) from None
    if not token:
        raise ShouldProvideKey(f"{place} is empty.", "Write Kubeflow's token there.")
    return token
