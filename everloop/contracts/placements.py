"""``RayPlacement``: where a policy's training runs, as one validated value of four kinds.

The YAML form is read by ``everloop.sdk.placements.file``. Unknown keys are refused everywhere. Nothing
secret stands in it: secrets are named, never written down.
"""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from everloop.contracts.platform import (
    AbsolutePath,
    KubernetesName,
    Namespace,
    Seconds,
    SecretKey,
    StepNeeds,
    VariableName,
)
from everloop.contracts.quantities import cpu_cores, memory_bytes

Workers = Annotated[int, Field(ge=0, le=1024)]
_ADDRESS = r"^[^/\s:]+:\d{1,5}$"
_SHARED = ("EVERLOOP_STORAGE_URL", "EVERLOOP_DATABASE_URL")
"""With these, a machine whose folder is its own reads what others released and gives back what it made."""
_ELSEWHERE = {"retries": "backoff_limit", "timeout": "deadline"}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Local(_Value):
    """This machine: in the process itself, or with Ray's workers beside it.

    Attributes:
        runners, learners: remote workers that simulate and learn; none of either starts no Ray.
    """

    kind: Literal["local"] = "local"
    runners: Workers = 0
    learners: Workers = 0


class AtAddress(_Value):
    """A Ray cluster that runs already.

    Attributes:
        address: ``host:port`` of its head. Its token, if it asks for one, comes from ``RAY_AUTH_MODE`` and
            ``RAY_AUTH_TOKEN_PATH`` in the environment.
        runners, learners: remote workers, one CPU each.
    """

    kind: Literal["address"] = "address"
    address: Annotated[str, Field(pattern=_ADDRESS)]
    runners: Workers = 2
    learners: Workers = 0


class WorkerGroup(_Value):
    """Machines that Ray's workers run on.

    Attributes:
        least, most: how many there are; where they differ, Ray's autoscaler decides.
        needs: of each; at least limits of cpu and memory, which Ray plans with.
    """

    least: Annotated[int, Field(ge=0, le=256)] = 1
    most: Annotated[int, Field(ge=1, le=256)] = 1
    needs: StepNeeds

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least {self.least} is above most {self.most}")
        return self


class KubeRay(_Value):
    """A RayJob: KubeRay's operator makes a cluster for the training, and takes it away after.

    Attributes:
        namespace: where it is made.
        service_account: what its pods run as; empty: the namespace's default.
        workspace: the workspace folder in the pods. Either a volume claim is mounted there that the
            caller's workspace lies on, too, or the environment names a shared store and database, through
            which the policy comes back.
        runners, learners: remote workers, one CPU each.
        head: needs of the head, which runs the training's driver; ``workers``: of the others.
        defaults: needs that head and workers have in common: image, env, secrets, volumes.
        token_secret: a Secret whose key ``auth_token`` is the cluster's token; empty: the operator makes
            one.
        submission: who submits the entrypoint: a Kubernetes job, the operator over HTTP, or a sidecar.
        ttl: how long the finished cluster is kept.
        deadline: after which the job is ended.
        backoff_limit: whole attempts after the first; each continues from the last checkpoint.
    """

    kind: Literal["kuberay"] = "kuberay"
    namespace: Namespace
    service_account: KubernetesName | Literal[""] = ""
    workspace: AbsolutePath = "/workspace"
    runners: Workers = 2
    learners: Workers = 0
    head: StepNeeds
    workers: WorkerGroup
    defaults: StepNeeds = StepNeeds()
    token_secret: KubernetesName | Literal[""] = ""
    submission: Literal["K8sJobMode", "HTTPMode", "SidecarMode"] = "K8sJobMode"
    ttl: Seconds = 600
    deadline: Seconds = 6 * 3600
    backoff_limit: Annotated[int, Field(ge=0, le=20)] = 1

    @property
    def head_needs(self) -> StepNeeds:
        """What the head asks for, on top of the defaults."""
        return self.head.over(self.defaults)

    @property
    def worker_needs(self) -> StepNeeds:
        """What each worker asks for, on top of the defaults."""
        return self.workers.needs.over(self.defaults)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        for name, needs in (("head", self.head_needs), ("workers", self.worker_needs)):
            _require_sized(name, needs)
            _require_ours(name, needs)
        if self.submission == "SidecarMode" and self.backoff_limit:
            raise ValueError("SidecarMode cannot try again (set backoff_limit: 0)")
        head, worker = (_cpus(needs) for needs in (self.head_needs, self.worker_needs))
        most, asked = head + self.workers.most * worker, max(1, self.runners + self.learners)
        if asked > most:
            raise ValueError(
                f"runners and learners need {asked} CPUs, and head and workers have {most} at most "
                "(raise workers.most or their cpu limit)"
            )
        _require_way_back(self.workspace, self.head_needs)
        return self


class CloudRun(_Value):
    """A Cloud Run job: one container, with a GPU if asked for, which starts a Ray of its own if needed.

    Attributes:
        project, location: of Google Cloud.
        service_account: its email; what the container runs as.
        workspace: the folder of unfinished work in the container; it is gone with the container, so the
            environment names a shared store and database, through which the policy comes back.
        runners, learners: workers of the container's own Ray.
        needs: image, limits of cpu and memory, accelerator, env and secrets.
        gpu_type: such as ``nvidia-l4``; needed with an accelerator.
        network, subnet: names of the network in which a private database is; empty: none is needed.
        files: path in the container -> the secret that stands there, such as a database's certificate; its
            ``key`` is the secret's version. Two paths do not share a folder.
        deadline: after which a try is ended; at most an hour with a GPU, as Cloud Run has it, else a day.
        retries: whole attempts after the first.
    """

    kind: Literal["cloud_run"] = "cloud_run"
    project: Annotated[str, Field(pattern=r"^[a-z][a-z0-9\-]{4,28}[a-z0-9]$")]
    location: Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+\d$")]
    service_account: Annotated[
        str, Field(pattern=r"^[a-z0-9\-]+@[a-z0-9.\-]+\.gserviceaccount\.com$")
    ]
    workspace: AbsolutePath = "/workspace"
    runners: Workers = 0
    learners: Workers = 0
    needs: StepNeeds
    gpu_type: Annotated[str, Field(pattern=r"^(nvidia-[a-z0-9\-]+)?$")] = ""
    network: KubernetesName | Literal[""] = ""
    subnet: KubernetesName | Literal[""] = ""
    files: dict[AbsolutePath, SecretKey] = {}
    deadline: Seconds = 3600
    retries: Annotated[int, Field(ge=0, le=10)] = 1

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        _require_sized("needs", self.needs)
        _require_ours("needs", self.needs)
        for name in (
            "volumes",
            "node_selector",
            "tolerations",
            "image_pull_secrets",
            "run_as_user",
        ):
            if getattr(self.needs, name):
                raise ValueError(f"Cloud Run knows no {name} (leave needs.{name} out)")
        gpus = self.needs.accelerator
        if bool(gpus) != bool(self.gpu_type):
            raise ValueError(
                "needs.accelerator and gpu_type belong together (give both or neither)"
            )
        if gpus and (gpus.type, gpus.count) != ("nvidia.com/gpu", 1):
            raise ValueError("a Cloud Run container has one nvidia.com/gpu (write count: 1)")
        small = _cpus(self.needs) < 4 or memory_bytes(self.needs.memory.limit or "") < 16 * 2**30
        if gpus and small:
            raise ValueError("a GPU comes with at least 4 CPUs and 16Gi (raise the limits)")
        if gpus and self.deadline > 3600:
            raise ValueError(f"a try with a GPU lasts at most 1h, not {self.deadline}s")
        if self.deadline > 86400:
            raise ValueError(f"a try lasts at most 1d, not {self.deadline}s")
        if self.runners + self.learners > _cpus(self.needs):
            raise ValueError("runners and learners need a CPU each (raise needs.cpu.limit)")
        _require_way_back(self.workspace, self.needs)
        return self

    @model_validator(mode="after")
    def _connected(self) -> Self:
        if bool(self.network) != bool(self.subnet):
            raise ValueError("network and subnet belong together (give both or neither)")
        folders = [posixpath.dirname(path) for path in self.files]
        if len(set(folders)) != len(folders) or "/" in folders:
            raise ValueError("each of files stands in a folder of its own (choose other paths)")
        return self


RayPlacement = Annotated[Local | AtAddress | KubeRay | CloudRun, Field(discriminator="kind")]
"""Where a training runs."""

_ADAPTER: TypeAdapter[Local | AtAddress | KubeRay | CloudRun] = TypeAdapter(RayPlacement)
KINDS: dict[str, type[BaseModel]] = {
    "local": Local,
    "address": AtAddress,
    "kuberay": KubeRay,
    "cloud_run": CloudRun,
}
"""Kind -> its value."""


def placement_of(document: Any) -> Local | AtAddress | KubeRay | CloudRun:
    """A placement from plain values; pydantic's ``ValidationError`` lists what is wrong."""
    return _ADAPTER.validate_python(document)


def _cpus(needs: StepNeeds) -> int:
    return int(cpu_cores(needs.cpu.limit)) if needs.cpu.limit else 0


def _require_sized(name: str, needs: StepNeeds) -> None:
    if needs.image is None:
        raise ValueError(f"{name} has no image (give one, or one in defaults)")
    if needs.cpu.limit is None or needs.memory.limit is None:
        raise ValueError(
            f"{name} has no limit of cpu and of memory, which Ray plans with (give both)"
        )
    if memory_bytes(needs.memory.limit) < 2**30:
        raise ValueError(f"{name} has {needs.memory.limit}, and Ray needs 1Gi (raise memory.limit)")


def _require_ours(name: str, needs: StepNeeds) -> None:
    for field, instead in _ELSEWHERE.items():
        if getattr(needs, field) is not None:
            raise ValueError(f"{name}.{field} is of a graph's steps (use {instead})")
    reserved = re.compile(r"RAY_AUTH_|RAY_ADDRESS$|EVERLOOP_HOME$|EVERLOOP_RAY_")
    for variable in (*needs.env, *needs.secrets):
        if reserved.match(variable):
            raise ValueError(f"{variable} is set for you (leave it out of {name})")


def _require_way_back(workspace: str, needs: StepNeeds) -> None:
    given: set[VariableName] = {*needs.env, *needs.secrets}
    mounted = any(
        volume.pvc
        and (workspace == volume.mount_path or workspace.startswith(f"{volume.mount_path}/"))
        for volume in needs.volumes
    )
    missing = [name for name in _SHARED if name not in given]
    if not mounted and missing:
        raise ValueError(
            f"what is learned could not come back: no volume claim is mounted at {workspace}, and "
            f"{' and '.join(missing)} would not be set (mount the workspace, or name a shared store)"
        )
