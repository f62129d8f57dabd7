"""Every object that kustomize builds is one that Kubernetes takes, unknown fields refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.unit.infra.manifests import (
    KUBERNETES,
    OVERLAYS,
    Object,
    built,
    documents,
    named,
    of_kind,
    overlay,
    pods,
)

OLDEST, NEWEST = "1.31", "1.37"
"""Versions of Kubernetes whose schemas the objects are held to."""

SCHEMAS = json.loads((Path(__file__).parent / "schemas" / "external-secrets-v1.json").read_text())


def check(found: Object, version: str) -> None:
    if found["apiVersion"].startswith("external-secrets.io/"):
        jsonschema.validate(found, SCHEMAS[found["kind"]])
    else:
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize(
    ("name", "version"),
    [*((name, NEWEST) for name in OVERLAYS), ("local-cluster", OLDEST), ("gcp", OLDEST)],
)
def test_kubernetes_takes_every_object(name: str, version: str) -> None:
    for found in overlay(name):
        check(found, version)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_the_check_of_the_sandbox(version: str) -> None:
    for found in built("checks/sandbox-isolation"):
        check(found, version)


@pytest.mark.parametrize(
    "path", sorted((KUBERNETES / "examples").glob("*.yaml")), ids=lambda p: p.stem
)
def test_kubernetes_takes_the_examples(path: Path) -> None:
    for found in documents(path.read_text()):
        check(found, NEWEST)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replica"), 2),
        ("NetworkPolicy", ("spec", "policyTypes"), "Egress"),
        ("ExternalSecret", ("spec", "refresh"), "1h"),
        ("SecretStore", ("spec", "provider", "gcpsm", "project"), "example"),
    ],
)
def test_a_wrong_field_would_be_found(kind: str, path: tuple[str, ...], value: Any) -> None:
    found = json.loads(json.dumps(of_kind(overlay("gcp"), kind)[0]))
    place = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(found, NEWEST)


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_name_is_given_twice(name: str) -> None:
    names = Counter(
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
        for one in overlay(name)
    )
    assert [key for key, count in names.items() if count > 1] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_whatever_is_named_is_there(name: str) -> None:
    objects = overlay(name)
    accounts = {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in of_kind(objects, "ServiceAccount")
    }
    maps = {one["metadata"]["name"] for one in of_kind(objects, "ConfigMap")}
    claims = {one["metadata"]["name"] for one in of_kind(objects, "PersistentVolumeClaim")}
    namespaces = {one["metadata"]["name"] for one in of_kind(objects, "Namespace")}
    assert {one["metadata"].get("namespace", "everloop") for one in objects} <= namespaces
    for pod in pods(objects):
        assert (pod.namespace, pod.spec["serviceAccountName"]) in accounts, pod.owner
        for volume in pod.spec["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, pod.owner
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims, pod.owner
        for container in pod.containers:
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            kept = {
                claim["metadata"]["name"]
                for owner in of_kind(objects, "StatefulSet")
                if owner["metadata"]["name"] == pod.owner
                for claim in owner["spec"]["volumeClaimTemplates"]
            }
            assert mounted <= {volume["name"] for volume in pod.spec["volumes"]} | kept
            for source in container.get("envFrom", []):
                assert source["configMapRef"]["name"] in maps, pod.owner


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_stands_in_a_manifest(name: str) -> None:
    objects = overlay(name)
    assert of_kind(objects, "Secret") == []
    for pod in pods(objects):
        for container in pod.containers:
            for variable in container.get("env", []):
                secret = any(
                    word in variable["name"] for word in ("KEY", "PASSWORD", "DATABASE_URL")
                )
                assert not (secret and "value" in variable), (pod.owner, variable["name"])


def test_the_cloud_is_told_nothing_of_how_to_build() -> None:
    """What the replacements read is not applied to the cluster."""
    assert {
        one["metadata"]["name"].rpartition("-")[0] for one in of_kind(overlay("gcp"), "ConfigMap")
    } == {
        "everloop-environment",
        "everloop-kubeflow",
    }


def test_an_overlay_chooses_the_sandbox_runtime() -> None:
    assert named(overlay("local-cluster"), "RuntimeClass", "gvisor")["handler"] == "runsc"
    assert named(overlay("local-cluster-kata"), "RuntimeClass", "kata")["handler"] == "kata"
    assert of_kind(overlay("gcp"), "RuntimeClass") == []  # GKE makes its own
