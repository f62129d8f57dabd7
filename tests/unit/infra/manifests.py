"""Kubernetes objects as ``kubectl kustomize`` builds them, and the pods in them."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[3]
KUBERNETES = ROOT / "infra" / "kubernetes"
OVERLAYS = ("local-cluster", "local-cluster-kata", "gcp")
SANDBOX_LABEL = "everloop.dev/sandbox"
OLDEST_KUSTOMIZE = 5

Object = dict[str, Any]


@functools.cache
def missing_kubectl() -> str:
    """Why nothing can be built; empty where it can."""
    if shutil.which("kubectl") is None:
        return "kubectl is not installed: manifests were neither built nor checked"
    asked = subprocess.run(
        ["kubectl", "version", "--client", "--output=json"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.match(r"v(\d+)", json.loads(asked.stdout or "{}").get("kustomizeVersion", ""))
    if found is None or int(found[1]) < OLDEST_KUSTOMIZE:
        return f"kubectl is too old: its kustomize is not {OLDEST_KUSTOMIZE} or newer"
    return ""


@functools.cache
def built(folder: str) -> tuple[Object, ...]:
    """The objects of a kustomization, by its path below ``infra/kubernetes``."""
    if reason := missing_kubectl():
        pytest.skip(reason)
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return documents(done.stdout)


def overlay(name: str) -> tuple[Object, ...]:
    return built(f"overlays/{name}")


def documents(text: str) -> tuple[Object, ...]:
    return tuple(document for document in YAML(typ="safe").load_all(text) if document)


def of_kind(objects: tuple[Object, ...], kind: str) -> list[Object]:
    return [found for found in objects if found["kind"] == kind]


def named(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    (found,) = [one for one in of_kind(objects, kind) if one["metadata"]["name"] == name]
    return found


@dataclass(frozen=True, slots=True)
class Pod:
    """What a workload makes pods from."""

    owner: str
    kind: str
    namespace: str
    labels: dict[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def ours(self) -> list[Object]:
        return [
            one for one in self.containers if re.search(r"everloop-(python|backup)", one["image"])
        ]


def pods(objects: tuple[Object, ...]) -> Iterator[Pod]:
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" not in spec or "spec" not in spec["template"]:
            continue
        yield Pod(
            owner=found["metadata"]["name"],
            kind=found["kind"],
            namespace=found["metadata"]["namespace"],
            labels=spec["template"]["metadata"]["labels"],
            spec=spec["template"]["spec"],
        )


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector takes a pod, or a namespace, of these labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(rule, labels) for rule in selector.get("matchExpressions", []))


def _holds(rule: Object, labels: dict[str, str]) -> bool:
    key, operator, values = rule["key"], rule["operator"], rule.get("values", [])
    return {
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
    }[operator]
