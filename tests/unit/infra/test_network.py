"""Who may reach whom: network policies, read as a network plug-in reads them."""

from __future__ import annotations

import itertools
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from tests.unit.infra.manifests import (
    OVERLAYS,
    SANDBOX_LABEL,
    Object,
    Pod,
    built,
    named,
    of_kind,
    overlay,
    pods,
    selects,
)

LABELS = (
    {"everloop.dev/database": "true"},
    {"everloop.dev/cloud": "true"},
    {"workflows.argoproj.io/workflow": "daily-1"},
    {"ray.io/cluster": "training"},
    {"app.kubernetes.io/name": "everloop", "app.kubernetes.io/component": "service"},
    {"app.kubernetes.io/name": "postgresql", "app.kubernetes.io/component": "database"},
)
"""Labels that some policy asks for."""


@dataclass(frozen=True, slots=True)
class Place:
    """An end of a connection: a pod of the cluster, or an address outside of it."""

    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    address: str = ""


def pod(namespace: str, labels: dict[str, str]) -> Place:
    return Place(namespace, tuple(labels.items()))


DNS = pod("kube-system", {"k8s-app": "kube-dns"})
KUBEFLOW = pod("kubeflow", {"app": "ml-pipeline"})
INTERNET = Place(address="1.1.1.1")
METADATA = Place(address="169.254.169.254")
CONTROL_PLANE = Place(address="10.29.0.2")
DATABASE = Place(address="10.32.0.3")
GOOGLE = Place(address="199.36.153.9")
NODE = Place(address="10.20.0.7")


class Network:
    """Decides as NetworkPolicy is specified: all is allowed until a policy selects, then its rules."""

    def __init__(self, objects: tuple[Object, ...]) -> None:
        self._policies = of_kind(objects, "NetworkPolicy")
        self._namespaces = {
            one["metadata"]["name"]: {
                "kubernetes.io/metadata.name": one["metadata"]["name"],
                **one["metadata"].get("labels", {}),
            }
            for one in of_kind(objects, "Namespace")
        }

    def allows(self, start: Place, end: Place, port: int | str, protocol: str = "TCP") -> bool:
        return self.leaves(start, end, port, protocol) and self.enters(start, end, port, protocol)

    def leaves(self, start: Place, end: Place, port: int | str, protocol: str = "TCP") -> bool:
        return self._one_side("Egress", "to", start, end, port, protocol)

    def enters(self, start: Place, end: Place, port: int | str, protocol: str = "TCP") -> bool:
        return bool(end.address) or self._one_side("Ingress", "from", end, start, port, protocol)

    def _one_side(
        self, direction: str, key: str, subject: Place, other: Place, port: int | str, protocol: str
    ) -> bool:
        chosen = [
            one["spec"]
            for one in self._policies
            if one["metadata"]["namespace"] == subject.namespace
            and direction in one["spec"]["policyTypes"]
            and selects(one["spec"]["podSelector"], dict(subject.labels))
        ]
        if not chosen:
            return True
        return any(
            self._rule(rule, key, subject, other, port, protocol)
            for spec in chosen
            for rule in spec.get(direction.lower(), [])
        )

    def _rule(
        self, rule: Object, key: str, subject: Place, other: Place, port: int | str, protocol: str
    ) -> bool:
        ports = rule.get("ports", [])
        if ports and not any(
            one.get("protocol", "TCP") == protocol and one["port"] == port for one in ports
        ):
            return False
        return key not in rule or any(self._peer(peer, subject, other) for peer in rule[key])

    def _peer(self, peer: Object, subject: Place, other: Place) -> bool:
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            return (
                bool(other.address)
                and _within(other.address, block["cidr"])
                and not any(
                    _within(other.address, excepted) for excepted in block.get("except", [])
                )
            )
        if other.address:
            return False
        if "namespaceSelector" in peer:
            labels = self._namespaces.get(
                other.namespace, {"kubernetes.io/metadata.name": other.namespace}
            )
            if not selects(peer["namespaceSelector"], labels):
                return False
        elif other.namespace != subject.namespace:
            return False
        return selects(peer.get("podSelector", {}), dict(other.labels))


def _within(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network)


def everywhere(network: Network) -> Iterator[Place]:
    yield from (DNS, KUBEFLOW, INTERNET, METADATA, CONTROL_PLANE, DATABASE, GOOGLE, NODE)
    for namespace in ("everloop", "everloop-pipelines", "everloop-sandbox", "default"):
        yield pod(namespace, {})
        for labels in LABELS:
            yield pod(namespace, labels)


PORTS = [
    (53, "UDP"),
    (53, "TCP"),
    (80, "TCP"),
    (443, "TCP"),
    (5432, "TCP"),
    (8888, "TCP"),
    (988, "TCP"),
    ("http", "TCP"),
]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_sandbox_reaches_nobody_and_nobody_reaches_it(name: str) -> None:
    network = Network(overlay(name))
    # whatever else a pod of it says of itself, and in every namespace of ours
    claims = [{}, *LABELS, {key: value for labels in LABELS for key, value in labels.items()}]
    namespaces = ("everloop-sandbox", "everloop", "everloop-pipelines")
    tried = 0
    for namespace, claim in itertools.product(namespaces, claims):
        sandboxed = pod(namespace, {**claim, SANDBOX_LABEL: "true"})
        for other, (port, protocol) in itertools.product(everywhere(network), PORTS):
            tried += 1
            assert not network.leaves(sandboxed, other, port, protocol), (sandboxed, other, port)
            assert not network.enters(other, sandboxed, port, protocol), (other, sandboxed, port)
    assert tried > 5000


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_forgotten_label_does_not_open_the_sandbox(name: str) -> None:
    network = Network(overlay(name))
    for other, (port, protocol) in itertools.product(everywhere(network), PORTS):
        assert not network.leaves(pod("everloop-sandbox", {}), other, port, protocol)
        assert not network.enters(other, pod("everloop-sandbox", {}), port, protocol)


def of_overlay(name: str) -> dict[str, Pod]:
    return {found.owner: found for found in pods(overlay(name))}


@pytest.mark.parametrize("name", ["local-cluster", "gcp"])
def test_what_runs_reaches_its_database_and_names(name: str) -> None:
    network, found = Network(overlay(name)), of_overlay(name)
    for owner in ("everloop", "everloop-watch", "everloop-backup"):
        start = pod("everloop", found[owner].labels)
        assert network.allows(start, DNS, 53, "UDP")
        if name == "gcp":
            assert network.allows(start, DATABASE, 5432)
        else:
            there = pod("everloop", found["everloop-postgresql"].labels)
            assert network.allows(start, there, 5432)
            assert not network.enters(pod("default", {}), there, 5432)


@pytest.mark.parametrize("name", ["local-cluster", "gcp"])
def test_nobody_else_reaches_the_service(name: str) -> None:
    network = Network(overlay(name))
    service = pod("everloop", of_overlay(name)["everloop"].labels)
    for other in everywhere(network):
        if other.address:  # kubelets and load balancers are the platform's to let in
            continue
        assert not network.enters(other, service, "http"), other
    said = Network(
        (
            *overlay(name),
            {
                "kind": "Namespace",
                "metadata": {"name": "shop", "labels": {"everloop.dev/clients": "true"}},
            },
        )
    )
    assert said.enters(pod("shop", {}), service, "http")
    assert not said.enters(pod("shop", {}), service, 5432)


def test_in_the_cloud_nothing_reaches_more_than_it_needs() -> None:
    network, found = Network(overlay("gcp")), of_overlay("gcp")
    service = pod("everloop", found["everloop"].labels)
    step = pod("everloop-pipelines", {"workflows.argoproj.io/workflow": "daily-1"})
    for start in (service, step):
        assert network.leaves(start, GOOGLE, 443)
        assert network.leaves(start, METADATA, 80)
        assert network.leaves(start, DATABASE, 5432)
        assert network.leaves(start, KUBEFLOW, 8888)
        assert not network.leaves(start, INTERNET, 443)
        assert not network.leaves(start, DATABASE, 22)
        assert not network.leaves(start, NODE, 443)
    assert network.leaves(step, CONTROL_PLANE, 443)
    assert not network.leaves(service, CONTROL_PLANE, 443)
    assert not network.leaves(pod("everloop", found["everloop-watch"].labels), KUBEFLOW, 8888)


@pytest.mark.parametrize("name", ["local-cluster", "gcp"])
def test_steps_take_no_connections(name: str) -> None:
    network = Network(overlay(name))
    step = pod("everloop-pipelines", {"workflows.argoproj.io/workflow": "daily-1"})
    for other, (port, protocol) in itertools.product(everywhere(network), PORTS):
        assert not network.enters(other, step, port, protocol), other
    ray = pod("everloop-pipelines", {"ray.io/cluster": "training"})
    assert network.allows(ray, ray, 6379)
    assert network.allows(step, ray, 8265)
    assert not network.enters(pod("default", {}), ray, 8265)


def test_the_evaluator_sees_what_a_policy_opens() -> None:
    """Without the sandbox's own policy it is open: the tests above can fail."""
    rest = tuple(
        one for one in overlay("gcp") if one["metadata"].get("namespace") != "everloop-sandbox"
    )
    assert Network(rest).leaves(pod("everloop-sandbox", {}), INTERNET, 443)
    assert Network(rest).enters(INTERNET, pod("everloop-sandbox", {}), 443)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_sandbox_has_a_kernel_of_its_own(name: str) -> None:
    objects = overlay(name)
    policy = named(objects, "ValidatingAdmissionPolicy", "everloop-sandbox")["spec"]
    assert policy["failurePolicy"] == "Fail"
    assert (
        "object.spec.runtimeClassName in ['gvisor', 'kata']"
        in policy["validations"][0]["expression"]
    )
    bindings = [
        one["spec"]
        for one in of_kind(objects, "ValidatingAdmissionPolicyBinding")
        if one["spec"]["policyName"] == "everloop-sandbox"
    ]
    assert {tuple(spec["validationActions"]) for spec in bindings} == {("Deny",)}
    places = [spec["matchResources"] for spec in bindings]
    mark = {"matchLabels": {SANDBOX_LABEL: "true"}}
    assert {"namespaceSelector": mark} in places
    assert {"objectSelector": mark} in places
    namespace = named(objects, "Namespace", "everloop-sandbox")["metadata"]["labels"]
    assert selects(mark, namespace)
    assert namespace["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {one["metadata"]["name"] for one in of_kind(objects, "RuntimeClass")} <= {
        "gvisor",
        "kata",
    }


@pytest.mark.parametrize("name", OVERLAYS)
def test_namespaces_enforce_pod_security(name: str) -> None:
    levels = {
        one["metadata"]["name"]: one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for one in of_kind(overlay(name), "Namespace")
    }
    assert levels == {
        "everloop": "restricted",
        "everloop-pipelines": "baseline",  # Kubeflow's own containers stand beside a step
        "everloop-sandbox": "restricted",
    }


def test_the_check_is_a_pod_that_the_sandbox_takes() -> None:
    (found,) = pods(built("checks/sandbox-isolation"))
    assert found.namespace == "everloop-sandbox"
    assert found.labels[SANDBOX_LABEL] == "true"
    assert found.spec["runtimeClassName"] == "gvisor"
    assert all(("emptyDir" in v) or ("configMap" in v) for v in found.spec.get("volumes", []))
    quota = named(overlay("gcp"), "ResourceQuota", "sandbox")["spec"]["hard"]
    assert {quota["services"], quota["secrets"], quota["persistentvolumeclaims"]} == {"0"}


def isolation(*places: str) -> subprocess.CompletedProcess[str]:
    (found,) = pods(built("checks/sandbox-isolation"))
    (container,) = found.spec["containers"]
    return subprocess.run(
        [*container["command"], container["args"][0], "isolation", *places],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": "1",
        },
    )


def test_the_check_fails_where_something_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        done = isolation(place)
    assert done.returncode == 1
    assert f"reached {place}" in done.stdout
    done = isolation(place)  # nobody listens any more
    assert done.returncode == 0, done.stdout
    assert "reached" not in done.stdout
