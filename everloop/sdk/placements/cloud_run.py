"""A training as a Cloud Run job, in two forms: a file for gcloud, and a body for the API's version 2.

``gcloud run jobs replace FILE`` reads the first (Knative's form, ``run.googleapis.com/v1``); everloop sends
the second. Both say the same.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from typing import Any

from everloop.contracts.placements import CloudRun
from everloop.contracts.platform import SecretKey

ACCELERATOR = "run.googleapis.com/accelerator"
_LABELS = {"managed-by": "everloop"}


def cloud_run_manifest(placement: CloudRun, name: str, command: Sequence[str]) -> dict[str, Any]:
    """The job as ``gcloud run jobs replace`` reads it; equal arguments give equal manifests.

    Args:
        placement: where and on what.
        name: of the job, a DNS label of at most 63 characters.
        command: the words that the container runs.
    """
    template: dict[str, Any] = {
        "maxRetries": placement.retries,
        "timeoutSeconds": str(placement.deadline),
        "serviceAccountName": placement.service_account,
        "containers": [
            {
                "name": "training",
                "image": placement.needs.image,
                "command": [command[0]],
                "args": list(command[1:]),
                "env": [
                    *({"name": n, "value": v} for n, v in _plain(placement)),
                    *(
                        {
                            "name": variable,
                            "valueFrom": {"secretKeyRef": {"name": at.secret, "key": at.key}},
                        }
                        for variable, at in sorted(placement.needs.secrets.items())
                    ),
                ],
                "resources": {"limits": _limits(placement)},
                "volumeMounts": _mounts(placement),
            }
        ],
        "volumes": [
            {
                "name": name,
                "secret": {"secretName": at.secret, "items": [{"key": at.key, "path": file}]},
            }
            for name, _, file, at in _files(placement)
        ],
    }
    annotations = {"run.googleapis.com/execution-environment": "gen2"}
    if placement.network:
        annotations["run.googleapis.com/network-interfaces"] = json.dumps(
            [{"network": placement.network, "subnetwork": placement.subnet}]
        )
        annotations["run.googleapis.com/vpc-access-egress"] = "private-ranges-only"
    if placement.gpu_type:
        template["nodeSelector"] = {ACCELERATOR: placement.gpu_type}
        annotations["run.googleapis.com/gpu-zonal-redundancy-disabled"] = "true"
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": dict(_LABELS) | {"cloud.googleapis.com/location": placement.location},
        },
        "spec": {
            "template": {
                "metadata": {"annotations": annotations},
                "spec": {"taskCount": 1, "parallelism": 1, "template": {"spec": template}},
            }
        },
    }


def cloud_run_job(placement: CloudRun, command: Sequence[str]) -> dict[str, Any]:
    """The same as a ``google.cloud.run.v2.Job``; its name goes into the address."""
    task: dict[str, Any] = {
        "maxRetries": placement.retries,
        "timeout": f"{placement.deadline}s",
        "serviceAccount": placement.service_account,
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "containers": [
            {
                "name": "training",
                "image": placement.needs.image,
                "command": [command[0]],
                "args": list(command[1:]),
                "env": [
                    *({"name": n, "value": v} for n, v in _plain(placement)),
                    *(
                        {
                            "name": variable,
                            "valueSource": {
                                "secretKeyRef": {"secret": at.secret, "version": at.key}
                            },
                        }
                        for variable, at in sorted(placement.needs.secrets.items())
                    ),
                ],
                "resources": {"limits": _limits(placement)},
                "volumeMounts": _mounts(placement),
            }
        ],
        "volumes": [
            {
                "name": name,
                "secret": {"secret": at.secret, "items": [{"path": file, "version": at.key}]},
            }
            for name, _, file, at in _files(placement)
        ],
    }
    if placement.network:
        task["vpcAccess"] = {
            "networkInterfaces": [{"network": placement.network, "subnetwork": placement.subnet}],
            "egress": "PRIVATE_RANGES_ONLY",
        }
    if placement.gpu_type:
        task["nodeSelector"] = {"accelerator": placement.gpu_type}
        task["gpuZonalRedundancyDisabled"] = True
    return {
        "labels": dict(_LABELS),
        "template": {"taskCount": 1, "parallelism": 1, "template": task},
    }


def _plain(placement: CloudRun) -> list[tuple[str, str]]:
    given = dict(placement.needs.env) | {
        "EVERLOOP_HOME": placement.workspace,
        "OMP_NUM_THREADS": "1",
    }
    return sorted(given.items())


def _files(placement: CloudRun) -> list[tuple[str, str, str, SecretKey]]:
    """(volume's name, folder, file's name, secret) of every secret that stands as a file."""
    return [
        (f"file-{number}", *posixpath.split(path), at)
        for number, (path, at) in enumerate(sorted(placement.files.items()), start=1)
    ]


def _mounts(placement: CloudRun) -> list[dict[str, str]]:
    return [{"name": name, "mountPath": folder} for name, folder, _, _ in _files(placement)]


def _limits(placement: CloudRun) -> dict[str, str]:
    needs = placement.needs
    limits = {"cpu": needs.cpu.limit or "", "memory": needs.memory.limit or ""}
    if needs.accelerator:
        limits[needs.accelerator.type] = str(needs.accelerator.count)
    return limits
