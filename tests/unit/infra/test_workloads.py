"""What runs in the cluster: as whom, with how much, until when, and with which commands and variables."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop import settings
from everloop.cli.app import app
from everloop.serving.api import observability
from everloop.serving.workers import GRACE_S
from pipelines.platform_file import load_platform
from tests.unit.infra.manifests import (
    KUBERNETES,
    OVERLAYS,
    ROOT,
    Pod,
    built,
    documents,
    missing_kubectl,
    named,
    of_kind,
    overlay,
    pods,
    selects,
)

FOREIGN = {"OMP_NUM_THREADS"}
"""Variables of other programs that our containers are given."""

TO_CLOSE_S = 5
"""How long ``workers._end`` waits beyond the grace of requests."""


def known_variables() -> set[str]:
    """Names of the table in ``everloop/settings``."""
    return set(re.findall(r"``((?:EVERLOOP|RAY)_[A-Z_]+)``", settings.__doc__ or ""))


def all_pods() -> list[Pod]:
    return [
        *(pod for name in OVERLAYS for pod in pods(overlay(name))),
        *pods(built("base")),
        *pods(built("checks/sandbox-isolation")),
    ]


def service(name: str) -> Pod:
    (found,) = [pod for pod in pods(overlay(name)) if pod.kind == "Deployment"]
    return found


def test_every_container_keeps_to_the_restricted_standard() -> None:
    seen = 0
    for pod in all_pods():
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["runAsGroup"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()
        assert not any("hostPath" in volume for volume in pod.spec.get("volumes", []))
        for container in pod.containers:
            seen += 1
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (pod.owner, container["name"])
    assert seen >= 14


def test_every_container_has_its_share_and_no_more() -> None:
    for pod in all_pods():
        for container in pod.containers:
            share = container["resources"]
            assert {"cpu", "memory", "ephemeral-storage"} <= share["requests"].keys(), pod.owner
            assert {"memory", "ephemeral-storage"} <= share["limits"].keys(), pod.owner
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], (pod.owner, volume["name"])


def test_what_is_written_is_on_a_volume() -> None:
    for pod in all_pods():
        for container in pod.ours:
            if container["name"] == "isolation":
                continue
            mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            assert {"/workspace", "/tmp"} <= mounts.keys(), pod.owner
            assert not mounts["/workspace"].get("readOnly")


@pytest.mark.parametrize("name", OVERLAYS)
def test_probes_ask_routes_that_are_there(name: str) -> None:
    (container,) = service(name).spec["containers"]
    routes = {getattr(route, "path", "") for route in observability.router.routes}
    asked = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert set(asked.values()) <= routes
    # a database that is away must not have the pods killed: they answer what they know
    assert asked["livenessProbe"] == asked["startupProbe"] == "/health/live"
    assert asked["readinessProbe"] == "/health/ready"
    (port,) = container["ports"]
    assert {container[probe]["httpGet"]["port"] for probe in asked} == {port["name"]}
    assert container["args"][container["args"].index("--port") + 1] == str(port["containerPort"])
    (through,) = named(overlay(name), "Service", "everloop")["spec"]["ports"]
    assert through["targetPort"] == port["name"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pod_may_finish_what_it_has_begun(name: str) -> None:
    pod = service(name)
    (container,) = pod.spec["containers"]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before >= 5
    assert pod.spec["terminationGracePeriodSeconds"] > before + GRACE_S + TO_CLOSE_S


@pytest.mark.parametrize("name", OVERLAYS)
def test_selectors_find_their_pods(name: str) -> None:
    objects = overlay(name)
    made = {pod.owner: pod for pod in pods(objects)}
    for kind in ("Deployment", "StatefulSet"):
        for found in of_kind(objects, kind):
            labels = made[found["metadata"]["name"]].labels
            assert selects(found["spec"]["selector"], labels)
    for found in of_kind(objects, "Service"):
        chosen = [
            p
            for p in made.values()
            if selects({"matchLabels": found["spec"]["selector"]}, p.labels)
        ]
        assert len(chosen) == 1, found["metadata"]["name"]
    for found in of_kind(objects, "PodDisruptionBudget"):
        assert [p.owner for p in made.values() if selects(found["spec"]["selector"], p.labels)] == [
            "everloop"
        ]
    spread = made["everloop"].spec["topologySpreadConstraints"][0]["labelSelector"]
    assert selects(spread, made["everloop"].labels)


def test_more_pods_come_and_one_at_a_time_goes() -> None:
    scaler = named(overlay("gcp"), "HorizontalPodAutoscaler", "everloop")["spec"]
    deployment = named(overlay("gcp"), "Deployment", "everloop")
    assert scaler["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "everloop",
    }
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    assert "replicas" not in deployment["spec"]  # applying again would undo the autoscaler
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    budget = named(overlay("gcp"), "PodDisruptionBudget", "everloop")["spec"]
    assert budget["maxUnavailable"] < scaler["minReplicas"]
    # on one node with one pod it would keep the node from being emptied
    assert of_kind(overlay("local-cluster"), "PodDisruptionBudget") == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_jobs_never_run_twice_at_once_nor_for_ever(name: str) -> None:
    jobs = of_kind(overlay(name), "CronJob")
    assert {job["metadata"]["name"] for job in jobs} == {"everloop-watch", "everloop-backup"}
    for job in jobs:
        assert job["spec"]["concurrencyPolicy"] == "Forbid"
        assert job["spec"]["timeZone"] == "Etc/UTC"
        assert job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0
    watch = named(overlay(name), "CronJob", "everloop-watch")["spec"]
    minute, *rest = watch["schedule"].split()
    assert minute.isdecimal()
    assert rest == ["*"] * 4  # every hour
    assert watch["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 3600


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_look_finds_the_looks_before_it(name: str) -> None:
    """It deletes what they left; in a folder that ends with its pod it would find none."""
    (watch,) = [pod for pod in pods(overlay(name)) if pod.owner == "everloop-watch"]
    (workspace,) = [one for one in watch.spec["volumes"] if one["name"] == "workspace"]
    claims = {one["metadata"]["name"] for one in of_kind(overlay(name), "PersistentVolumeClaim")}
    assert workspace["persistentVolumeClaim"]["claimName"] in claims
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods(overlay(name))
        for volume in pod.spec["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == used


def words(container: dict[str, list[str]]) -> list[str]:
    program, *rest = [*container["command"], *container.get("args", [])]
    assert program == "everloop"
    return rest


@pytest.mark.parametrize("command", ["migrate", "serve", "run", "backup"])
def test_commands_are_ours_and_their_options_too(command: str) -> None:
    lines = {
        tuple(words(container))
        for pod in all_pods()
        for container in pod.ours
        if container["command"][0] == "everloop"
    }
    assert {line[0] for line in lines} == {"migrate", "serve", "run", "backup"}
    for line in sorted(line for line in lines if line[0] == command):
        done = CliRunner().invoke(app, [*line, "--help"])
        assert done.exit_code == 0, (line, done.output)
        assert CliRunner().invoke(app, [*line, "--no-such-option", "--help"]).exit_code == 2


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_backup_has_what_dumps_the_database(name: str) -> None:
    (pod,) = [found for found in pods(overlay(name)) if found.owner == "everloop-backup"]
    (create,), (prune,) = pod.spec["initContainers"], pod.spec["containers"]
    assert "/everloop-backup:" in f"/{create['image']}"
    assert words(create)[:2] == ["backup", "create"]
    # what is pruned is where the backup went, and only after it
    assert words(prune)[:2] == ["backup", "prune"]
    assert words(prune)[3] == words(create)[3]
    lines = (ROOT / "infra" / "docker" / "backup.Dockerfile").read_text().splitlines()
    assert any("postgresql-client" in line for line in lines)
    run_as = pod.spec["securityContext"]["runAsUser"]
    assert [line for line in lines if line.startswith("USER")][-1] == f"USER {run_as}:{run_as}"


def test_variables_are_ones_that_are_read() -> None:
    known = known_variables() | FOREIGN
    assert {"EVERLOOP_HOME", "EVERLOOP_DATABASE_URL", "EVERLOOP_STORAGE_URL"} <= known
    for name in OVERLAYS:
        environment = next(
            one
            for one in of_kind(overlay(name), "ConfigMap")
            if one["metadata"]["name"].startswith("everloop-environment")
        )
        assert environment["data"].keys() <= known
        for pod in pods(overlay(name)):
            for container in pod.ours:
                given = [variable["name"] for variable in container.get("env", [])]
                assert set(given) <= known
                assert len(given) == len(set(given))
                # whoever opens the workspace needs the database and all keys; pruning does not
                needed = {settings.DATABASE_URL, *settings.KEYS}
                assert needed <= set(given) or (not given and container["name"] == "prune")
                for variable in container.get("env", []):
                    reference = variable.get("valueFrom", {}).get("secretKeyRef")
                    if reference and reference["name"] == "everloop-keys":
                        assert reference["key"] == variable["name"]


def test_what_the_service_submits_with_is_a_platform_file() -> None:
    objects = overlay("gcp")
    platform = load_platform(KUBERNETES / "overlays" / "gcp" / "platform.yaml")
    accounts = {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in of_kind(objects, "ServiceAccount")
    }
    assert (platform.namespace, platform.service_account) in accounts
    assert platform.image == service("gcp").spec["containers"][0]["image"]
    environment = next(
        one["data"]
        for one in of_kind(objects, "ConfigMap")
        if one["metadata"]["name"].startswith("everloop-environment")
    )
    assert platform.defaults.env.items() - {("EVERLOOP_VERTEX", "0")} <= environment.items()
    secrets = {
        (found["metadata"]["namespace"], found["spec"]["target"]["name"], entry["secretKey"])
        for found in of_kind(objects, "ExternalSecret")
        for entry in found["spec"]["data"]
    }
    for name, secret in platform.defaults.secrets.items():
        assert (platform.namespace, secret.secret, secret.key) in secrets, name
    mounted = service("gcp").spec["containers"][0]
    (path,) = [v["value"] for v in mounted["env"] if v["name"] == settings.PLATFORM]
    assert path.rpartition("/")[0] in {mount["mountPath"] for mount in mounted["volumeMounts"]}
    assert "--train" in mounted["args"]
    assert "--no-train" not in mounted["args"]


def test_another_loop_is_watched_as_the_readme_says(tmp_path: Path) -> None:
    if reason := missing_kubectl():
        pytest.skip(reason)
    copy = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, copy)
    readme = (KUBERNETES / "README.md").read_text()
    (text,) = re.findall(
        r"```yaml\n# overlays/gcp/open-bandit/kustomization.yaml\n(.*?)```", readme, re.DOTALL
    )
    gcp = copy / "overlays" / "gcp"
    (gcp / "open-bandit").mkdir()
    (gcp / "open-bandit" / "kustomization.yaml").write_text(text)
    whole = (gcp / "kustomization.yaml").read_text()
    (gcp / "kustomization.yaml").write_text(
        whole.replace("resources:\n", "resources:\n  - open-bandit\n", 1)
    )
    done = subprocess.run(
        ["kubectl", "kustomize", str(gcp)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    objects = documents(done.stdout)
    first, second = (
        next(pod for pod in pods(objects) if pod.owner == name)
        for name in ("everloop-watch", "everloop-watch-open-bandit")
    )
    (before,), (after,) = first.spec["containers"], second.spec["containers"]
    assert after["args"] == ["--loop", "open_bandit"]
    assert [before[key] for key in ("image", "envFrom", "env")] == [
        after[key] for key in ("image", "envFrom", "env")
    ]
    assert second.spec["serviceAccountName"] == first.spec["serviceAccountName"]
    assert second.spec["volumes"] == first.spec["volumes"]
    schedules = {
        one["metadata"]["name"]: one["spec"]["schedule"] for one in of_kind(objects, "CronJob")
    }
    assert len(set(schedules.values())) == len(schedules) == 3
