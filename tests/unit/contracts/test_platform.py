"""What a platform allows, and how a step's needs lie over those of every step."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from everloop.contracts.platform import Platform, StepNeeds

LEAST = {"host": "https://kf.example/pipeline", "image": "everloop-python:0.1.0"}


def platform(**changes: Any) -> Platform:
    return Platform.model_validate(LEAST | changes)


def test_only_host_and_image_must_be_given() -> None:
    made = platform()
    assert (made.namespace, made.experiment, made.workspace) == ("", "everloop", "/workspace")
    assert (made.caching, made.cron_zone, made.steps) == (True, "UTC", {})
    assert made.needs_of("gate") == StepNeeds(image=LEAST["image"])


def test_a_steps_own_values_replace_its_mappings_are_merged_and_its_tolerations_added() -> None:
    made = platform(
        defaults={
            "cpu": {"request": "500m", "limit": 2},
            "memory": {"limit": "4Gi"},
            "timeout": "1h",
            "env": {"A": "1", "B": "2", "C": "3"},
            "secrets": {"S": {"secret": "keys", "key": "s"}},
            "volumes": [{"mount_path": "/a", "pvc": "one"}, {"mount_path": "/b", "empty_dir": {}}],
            "tolerations": [{"key": "spot", "operator": "Exists"}],
        },
        steps={
            "train_policy": {
                "image": "everloop-python:0.1.0-gpu",
                "cpu": {"limit": 8},
                "env": {"B": "two", "S": "plain"},
                "secrets": {"C": {"secret": "keys", "key": "c"}},
                "volumes": [{"mount_path": "/a", "pvc": "two"}],
                "tolerations": [
                    {"key": "gpu", "operator": "Exists"},
                    {"key": "spot", "operator": "Exists"},
                ],
            }
        },
    )
    needs = made.needs_of("train_policy")
    assert (needs.cpu.request, needs.cpu.limit, needs.memory.limit) == ("500m", "8", "4Gi")
    assert (needs.timeout, needs.image) == (3600, "everloop-python:0.1.0-gpu")
    assert needs.env == {"A": "1", "B": "two", "S": "plain"}
    assert set(needs.secrets) == {"C"}
    assert [(v.mount_path, v.pvc) for v in needs.volumes] == [("/a", "two"), ("/b", None)]
    assert [t.key for t in needs.tolerations] == ["spot", "gpu"]
    assert made.needs_of("gate").env == {"A": "1", "B": "2", "C": "3"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"host": "kf.example"}, "no address"),
        ({"image": "everloop-python"}, "no fixed version"),
        ({"image": "everloop-python:latest"}, "no fixed version"),
        ({"image": "Everloop:1"}, "no image"),
        ({"namespace": "Team A"}, "no namespace"),
        ({"service_account": "Robot"}, "no name of Kubernetes"),
        ({"pipeline_root": "/tmp/x"}, "no place for artifacts"),
        ({"workspace": "workspace"}, "no absolute path"),
        ({"cron_zone": "Europe/Berln"}, "did you mean Europe/Berlin"),
        ({"defaults": {"cpu": {"request": 2, "limit": "500m"}}}, "request 2 is above limit 500m"),
        ({"defaults": {"memory": {"request": "2Gi", "limit": "2G"}}}, "is above limit 2G"),
        ({"defaults": {"accelerator": {"type": "gpu"}}}, "nvidia.com/gpu"),
        ({"defaults": {"retries": {"count": 21}}}, "less than or equal to 20"),
        ({"defaults": {"timeout": "0s"}}, "greater than or equal to 1"),
        ({"defaults": {"env": {"EVERLOOP_LEDGER_KEY": "abc"}}}, "plain text"),
        ({"defaults": {"env": {"DB": "postgresql://u:secret@h/d"}}}, "plain text"),
        ({"defaults": {"env": {"9A": "x"}}}, "no variable's name"),
        ({"defaults": {"node_selector": {"a b": "c"}}}, "label's key"),
        ({"defaults": {"labels": {"a": "b c"}}}, "label's value"),
        ({"defaults": {"tolerations": [{"operator": "Equal"}]}}, "needs a key"),
        ({"defaults": {"tolerations": [{"operator": "Exists", "value": "x"}]}}, "no value"),
        ({"defaults": {"tolerations": [{"key": "a", "seconds": 3}]}}, "NoExecute"),
        ({"defaults": {"volumes": [{"mount_path": "/a"}]}}, "not none"),
        (
            {"defaults": {"volumes": [{"mount_path": "/a", "pvc": "p", "secret": "s"}]}},
            "not pvc and secret",
        ),
        (
            {"defaults": {"volumes": [{"mount_path": "/a", "secret": "s", "sub_path": "x"}]}},
            "sub_path",
        ),
        (
            {"defaults": {"volumes": [{"mount_path": "/kfp-workspace", "pvc": "p"}]}},
            "Kubeflow's own",
        ),
        ({"defaults": {"volumes": [{"mount_path": "/a", "pvc": "p"}] * 2}}, "two volumes"),
        (
            {"defaults": {"env": {"A": "1"}, "secrets": {"A": {"secret": "s", "key": "k"}}}},
            "in env and in secrets",
        ),
        ({"defaults": {"image_pull_policy": "Sometimes"}}, "IfNotPresent"),
        ({"defaults": {"run_as_user": 0}}, "greater than or equal to 1"),
        (
            {
                "defaults": {"cpu": {"limit": 1}},
                "steps": {"gate": {"cpu": {"request": 2}}},
            },
            "steps.gate does not fit defaults: request 2 is above limit 1",
        ),
        ({"typo": 1}, "Extra inputs"),
    ],
)
def test_what_a_cluster_would_refuse_or_leak_is_refused(changes: Any, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        platform(**changes)
    assert says in str(caught.value)


def test_a_digest_fixes_an_image() -> None:
    assert platform(image=f"r.example:5000/a/b@sha256:{'0' * 64}").image.endswith("0")


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        platform().host = "http://elsewhere"  # type: ignore[misc]
