"""What a pod asks for, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

from everloop.contracts.platform import StepNeeds, Volume

Json = dict[str, Any]


def pod_template(
    name: str, needs: StepNeeds, service_account: str, variables: dict[str, str]
) -> Json:
    """A pod of one container.

    Args:
        name: of the container.
        needs: image, resources, places, variables and volumes.
        service_account: empty: the namespace's default; its token is not mounted, for nothing in the pod
            calls Kubernetes.
        variables: plain ones that come beside the needs' own.
    """
    spec: Json = {
        "automountServiceAccountToken": False,
        "containers": [_container(name, needs, variables)],
        "securityContext": _pod_security(needs),
    }
    if service_account:
        spec["serviceAccountName"] = service_account
    if needs.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in needs.image_pull_secrets]
    if needs.node_selector:
        spec["nodeSelector"] = dict(needs.node_selector)
    if needs.tolerations:
        spec["tolerations"] = [
            {
                name: value
                for name, value in (
                    ("key", toleration.key),
                    ("operator", toleration.operator),
                    ("value", toleration.value),
                    ("effect", toleration.effect),
                    ("tolerationSeconds", toleration.seconds),
                )
                if value is not None
            }
            for toleration in needs.tolerations
        ]
    if needs.volumes:
        spec["volumes"] = [_volume(number, volume) for number, volume in enumerate(needs.volumes)]
    metadata: Json = {}
    if needs.labels:
        metadata["labels"] = dict(needs.labels)
    if needs.annotations:
        metadata["annotations"] = dict(needs.annotations)
    return {"metadata": metadata, "spec": spec} if metadata else {"spec": spec}


def resources(needs: StepNeeds) -> Json:
    """Limits and requests; a limit alone is its own request."""
    limits = {"cpu": needs.cpu.limit, "memory": needs.memory.limit}
    requests = {
        "cpu": needs.cpu.request or needs.cpu.limit,
        "memory": needs.memory.request or needs.memory.limit,
    }
    if needs.accelerator:
        count = str(needs.accelerator.count)
        limits[needs.accelerator.type] = requests[needs.accelerator.type] = count
    return {
        "limits": {name: value for name, value in limits.items() if value},
        "requests": {name: value for name, value in requests.items() if value},
    }


def variables_of(needs: StepNeeds, more: dict[str, str]) -> list[Json]:
    """Plain variables and those filled from Secrets, in the order of their names."""
    plain = dict(needs.env) | more
    found: dict[str, Json] = {name: {"name": name, "value": plain[name]} for name in plain}
    for name, at in needs.secrets.items():
        key = {"name": at.secret, "key": at.key}
        found[name] = {"name": name, "valueFrom": {"secretKeyRef": key}}
    return [found[name] for name in sorted(found)]


def _container(name: str, needs: StepNeeds, variables: dict[str, str]) -> Json:
    container: Json = {
        "name": name,
        "image": needs.image,
        "resources": resources(needs),
        "env": variables_of(needs, variables),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if needs.image_pull_policy:
        container["imagePullPolicy"] = needs.image_pull_policy
    if needs.volumes:
        container["volumeMounts"] = [
            {
                "name": f"volume-{number}",
                "mountPath": volume.mount_path,
                **({"subPath": volume.sub_path} if volume.sub_path else {}),
                **({"readOnly": True} if volume.secret else {}),
            }
            for number, volume in enumerate(needs.volumes)
        ]
    return container


def _pod_security(needs: StepNeeds) -> Json:
    security: Json = {"runAsNonRoot": True}
    if needs.run_as_user:
        security["runAsUser"] = needs.run_as_user
    if needs.run_as_group:
        security["runAsGroup"] = security["fsGroup"] = needs.run_as_group
    return security


def _volume(number: int, volume: Volume) -> Json:
    named: Json = {"name": f"volume-{number}"}
    if volume.pvc:
        return named | {"persistentVolumeClaim": {"claimName": volume.pvc}}
    if volume.secret:
        return named | {"secret": {"secretName": volume.secret}}
    scratch: Json = {}
    if volume.empty_dir and volume.empty_dir.size:
        scratch["sizeLimit"] = volume.empty_dir.size
    if volume.empty_dir and volume.empty_dir.in_memory:
        scratch["medium"] = "Memory"
    return named | {"emptyDir": scratch}
