"""The Terraform configuration: formatted, parsed, and held to what it must never give away."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.unit.infra.manifests import ROOT, of_kind, overlay
from tests.unit.infra.test_workloads import known_variables

TERRAFORM = ROOT / "infra" / "terraform"
FILES = sorted(TERRAFORM.glob("*.tf"))
TESTS = sorted((TERRAFORM / "tests").glob("*.tftest.hcl"))
MODULE_TEXT = "".join(path.read_text() for path in FILES)
PROVIDERS = ("hashicorp/google", "hashicorp/google-beta", "hashicorp/random")

GIVEN_PROJECT_WIDE = {
    "roles/aiplatform.user",
    "roles/bigquery.jobUser",
    "roles/bigquery.readSessionUser",
    "roles/container.defaultNodeServiceAccount",
    "roles/monitoring.metricWriter",
    "roles/run.developer",
}
"""Roles that Google gives on a project alone."""


def plain(value: Any) -> Any:
    """What python-hcl2 reads, with its quotation marks and bookkeeping taken off."""
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items() if not str(k).startswith("__")}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


@cache
def parsed() -> dict[str, list[Any]]:
    """Blocks of every file, by their kind."""
    blocks: dict[str, list[Any]] = {}
    for path in FILES:
        with path.open() as file:
            for kind, found in plain(hcl2.load(file)).items():
                blocks.setdefault(kind, []).extend(found)
    return blocks


def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: body
        for block in parsed()["resource"]
        for found, named in block.items()
        if found == kind
        for name, body in named.items()
    }


def locals_of(name: str) -> Any:
    (found,) = [block[name] for block in parsed()["locals"] if name in block]
    return found


def one(body: dict[str, Any], *path: str) -> Any:
    """A value inside blocks that stand once."""
    place: Any = body
    for step in path:
        place = place[0] if isinstance(place, list) else place
        place = place[step]
    return place[0] if isinstance(place, list) and len(place) == 1 else place


def test_terraform_finds_it_formatted() -> None:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed: the formatting was not checked")
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", "-diff", str(TERRAFORM)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CHECKPOINT_DISABLE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def provider_missing() -> str:
    """Why ``terraform validate`` cannot run here; empty where it can."""
    if shutil.which("terraform") is None:
        return "not run: terraform is not installed"
    mirrors = os.environ.get("EVERLOOP_TEST_TERRAFORM_PLUGINS", "")
    if not mirrors:
        return "not run: provider not installed (its folder: EVERLOOP_TEST_TERRAFORM_PLUGINS)"
    missing = [name for name in PROVIDERS if not list(Path(mirrors).glob(f"*/{name}"))]
    return f"not run: provider not installed ({', '.join(missing)})" if missing else ""


def test_terraform_validates_and_plans_it(tmp_path: Path) -> None:
    if reason := provider_missing():
        pytest.skip(reason)
    copy = tmp_path / "terraform"
    shutil.copytree(TERRAFORM, copy, ignore=shutil.ignore_patterns(".terraform*"))
    plugins = os.environ["EVERLOOP_TEST_TERRAFORM_PLUGINS"]
    for command in (
        ["init", "-backend=false", "-input=false", f"-plugin-dir={plugins}"],
        ["validate"],
        ["test"],
    ):
        done = subprocess.run(
            ["terraform", f"-chdir={copy}", *command, "-no-color"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"CHECKPOINT_DISABLE": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_own_tests_parse_and_expect_what_is_refused() -> None:
    texts = [path.read_text() for path in TESTS]
    for path in TESTS:
        with path.open() as file:
            assert plain(hcl2.load(file))["run"]
    refused = set(re.findall(r"expect_failures = \[var\.(\w+)\]", "".join(texts)))
    assert {"ledger_days", "operator_ranges", "image_publishers", "image_tag"} <= refused


def test_versions_are_pinned() -> None:
    (block,) = parsed()["terraform"]
    providers = one(block, "required_providers")
    assert {body["source"] for body in providers.values()} == set(PROVIDERS)
    assert all(re.fullmatch(r"~> \d+\.\d+", body["version"]) for body in providers.values())
    assert block["required_version"] == ">= 1.11, < 2.0"  # write-only arguments
    assert "gcs" in block["backend"][0]


def test_every_variable_is_described_typed_and_used() -> None:
    variables = {name: body for block in parsed()["variable"] for name, body in block.items()}
    for name, body in variables.items():
        assert len(body["description"]) >= 20, name
        assert body["type"], name
        outside = "".join(path.read_text() for path in FILES if path.name != "variables.tf")
        assert re.search(rf"\bvar\.{name}\b", outside), f"{name} is not used"
    assert set(re.findall(r"\bvar\.(\w+)", MODULE_TEXT)) <= variables.keys()
    with (TERRAFORM / "terraform.tfvars.example").open() as file:
        example = plain(hcl2.load(file))
    assert example.keys() <= variables.keys()
    required = {name for name, body in variables.items() if "default" not in body}
    assert required == {"project", "region"} <= example.keys()


def test_buckets_are_closed_and_kept() -> None:
    buckets = resources("google_storage_bucket")
    assert buckets.keys() == {"data", "ledger", "backups"}
    for name, body in buckets.items():
        assert body["uniform_bucket_level_access"] is True, name
        assert body["public_access_prevention"] == "enforced", name
        assert body["force_destroy"] is False, name
        assert one(body, "lifecycle", "prevent_destroy") is True, name
    kept = one(buckets["ledger"], "retention_policy")
    assert kept["retention_period"] == "${var.ledger_days * 86400}"
    assert kept["is_locked"] == "${var.lock_retention}"
    assert "lifecycle_rule" not in buckets["ledger"]  # nothing deletes an entry
    assert not any("versioning" in body for body in buckets.values())  # an erasure is one
    # erasures delete datasets, pruning deletes backups, which share objects of any age
    for name, days in (("data", "undelete_days"), ("backups", "backup_undelete_days")):
        assert "retention_policy" not in buckets[name]
        undone = one(buckets[name], "soft_delete_policy")
        assert undone["retention_duration_seconds"] == f"${{var.{days} * 86400}}"
    kept_for = {
        prefix: one(rule, "condition")["age"]
        for rule in buckets["data"]["lifecycle_rule"]
        if one(rule, "action")["type"] == "Delete"
        for prefix in one(rule, "condition")["matches_prefix"]
    }
    assert kept_for == {
        "${local.pipeline_prefix}/": "${var.pipeline_artifact_days}",
        "${local.storage_prefix}/monitoring/": "${var.monitoring_days}",
    }
    (rule,) = buckets["backups"]["lifecycle_rule"]
    assert one(rule, "action")["type"] == "AbortIncompleteMultipartUpload"


def test_nobody_may_more_than_their_work_asks() -> None:
    given = set(re.findall(r'"(roles/[\w.]+)"', MODULE_TEXT))
    assert len(given) >= 12
    for role in given:
        assert not re.search(r"owner|roles/editor|[aA]dmin|legacy", role), role
    assert not re.search(r'(=|\[)\s*"(allUsers|allAuthenticatedUsers)"', MODULE_TEXT)
    assert resources("google_project_iam_member").keys() == {"main"}
    for authoritative in ("iam_policy", "iam_binding"):
        assert not re.search(rf'resource "google_\w+_{authoritative}"', MODULE_TEXT)
    assert "google_service_account_key" not in MODULE_TEXT
    table = MODULE_TEXT[MODULE_TEXT.index("project_grants = merge(") :]
    table = table[: table.index("\n  )\n")]
    assert set(re.findall(r'"(roles/[\w.]+)"', table)) == GIVEN_PROJECT_WIDE


def test_grants_name_identities_and_buckets_that_are_there() -> None:
    identities = locals_of("identities")
    grants = locals_of("bucket_grants")
    for what, grant in grants.items():
        assert grant["identity"] in identities, what
        assert grant["bucket"] in locals_of("buckets"), what
        assert grant["role"] in {
            "roles/storage.objectViewer",
            "roles/storage.objectCreator",
            "roles/storage.objectUser",
        }, what
    # who writes down what was spent can take nothing back
    assert {g["role"] for g in grants.values() if g["bucket"] == "ledger"} == {
        "roles/storage.objectCreator",
        "roles/storage.objectViewer",
    }
    assert {g["identity"] for g in grants.values()} | {"secrets"} == identities.keys()


def test_every_identity_is_somebody_in_the_cluster() -> None:
    objects = overlay("gcp")
    accounts = {
        f"{found['metadata']['namespace']}/{found['metadata']['name']}": found["metadata"]
        .get("annotations", {})
        .get("iam.gke.io/gcp-service-account")
        for found in of_kind(objects, "ServiceAccount")
    }
    bound = {
        account: f"everloop-{identity}@example-project.iam.gserviceaccount.com"
        for identity, facts in locals_of("identities").items()
        for account in facts["accounts"]
    }
    assert {account: email for account, email in accounts.items() if email} == bound


def test_the_database_is_private_backed_up_and_stays() -> None:
    (body,) = resources("google_sql_database_instance").values()
    settings = one(body, "settings")
    assert body["deletion_protection"] == "${var.deletion_protection}"
    assert settings["deletion_protection_enabled"] == "${var.deletion_protection}"
    assert one(body, "lifecycle", "prevent_destroy") is True
    reached = one(settings, "ip_configuration")
    assert reached["ipv4_enabled"] is False
    assert reached["ssl_mode"] == "ENCRYPTED_ONLY"
    assert reached["private_network"]
    assert "authorized_networks" not in reached
    backup = one(settings, "backup_configuration")
    assert backup["enabled"] is True
    assert backup["point_in_time_recovery_enabled"] is True
    (default,) = [
        b["deletion_protection"] for b in parsed()["variable"] if "deletion_protection" in b
    ]
    assert default["default"] is True


def test_the_cluster_is_private_and_its_nodes_are_shielded() -> None:
    (cluster,) = resources("google_container_cluster").values()
    assert cluster["deletion_protection"] == "${var.deletion_protection}"
    assert cluster["datapath_provider"] == "ADVANCED_DATAPATH"
    assert cluster["enable_shielded_nodes"] is True
    assert cluster["enable_legacy_abac"] is False
    assert one(cluster, "private_cluster_config", "enable_private_nodes") is True
    assert one(cluster, "workload_identity_config", "workload_pool") == "${var.project}.svc.id.goog"
    assert "master_authorized_networks_config" in cluster
    pools = resources("google_container_node_pool")
    assert pools.keys() == {"cpu", "gpu", "sandbox"}
    for name, pool in pools.items():
        node = one(pool, "node_config")
        assert one(node, "shielded_instance_config", "enable_secure_boot") is True, name
        assert one(node, "workload_metadata_config", "mode") == "GKE_METADATA", name
        assert node["service_account"] == "${google_service_account.nodes.email}", name
    assert one(pools["sandbox"], "node_config", "sandbox_config")["sandbox_type"] == "gvisor"
    assert one(pools["gpu"], "node_config", "taint")["effect"] == "NO_SCHEDULE"


def test_no_secret_comes_into_a_state() -> None:
    assert re.findall(r"^\s*(password|secret_data)\s*=", MODULE_TEXT, re.MULTILINE) == []
    assert "random_password" in parsed()["ephemeral"][0]
    assert 'resource "random' not in MODULE_TEXT
    for version in resources("google_secret_manager_secret_version").values():
        assert "secret_data_wo" in version
    # the keys that people's budgets hang on are made by a person
    made = "".join(str(body) for body in resources("google_secret_manager_secret_version").values())
    assert not any(key in made for key in ("pseudonym-key", "ledger-key", "health-key"))


def test_outputs_are_what_settings_and_manifests_read() -> None:
    environment = locals_of("environment")
    assert environment.keys() <= known_variables()
    kustomization = ROOT / "infra" / "kubernetes" / "overlays" / "gcp"
    written = {
        line.partition("=")[0] for line in (kustomization / "everloop.env").read_text().splitlines()
    }
    assert written == environment.keys()
    platform = {
        line.partition("=")[0] for line in (kustomization / "platform.env").read_text().splitlines()
    }
    block = MODULE_TEXT[MODULE_TEXT.index("platform = merge(") :]
    block = block[: block.index("\n}\n")]
    fixed = set(re.findall(r"^\s{6}([A-Z_]+)\s+=", block, re.MULTILINE))
    accounts = {f"ACCOUNT_{identity.upper()}" for identity in locals_of("identities")}
    names = re.findall(r'toset\(\["([a-z-]+)", "([a-z-]+)"(?:, "([a-z-]+)")?\]\)', MODULE_TEXT)
    secrets = {
        f"SECRET_{name.upper().replace('-', '_')}"
        for group in names
        for name in group
        if name.endswith(("-key", "-url", "-certificate"))
    }
    assert platform == fixed | accounts | secrets
    read = set(
        re.findall(
            r"fieldPath: data\.([A-Z_]+)", (kustomization / "kustomization.yaml").read_text()
        )
    )
    assert read == platform


def test_the_certificate_is_where_the_manifests_mount_it() -> None:
    path = locals_of("database_certificate_path")
    (container,) = next(
        found["spec"]["template"]["spec"]["containers"]
        for found in of_kind(overlay("gcp"), "Deployment")
    )
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert path.rpartition("/")[0] in mounted
    assert path.rpartition("/")[2] == "server-ca.pem"
