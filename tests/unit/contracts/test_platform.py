"""What a platform allows, and how a step's needs lie over those of every step."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from everloop.contracts.platform import Platform, Retries, StepNeeds, Volume

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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("env", {"EVERLOOP_DATABASE_URL": "postgresql://h/db?user=a&password=hunter2"}),
        ("env", {"DB_PASSWD": "hunter2"}),
        ("env", {"ledger_key": "ab"}),
        ("env", {"Api_key": "ab"}),
        ("env", {"EVERLOOP_PSEUDONYM_KEYS": "ab"}),
        ("env", {"AWS_SECRET_ACCESS_KEY_ID": "ab"}),
        ("env", {"EVERLOOP_NOTIFY_SLACK_URL": "https://hooks.example/x"}),
        ("annotations", {"note": "postgresql://a:hunter2@h/db"}),
    ],
)
def test_nothing_secret_stands_in_plain_text(field: str, value: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"plain text|would show a password"):
        StepNeeds.model_validate({field: value})


def test_where_a_secret_is_may_be_said() -> None:
    assert StepNeeds(env={"RAY_AUTH_TOKEN_PATH": "/run/ray/token"}).env


@pytest.mark.parametrize("name", ["PATH", "PYTHONPATH", "EVERLOOP_HOME", "LD_PRELOAD"])
def test_what_the_image_sets_is_not_overridden(name: str) -> None:
    with pytest.raises(ValidationError, match="set by the image"):
        StepNeeds(env={name: "x"})


@pytest.mark.parametrize(
    "host", ["https://u:hunter2@kf.example", "https://u@kf.example", "http://kf.example:99999"]
)
def test_a_host_is_an_address_alone(host: str) -> None:
    with pytest.raises(ValidationError, match=r"password|port") as refusal:
        Platform(host=host, image="registry.example/everloop:1")
    assert "hunter2" not in str(refusal.value.errors()[0]["msg"])


@pytest.mark.parametrize("path", ["/", "/a/../kfp-workspace", "/../etc", "/a/./b", "//x"])
def test_paths_go_straight(path: str) -> None:
    with pytest.raises(ValidationError, match="goes round"):
        Volume(mount_path=path, pvc="claim")


def test_a_slash_at_the_end_is_the_same_folder() -> None:
    volumes = [{"mount_path": "/a", "pvc": "x"}, {"mount_path": "/a/", "pvc": "y"}]
    with pytest.raises(ValidationError, match="two volumes"):
        StepNeeds.model_validate({"volumes": volumes})


def test_sub_paths_stay_within_their_claim() -> None:
    with pytest.raises(ValidationError, match=r"without \.\."):
        Volume(mount_path="/a", pvc="claim", sub_path="a/../../b")


def test_the_first_pause_is_no_longer_than_the_longest() -> None:
    with pytest.raises(ValidationError, match="above longest"):
        Retries.model_validate({"count": 1, "backoff": "2h"})


def test_a_count_is_no_yes() -> None:
    with pytest.raises(ValidationError):
        Retries.model_validate({"count": True})


@pytest.mark.parametrize("zone", ["localtime", "Factory", "Europe/Berlyn"])
def test_a_zone_is_a_place(zone: str) -> None:
    with pytest.raises(ValidationError, match="time zone"):
        Platform(host="https://kf.example", image="registry.example/everloop:1", cron_zone=zone)


@pytest.mark.parametrize("name", ["a..b", "-a", "a.-b", "a" * 254])
def test_names_are_kubernetes_names(name: str) -> None:
    with pytest.raises(ValidationError, match="no name"):
        Volume(mount_path="/a", pvc=name)


def test_a_key_without_a_value_says_nothing() -> None:
    given = {"host": "https://kf.example", "image": "registry.example/everloop:1"}
    assert Platform.model_validate(given | {"defaults": None, "steps": None}).steps == {}
