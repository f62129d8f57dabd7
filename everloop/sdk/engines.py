"""Manifests of a workspace's deployments for traffic engines."""

from __future__ import annotations

import io
import json
from pathlib import Path

from ruamel.yaml import YAML

from everloop.contracts.errors import ShouldFixArgument
from everloop.loops import load
from everloop.rollout.manifests import ENGINES, EngineTerms
from everloop.wiring import open_workspace


def engine_terms(
    loop: str,
    service_url: str,
    *,
    deployment_id: str = "",
    name: str = "",
    namespace: str = "default",
    image: str = "everloop:latest",
    storage_uri: str = "",
    secret: str = "everloop-read",  # noqa: S107 — a name
    replicas: int = 2,
    port: int = 8000,
    tenant: str = "default",
    home: Path | str | None = None,
) -> EngineTerms:
    """Terms of a deployment's manifests; by default of the one on trial, else of the one that serves.

    Raises:
        ShouldFixArgument: there is neither, the deployment is another loop's, or an engine would not
            take a value.
        ShouldNameKnownId: there is no such deployment.
    """
    spec, workspace = load(loop), open_workspace(home)
    head = workspace.deployments.head(spec.name, tenant)
    trial = head.trial
    wanted = deployment_id or (trial.deployment_id if trial else "") or head.deployment_id
    if not wanted:
        raise ShouldFixArgument(
            f"Loop {spec.name!r} has no deployment on trial and none that serves.",
            "Run the daily graph first, or name one with --deployment.",
        )
    found = workspace.deployments.deployment(wanted, tenant)
    if found.loop != spec.name:
        raise ShouldFixArgument(
            f"Deployment {wanted} is of loop {found.loop!r}, not of {spec.name!r}.",
            "Name its loop.",
        )
    if trial is not None and trial.deployment_id == wanted:
        percent = trial.traffic_percent
    else:
        percent = 100.0 if wanted == head.deployment_id else 0.0
    return EngineTerms(
        deployment=found,
        rollout=spec.rollout,
        name=name or spec.name.replace("_", "-"),
        service_url=service_url,
        namespace=namespace,
        image=image,
        storage_uri=storage_uri,
        secret=secret,
        replicas=replicas,
        port=port,
        traffic_percent=percent,
    )


def documents_of(engine: str, terms: EngineTerms) -> str:
    """An engine's documents as one YAML text."""
    yaml = YAML()
    yaml.explicit_start = True
    yaml.width = 4096  # a folded address is hard to read
    text = io.StringIO()
    for document in ENGINES[engine](terms):
        yaml.dump(json.loads(json.dumps(document)), text)
    return text.getvalue()
