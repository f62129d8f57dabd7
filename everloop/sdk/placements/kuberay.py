"""A training as a RayJob of KubeRay: a cluster is made for it and taken away after.

Written against ``ray.io/v1`` of KubeRay 1.7. Names of fields are the custom resource's own.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from everloop.contracts.placements import KubeRay
from everloop.contracts.platform import StepNeeds
from everloop.sdk.placements.pods import pod_template

API, VERSION, PLURAL = "ray.io", "v1", "rayjobs"
LABELS = {"app.kubernetes.io/name": "everloop", "app.kubernetes.io/managed-by": "everloop"}
_NO_PORT = "0"
"""Ray then serves no figures: one port less that somebody in the network may read."""


def ray_job(placement: KubeRay, name: str, command: Sequence[str]) -> dict[str, Any]:
    """The manifest of a training; equal arguments give equal manifests.

    Args:
        placement: where and on what.
        name: of the RayJob, a DNS label of at most 47 characters, as KubeRay asks.
        command: the words that the head runs; ``{ADDRESS}`` in one stands for the address of its cluster.
    """
    group = placement.workers
    workers = {
        "groupName": "workers",
        "replicas": group.least,
        "minReplicas": group.least,
        "maxReplicas": group.most,
        "rayStartParams": {"metrics-export-port": _NO_PORT},
        "template": _template("ray-worker", placement.worker_needs, placement),
    }
    cluster: dict[str, Any] = {
        "rayVersion": version("ray"),
        "authOptions": {
            "mode": "token",
            **({"secretName": placement.token_secret} if placement.token_secret else {}),
        },
        "headGroupSpec": {
            # the dashboard takes jobs, and listens to the submitter; the token keeps others out
            "rayStartParams": {"dashboard-host": "0.0.0.0", "metrics-export-port": _NO_PORT},  # noqa: S104
            "template": _template("ray-head", placement.head_needs, placement),
        },
        "workerGroupSpecs": [workers],
    }
    if group.least != group.most:
        cluster["enableInTreeAutoscaling"] = True
    return {
        "apiVersion": f"{API}/{VERSION}",
        "kind": "RayJob",
        "metadata": {"name": name, "namespace": placement.namespace, "labels": dict(LABELS)},
        "spec": {
            "entrypoint": entrypoint(command),
            "submissionMode": placement.submission,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": placement.ttl,
            "activeDeadlineSeconds": placement.deadline,
            "backoffLimit": placement.backoff_limit,
            "rayClusterSpec": cluster,
        },
    }


def entrypoint(command: Sequence[str]) -> str:
    """The words as a shell reads them; Ray gives every job its cluster's address in ``RAY_ADDRESS``."""
    return " ".join(
        '"$RAY_ADDRESS"'.join(shlex.quote(part) if part else "" for part in word.split("{ADDRESS}"))
        if "{ADDRESS}" in word
        else shlex.quote(word)
        for word in command
    )


def _template(name: str, needs: StepNeeds, placement: KubeRay) -> dict[str, Any]:
    variables = {"EVERLOOP_HOME": placement.workspace, "OMP_NUM_THREADS": "1"}
    return pod_template(name, needs, placement.service_account, variables)
