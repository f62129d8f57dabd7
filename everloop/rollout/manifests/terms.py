"""What a manifest is made with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollout_spec import RolloutSpec
from everloop.contracts.rollouts import Deployment

Manifest = Mapping[str, Json]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class EngineTerms:
    """Terms of the manifests of one deployment.

    Attributes:
        deployment: whose verdict the engine follows.
        rollout: the ramp and its dwell times.
        name, namespace: of the workload in the cluster; RFC 1123 labels.
        service_url: where everloop answers inside the cluster, such as ``http://everloop.ml:8000``.
        image: of the serving pods.
        storage_uri: folder with the deployment's artefacts, for model servers.
        secret: Secret whose key ``token`` is an API key with the scope read.
        replicas, port: of the serving pods.
        traffic_percent: share of traffic that the trial has now.
    """

    deployment: Deployment
    rollout: RolloutSpec
    name: str
    service_url: str
    namespace: str = "default"
    image: str = "everloop:latest"
    storage_uri: str = ""
    secret: str = "everloop-read"  # noqa: S105 — a name
    replicas: int = 2
    port: int = 8000
    traffic_percent: float = 0.0

    def __post_init__(self) -> None:
        for field in ("name", "namespace", "secret"):
            if _LABEL.fullmatch(getattr(self, field)) is None:
                raise ShouldFixArgument(
                    f"Manifests: {field}={getattr(self, field)!r} is no Kubernetes name.",
                    "Use at most 63 lower-case letters, digits and hyphens.",
                )
        parts = urlsplit(self.service_url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise ShouldFixArgument(
                f"Manifests: service_url={self.service_url!r} is no http(s) address.",
                "Give the address of the service inside the cluster.",
            )
        if _IMAGE.fullmatch(self.image) is None:
            raise ShouldFixArgument(f"Manifests: image={self.image!r} is empty or has spaces.")
        if self.replicas < 1 or not 1 <= self.port <= 65_535:
            raise ShouldFixArgument(
                f"Manifests: replicas={self.replicas}, port={self.port} cannot be used.",
                "Give at least one replica and a port of 1 to 65535.",
            )
        if not 0.0 <= self.traffic_percent <= 100.0:
            raise ShouldFixArgument(
                f"Manifests: traffic_percent={self.traffic_percent} is outside [0, 100]."
            )

    @property
    def verdict_url(self) -> str:
        """Where the controller's verdict on the deployment is read."""
        base = self.service_url.rstrip("/")
        return f"{base}/api/ml/deployments/{self.deployment.deployment_id}/verdict"

    @property
    def weights(self) -> tuple[int, ...]:
        """The ramp as whole percents, each at least 1, without repeats; engines take no fractions."""
        return tuple(dict.fromkeys(max(1, round(percent)) for percent in self.rollout.ramp))

    def metadata(self, name: str) -> dict[str, Json]:
        """Name, namespace, and annotations that name the deployment and its artefacts."""
        parts = {a.role: f"{a.version}@sha256:{a.sha256}" for a in self.deployment.artefacts}
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": {
                "app.kubernetes.io/name": self.name,
                "app.kubernetes.io/managed-by": "everloop",
                "app.kubernetes.io/part-of": self.deployment.loop,
            },
            "annotations": {
                "everloop/deployment": self.deployment.deployment_id,
                **{f"everloop/{role}": part for role, part in sorted(parts.items())},
            },
        }
