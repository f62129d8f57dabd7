"""Placements as their files say them, for tests to change."""

from __future__ import annotations

from typing import Any

from everloop.contracts.placements import CloudRun, KubeRay

IMAGE = "registry.example/everloop-python:1.2.3"
SHARED = {"EVERLOOP_STORAGE_URL": "gs://bucket/everloop"}
DATABASE = {"EVERLOOP_DATABASE_URL": {"secret": "everloop-database", "key": "url"}}


def kuberay(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "kuberay",
        "namespace": "everloop",
        "service_account": "training",
        "runners": 4,
        "head": {"cpu": {"limit": "2"}, "memory": {"limit": "4Gi"}},
        "workers": {
            "least": 1,
            "most": 3,
            "needs": {
                "cpu": {"limit": "2"},
                "memory": {"limit": "8Gi"},
                "accelerator": {"type": "nvidia.com/gpu", "count": 1},
                "node_selector": {"pool": "gpu"},
                "tolerations": ({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},),
            },
        },
        "defaults": {
            "image": IMAGE,
            "run_as_user": 10001,
            "run_as_group": 10001,
            "image_pull_secrets": ("registry",),
            "env": {"EVERLOOP_BIGQUERY": "p.d"},
            "secrets": {"EVERLOOP_LEDGER_KEY": {"secret": "keys", "key": "ledger"}},
            "volumes": ({"mount_path": "/workspace", "pvc": "workspace"},),
        },
        **changes,
    }


def cloud_run(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "cloud_run",
        "project": "a-project",
        "location": "europe-west4",
        "service_account": "training@a-project.iam.gserviceaccount.com",
        "gpu_type": "nvidia-l4",
        "deadline": "30m",
        "retries": 2,
        "needs": {
            "image": IMAGE,
            "cpu": {"limit": "4"},
            "memory": {"limit": "16Gi"},
            "accelerator": {"type": "nvidia.com/gpu", "count": 1},
            "env": SHARED,
            "secrets": {"EVERLOOP_DATABASE_URL": {"secret": "database-url", "key": "latest"}},
        },
        **changes,
    }


def a_kuberay(**changes: Any) -> KubeRay:
    return KubeRay.model_validate(kuberay(**changes))


def a_cloud_run(**changes: Any) -> CloudRun:
    return CloudRun.model_validate(cloud_run(**changes))
