"""The manifest of a training on KubeRay is what its custom resource takes, and says all that was asked."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.sdk.placements.file import load_placement
from everloop.sdk.placements.kuberay import entrypoint, ray_job
from tests.unit.sdk.placements.terms import IMAGE, a_kuberay

SCHEMA = json.loads((Path(__file__).parent / "rayjob-v1.7.0.schema.json").read_text())
COMMAND = ("everloop", "train", "policy", "--from", "run-1", "--address", "{ADDRESS}")
NAME = "everloop-companion-ppo-0123456789ab"


def checked(manifest: dict[str, Any]) -> dict[str, Any]:
    jsonschema.Draft202012Validator(SCHEMA).validate(manifest)
    return manifest


def test_it_is_what_the_custom_resource_takes() -> None:
    spec = checked(ray_job(a_kuberay(), NAME, COMMAND))["spec"]
    assert spec["entrypoint"] == ('everloop train policy --from run-1 --address "$RAY_ADDRESS"')
    assert spec["submissionMode"] == "K8sJobMode"
    assert (spec["shutdownAfterJobFinishes"], spec["ttlSecondsAfterFinished"]) == (True, 600)
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (21600, 1)
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == version("ray")
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    (workers,) = cluster["workerGroupSpecs"]
    assert [workers[k] for k in ("replicas", "minReplicas", "maxReplicas")] == [1, 1, 3]


def test_pods_get_what_was_asked_and_no_more() -> None:
    cluster = ray_job(a_kuberay(), NAME, COMMAND)["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]["template"]["spec"]
    worker = cluster["workerGroupSpecs"][0]["template"]["spec"]
    for pod in (head, worker):
        assert pod["serviceAccountName"] == "training"
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
        }
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["volumes"] == [
            {"name": "volume-0", "persistentVolumeClaim": {"claimName": "workspace"}}
        ]
        (container,) = pod["containers"]
        assert container["image"] == IMAGE
        assert container["env"] == [
            {"name": "EVERLOOP_BIGQUERY", "value": "p.d"},
            {"name": "EVERLOOP_HOME", "value": "/workspace"},
            {
                "name": "EVERLOOP_LEDGER_KEY",
                "valueFrom": {"secretKeyRef": {"name": "keys", "key": "ledger"}},
            },
            {"name": "OMP_NUM_THREADS", "value": "1"},
        ]
        assert container["volumeMounts"] == [{"name": "volume-0", "mountPath": "/workspace"}]
    assert head["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    limits = {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert worker["containers"][0]["resources"] == {"limits": limits, "requests": limits}
    assert worker["nodeSelector"] == {"pool": "gpu"}
    assert worker["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert "nodeSelector" not in head


def test_the_file_that_ships_makes_one_too() -> None:
    file = Path(__file__).parents[4] / "infra" / "ray" / "kuberay.yaml"
    manifest = checked(ray_job(load_placement(file), NAME, COMMAND))  # type: ignore[arg-type]
    assert manifest == ray_job(load_placement(file), NAME, COMMAND)  # type: ignore[arg-type]


def test_a_token_of_ones_own_is_named_and_never_written() -> None:
    manifest = checked(ray_job(a_kuberay(token_secret="our-token"), NAME, COMMAND))
    auth = manifest["spec"]["rayClusterSpec"]["authOptions"]
    assert auth == {"mode": "token", "secretName": "our-token"}


def test_a_fixed_cluster_scales_by_nobody() -> None:
    document = {"least": 3, "most": 3, "needs": {"cpu": {"limit": 2}, "memory": {"limit": "8Gi"}}}
    manifest = checked(ray_job(a_kuberay(workers=document), NAME, COMMAND))
    assert "enableInTreeAutoscaling" not in manifest["spec"]["rayClusterSpec"]


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("spec", "entryPoint"), "x"),
        (("spec", "backoffLimit"), "1"),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "tokens"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "hostNetwork"), True),
        (("metadata", "name"), "a" * 48),
    ],
)
def test_the_schema_refuses_what_the_resource_does_not_know(
    place: tuple[str, ...], wrong: object
) -> None:
    manifest = copy.deepcopy(ray_job(a_kuberay(), NAME, COMMAND))
    node: Any = manifest
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = wrong
    with pytest.raises(jsonschema.ValidationError):
        checked(manifest)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0{")), min_size=1))
def test_a_shell_reads_the_words_as_they_were(words: list[str]) -> None:
    assert shlex.split(entrypoint(words)) == words


def test_the_address_is_the_shells_to_fill_in() -> None:
    line = entrypoint(("printf", "%s|%s", "{ADDRESS}", "it's $HOME"))
    shown = subprocess.run(
        ["/bin/sh", "-c", line],
        env={"RAY_ADDRESS": "10.0.0.1:6379; ls", "HOME": "/x"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "10.0.0.1:6379; ls|it's $HOME"
