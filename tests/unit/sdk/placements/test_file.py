"""Where a training runs is read from a file and refused with the line and the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from everloop.contracts.errors import ShouldFixPlatform
from everloop.contracts.placements import AtAddress, CloudRun, KubeRay, Local, placement_of
from everloop.sdk.placements.file import load_placement, parse_placement
from tests.unit.sdk.placements.terms import DATABASE, SHARED, cloud_run, kuberay

EXAMPLES = Path(__file__).parents[4] / "infra" / "ray"


def test_the_files_that_ship_are_placements() -> None:
    assert isinstance(load_placement(EXAMPLES / "kuberay.yaml"), KubeRay)
    assert isinstance(load_placement(EXAMPLES / "cloud_run.yaml"), CloudRun)
    assert load_placement(EXAMPLES / "cloud_run.yaml").deadline == 3600


def test_the_light_kinds_are_placements_too() -> None:
    assert parse_placement("kind: local") == Local(runners=0, learners=0)
    found = parse_placement("kind: address\naddress: 10.0.0.5:6379\nlearners: 2")
    assert found == AtAddress(address="10.0.0.5:6379", runners=2, learners=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: moon", r"p.yaml:1: kind is 'moon', not one of local, address, kuberay"),
        ("- 1", r"p.yaml:1: the file holds no mapping"),
        ("a: [", r"p.yaml:1: "),
        ("kind: local\nrunner: 2", r"p.yaml:2: unknown key 'runner' \(did you mean 'runners'\?\)"),
        ("kind: local\n\nrunners: -1", r"p.yaml:3: runners: .* greater than or equal to 0"),
        ("kind: address", r"p.yaml:1: 'address' is missing \(add it\)"),
        ("kind: address\naddress: ray://h:1", r"p.yaml:2: address: "),
        ("kind: kuberay\nnamespace: x\nhead: {cpus: 1}", r"p.yaml:3: unknown key 'head.cpus'"),
    ],
)
def test_problems_name_the_line(text: str, said: str) -> None:
    with pytest.raises(ShouldFixPlatform, match=said):
        parse_placement(text, "p.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShouldFixPlatform, match=r"gone.yaml cannot be read.*infra/ray/kuberay"):
        load_placement(tmp_path / "gone.yaml")


def needs(document: dict[str, Any], part: str, **changes: Any) -> dict[str, Any]:
    return document | {part: document[part] | changes}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (kuberay(runners=9), "need 9 CPUs, and head and workers have 8 at most"),
        (kuberay(submission="SidecarMode"), "SidecarMode cannot try again"),
        (needs(kuberay(), "workers", least=4), "least 4 is above most 3"),
        (needs(kuberay(), "defaults", image=None), "head has no image"),
        (kuberay(head={"cpu": {"limit": "1"}}), "head has no limit of cpu and of memory"),
        (needs(kuberay(), "head", memory={"limit": "512Mi"}), "Ray needs 1Gi"),
        (
            needs(kuberay(), "head", timeout="1h"),
            "head.timeout is of a graph's steps .use deadline",
        ),
        (
            needs(kuberay(), "defaults", retries={"count": 1}),
            "head.retries is of a graph's steps .use backoff_limit",
        ),
        (needs(kuberay(), "defaults", env={"RAY_AUTH_MODE": "disabled"}), "RAY_AUTH_MODE is set"),
        (needs(kuberay(), "defaults", env={"EVERLOOP_HOME": "/x"}), "EVERLOOP_HOME is set"),
        (needs(kuberay(), "defaults", volumes=()), "what is learned could not come back"),
        (
            needs(kuberay(), "defaults", volumes=({"mount_path": "/work", "pvc": "w"},)),
            "no volume claim is mounted at /workspace",
        ),
        (needs(kuberay(), "defaults", volumes=(), env=SHARED), "EVERLOOP_DATABASE_URL would not"),
        (cloud_run(gpu_type=""), "accelerator and gpu_type belong together"),
        (cloud_run(deadline="2h"), "with a GPU lasts at most 1h"),
        (needs(cloud_run(), "needs", cpu={"limit": "2"}), "at least 4 CPUs and 16Gi"),
        (cloud_run(runners=5), "runners and learners need a CPU each"),
        (needs(cloud_run(), "needs", env={}), "EVERLOOP_STORAGE_URL would not be set"),
        (
            needs(cloud_run(), "needs", volumes=({"mount_path": "/w", "pvc": "w"},)),
            "Cloud Run knows no volumes",
        ),
    ],
)
def test_what_cannot_work_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        placement_of(document)


def test_a_shared_store_and_database_are_a_way_back() -> None:
    shared = needs(kuberay(), "defaults", volumes=(), env=SHARED, secrets=DATABASE)
    assert isinstance(placement_of(shared), KubeRay)
