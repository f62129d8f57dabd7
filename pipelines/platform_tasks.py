"""One step's needs, set on its task through kfp and kfp-kubernetes."""

from __future__ import annotations

from typing import Any

from kfp import kubernetes

from everloop.contracts.platform import StepNeeds, Volume


def configure(task: Any, needs: StepNeeds) -> None:
    """Give a task its image, resources, retries and everything that only a cluster honours."""
    task.set_container_image(needs.image)
    _resources(task, needs)
    _placement(task, needs)
    _environment(task, needs)
    for index, volume in enumerate(needs.volumes):
        _mount(task, volume, index)
    for key, value in needs.labels.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in needs.annotations.items():
        kubernetes.add_pod_annotation(task, key, value)
    if needs.image_pull_policy is not None:
        kubernetes.set_image_pull_policy(task, needs.image_pull_policy)
    if needs.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(needs.image_pull_secrets))
    if needs.run_as_user is not None or needs.run_as_group is not None:
        kubernetes.set_security_context(task, needs.run_as_user, needs.run_as_group, True)


def _resources(task: Any, needs: StepNeeds) -> None:
    for wanted, setter in (
        (needs.cpu.request, task.set_cpu_request),
        (needs.cpu.limit, task.set_cpu_limit),
        (needs.memory.request, task.set_memory_request),
        (needs.memory.limit, task.set_memory_limit),
    ):
        if wanted is not None:
            setter(wanted)
    if needs.accelerator is not None:
        task.set_accelerator_type(needs.accelerator.type)
        task.set_accelerator_limit(needs.accelerator.count)
    if needs.retries is not None and needs.retries.count:
        task.set_retry(
            num_retries=needs.retries.count,
            backoff_duration=f"{needs.retries.backoff}s",
            backoff_factor=needs.retries.factor,
            backoff_max_duration=f"{needs.retries.longest}s",
        )
    if needs.timeout is not None:
        kubernetes.set_timeout(task, needs.timeout)


def _placement(task: Any, needs: StepNeeds) -> None:
    for key, value in needs.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in needs.tolerations:
        kubernetes.add_toleration(
            task,
            key=toleration.key,
            operator=toleration.operator,
            value=toleration.value,
            effect=toleration.effect,
            toleration_seconds=toleration.seconds,
        )


def _environment(task: Any, needs: StepNeeds) -> None:
    for name, value in needs.env.items():
        task.set_env_variable(name, value)
    for name, source in needs.secrets.items():
        kubernetes.use_secret_as_env(task, source.secret, {source.key: name})


def _mount(task: Any, volume: Volume, index: int) -> None:
    if volume.pvc is not None:
        kubernetes.mount_pvc(task, volume.pvc, volume.mount_path, volume.sub_path)
    elif volume.secret is not None:
        kubernetes.use_secret_as_volume(task, volume.secret, volume.mount_path)
    elif volume.empty_dir is not None:
        kubernetes.empty_dir_mount(
            task,
            volume_name=f"scratch-{index}",
            mount_path=volume.mount_path,
            medium="Memory" if volume.empty_dir.in_memory else None,
            size_limit=volume.empty_dir.size,
        )
