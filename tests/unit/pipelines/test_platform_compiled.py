"""What a platform puts into the compiled file, and that the file still runs on a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from ruamel.yaml import YAML

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.platform import Platform
from pipelines import compile as compiling
from pipelines.adversarial_review import NAME, STAGES
from pipelines.compile import GRAPHS, build, compile_graph, form_defaults
from pipelines.local_run import run_locally

PLATFORM = Platform.model_validate(
    {
        "host": "https://kf.example",
        "image": "r.example/everloop-python:7",
        "workspace": "/data",
        "defaults": {
            "cpu": {"request": "250m", "limit": 2},
            "memory": {"request": "1Gi", "limit": "2Gi"},
            "retries": {"count": 2, "backoff": "10s", "factor": 3, "longest": "5m"},
            "timeout": "30m",
            "env": {"OMP_NUM_THREADS": "1"},
            "secrets": {"EVERLOOP_LEDGER_KEY": {"secret": "keys", "key": "ledger"}},
            "volumes": [
                {"mount_path": "/data", "pvc": "claim", "sub_path": "home"},
                {"mount_path": "/tmp", "empty_dir": {"size": "1Gi", "in_memory": True}},
                {"mount_path": "/etc/ca", "secret": "certificates"},
            ],
            "node_selector": {"pool": "batch"},
            "labels": {"team": "loops"},
            "annotations": {"note": "any text"},
            "image_pull_policy": "Always",
            "image_pull_secrets": ["registry"],
            "run_as_user": 10001,
        },
        "steps": {
            "adversarial_attack": {
                "image": "r.example/everloop-python:7-gpu",
                "accelerator": {"type": "nvidia.com/gpu", "count": 2},
                "tolerations": [
                    {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}
                ],
                "timeout": "2h",
            }
        },
    }
)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    path = compile_graph(NAME, tmp_path_factory.mktemp("c") / "g.yaml", PLATFORM)
    graph, platform = YAML(typ="safe").load_all(path.read_text())
    return graph, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_every_step_has_its_image_and_resources(
    documents: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    executors = documents[0]["deploymentSpec"]["executors"]
    assert len(executors) == len(STAGES)
    for name, executor in executors.items():
        gpu = name == "exec-adversarial-attack"
        container = executor["container"]
        assert container["image"] == f"r.example/everloop-python:7{'-gpu' if gpu else ''}"
        resources = container["resources"]
        assert resources["resourceCpuRequest"] == "250m"
        assert resources["resourceCpuLimit"] == "2"
        assert resources["resourceMemoryRequest"] == "1Gi"
        assert resources["resourceMemoryLimit"] == "2Gi"
        assert container["env"] == [{"name": "OMP_NUM_THREADS", "value": "1"}]
        wanted = {"resourceCount": "2", "resourceType": "nvidia.com/gpu"} if gpu else None
        found = resources.get("accelerator")
        assert found is None if wanted is None else wanted.items() <= found.items()
    for task in documents[0]["root"]["dag"]["tasks"].values():
        assert task["retryPolicy"] == {
            "maxRetryCount": 2,
            "backoffDuration": "10s",
            "backoffFactor": 3.0,
            "backoffMaxDuration": "300s",
        }


def test_what_only_kubernetes_honours_stands_in_the_second_document(
    documents: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    attack = documents[1]["exec-adversarial-attack"]
    assert attack["activeDeadlineSeconds"] == "7200"
    assert documents[1]["exec-extract-episodes"]["activeDeadlineSeconds"] == "1800"
    assert attack["nodeSelector"]["labels"] == {"pool": "batch"}
    assert attack["tolerations"] == [
        {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}
    ]
    assert "tolerations" not in documents[1]["exec-extract-episodes"]
    secret = attack["secretAsEnv"][0]
    assert secret["secretName"] == "keys"
    assert secret["keyToEnv"] == [{"secretKey": "ledger", "envVar": "EVERLOOP_LEDGER_KEY"}]
    assert attack["pvcMount"][0]["mountPath"] == "/data"
    assert (attack["pvcMount"][0]["constant"], attack["pvcMount"][0]["subPath"]) == (
        "claim",
        "home",
    )
    assert attack["emptyDirMounts"] == [
        {"volumeName": "scratch-1", "mountPath": "/tmp", "medium": "Memory", "sizeLimit": "1Gi"}
    ]
    assert attack["secretAsVolume"][0]["mountPath"] == "/etc/ca"
    assert attack["podMetadata"] == {
        "labels": {"team": "loops"},
        "annotations": {"note": "any text"},
    }
    assert attack["imagePullPolicy"] == "Always"
    assert attack["imagePullSecret"][0]["secretName"] == "registry"
    assert attack["securityContext"] == {"runAsUser": "10001", "runAsNonRoot": True}


def test_the_form_explains_itself_and_needs_only_what_nobody_could_guess() -> None:
    for name, graph in GRAPHS.items():
        inputs = graph.component_spec.inputs
        assert [n for n, spec in inputs.items() if not (spec.description or "").strip()] == [], name
        if name in ("daily-learning", NAME):
            assert [n for n, spec in inputs.items() if not spec.optional] == ["product"], name
            assert inputs["workspace"].default == "/workspace"


def test_defaults_fill_the_form_in(tmp_path: Path) -> None:
    made = build(NAME, PLATFORM, {"product": '{"name": "x"}'}).component_spec.inputs
    assert (made["workspace"].default, made["product"].default) == ("/data", '{"name": "x"}')
    assert len(made["code"].default) == 64
    assert form_defaults(NAME, {"product": "p", "privacy": "q"}) == {"product": "p"}
    with pytest.raises(ShouldFixArgument, match="--platform"):
        compile_graph(NAME, tmp_path / "g.yaml", None, {"product": "{}"})


def test_the_scheduled_moment_reaches_the_first_step_and_its_day_every_other(
    documents: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    tasks = documents[0]["root"]["dag"]["tasks"]
    given = tasks["extract-episodes"]["inputs"]["parameters"]
    placed = given["scheduled"]["runtimeValue"]["constant"]
    assert placed == dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER
    assert given["logical_date"] == {"componentInputParameter": "logical_date"}
    for name, task in tasks.items():
        later = task["inputs"]["parameters"].get("logical_date")
        if name != "extract-episodes" and later is not None:
            assert later["taskOutputParameter"]["producerTask"] == "extract-episodes"


def test_caching_can_be_left_out(tmp_path: Path) -> None:
    never = PLATFORM.model_copy(update={"caching": False})
    path = compile_graph(NAME, tmp_path / "g.yaml", never)
    graph = next(iter(YAML(typ="safe").load_all(path.read_text())))
    for task in graph["root"]["dag"]["tasks"].values():
        assert not task.get("cachingOptions", {}).get("enableCache")


def test_the_same_file_runs_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.pipelines.small_graph import small

    monkeypatch.setitem(compiling.GRAPHS, "small", small)
    path = compile_graph("small", tmp_path / "g.yaml", PLATFORM)
    assert "platforms:" in path.read_text()
    counter = tmp_path / "counter"
    arguments = {"counter": str(counter), "mode": str(tmp_path / "none")}
    outcome = run_locally(path, arguments, tmp_path / "run", lambda _: None)
    assert outcome.error == ""
    assert [stage.stage for stage in outcome.stages] == ["first_step", "second_step", "report"]
    assert counter.read_text() == "first\nsecond\n"
