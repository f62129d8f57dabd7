"""``Platform``: where the graphs run on a cluster and what each step may use, as one validated value.

The YAML form is read by ``pipelines.platform_file``; this module only says what is allowed. Unknown keys
are refused everywhere. Nothing secret stands in it: secrets are named, never written down.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from everloop.contracts.quantities import cpu_cores, cpu_text, memory_bytes, memory_text, seconds_of


def _matching(pattern: str, fix: str) -> Any:
    """Text that a pattern matches as a whole; ``fix`` says what to write instead."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(fix)
        return text

    return AfterValidator(check)


_NAME = r"(?=.{1,253}$)[a-z0-9]([a-z0-9\-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9\-]*[a-z0-9])?)*"
_NAME_FIX = "this is no name of Kubernetes' (write small letters, digits, - and .)"
_PATH_FIX = "this is no absolute path (begin with /, without spaces and colons)"

KubernetesName = Annotated[str, _matching(_NAME, _NAME_FIX)]
"""A DNS subdomain name: what secrets, volume claims and service accounts are called."""
NameOrNone = Annotated[str, _matching(f"|{_NAME}", _NAME_FIX)]
Namespace = Annotated[
    str,
    _matching(
        r"([a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?)?",
        "this is no namespace (write small letters, digits and -)",
    ),
]
VariableName = Annotated[
    str,
    _matching(
        r"[A-Za-z_][A-Za-z0-9_]{0,127}", "this is no variable's name (write letters, digits and _)"
    ),
]
LabelKey = Annotated[
    str,
    _matching(
        r"([a-z0-9]([a-z0-9.\-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?",
        "this is no label's key (write name, or domain/name)",
    ),
]
LabelValue = Annotated[
    str,
    _matching(
        r"([A-Za-z0-9]([A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?)?",
        "this is no label's value (write up to 63 letters, digits, -, _ and .)",
    ),
]


def _plain_path(path: str) -> str:
    if path.startswith("//") or posixpath.normpath(path) != path.rstrip("/"):
        raise ValueError("this path goes round (write a folder without . and .., and not / itself)")
    return path.rstrip("/")


AbsolutePath = Annotated[str, _matching(r"/[^\s:]*", _PATH_FIX), AfterValidator(_plain_path)]
PathOrNone = Annotated[str, _matching(r"(/[^\s:]*)?", _PATH_FIX)]
Cpu = Annotated[str, BeforeValidator(cpu_text)]
"""Cores: ``2``, ``0.5`` or ``500m``."""
Memory = Annotated[str, BeforeValidator(memory_text)]
"""Bytes: ``512Mi``, ``2Gi``; powers of ten as ``M``, ``G``."""
Seconds = Annotated[int, BeforeValidator(seconds_of), Field(ge=1, le=31 * 86400)]
"""Written as ``90``, ``90s``, ``15m``, ``2h`` or ``1d``."""
Image = Annotated[str, Field(max_length=512)]

_IMAGE = re.compile(
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[0-9]+(?=/))?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?"
)
_KUBEFLOWS_OWN = "/kfp-workspace/"
_OURS = frozenset(
    {"PATH", "PYTHONPATH", "PYTHONHOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "EVERLOOP_HOME"}
)
"""Variables that the image and the platform's ``workspace`` set."""
_SECRET_NAME = re.compile(r"key|token|passw|secret|credential|slack_url|smtp_url", re.IGNORECASE)
_PLACE_OF_SECRET = re.compile(r"_(path|file)$", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(
    r"://[^/\s:@]*:[^/\s@]+@|[?&;](?:password|passwd|pwd|token|secret|sslpassword)=", re.IGNORECASE
)
_NO_ZONES = frozenset({"localtime", "Factory", "posixrules"})


def _zone(name: str) -> str:
    known = available_timezones() - _NO_ZONES
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "write one such as Europe/Berlin"
        raise ValueError(f"this is no time zone ({hint})")
    return name


def _or_nothing(value: Any) -> Any:
    """A key without a value says nothing."""
    return {} if value is None else value


def _checked_host(host: str) -> str:
    parts = urlsplit(host)
    if parts.username or parts.password or "@" in parts.netloc:
        raise ValueError("the address holds a password (put a token into EVERLOOP_KUBEFLOW_TOKEN)")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the address names no port (write 1 to 65535)") from None
    return host


def _checked_image(image: str) -> str:
    found = _IMAGE.fullmatch(image)
    if found is None:
        raise ValueError("this is no image (write registry/name:tag or registry/name@sha256:…)")
    if not found["digest"] and found["tag"] in (None, "latest"):
        raise ValueError(
            "the image names no fixed version, so tonight's code could differ from yesterday's "
            "(add a tag other than latest, or better a digest)"
        )
    return image


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CpuShare(_Value):
    """What is reserved, and what may not be exceeded; a limit alone is its own request."""

    request: Cpu | None = None
    limit: Cpu | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.request and self.limit and cpu_cores(self.request) > cpu_cores(self.limit):
            raise ValueError(f"request {self.request} is above limit {self.limit}")
        return self


class MemoryShare(_Value):
    """What is reserved, and where a step is killed."""

    request: Memory | None = None
    limit: Memory | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.request and self.limit and memory_bytes(self.request) > memory_bytes(self.limit):
            raise ValueError(f"request {self.request} is above limit {self.limit}")
        return self


class Accelerator(_Value):
    """``type`` is the resource that the cluster's device plug-in offers, such as ``nvidia.com/gpu``."""

    type: Annotated[
        str,
        _matching(
            r"[a-z0-9.\-]+/[A-Za-z0-9_.\-]+",
            "this is no resource of a device plug-in (write nvidia.com/gpu)",
        ),
    ]
    count: Annotated[int, Field(ge=1, le=64, strict=True)] = 1


class Retries(_Value):
    """After a failure: ``count`` more attempts; the first waits ``backoff``, each later one ``factor``
    times as long, never longer than ``longest``."""

    count: Annotated[int, Field(ge=0, le=20, strict=True)]
    backoff: Seconds = 30
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    longest: Seconds = 3600

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.backoff > self.longest:
            raise ValueError(f"backoff {self.backoff} s is above longest {self.longest} s")
        return self


class Toleration(_Value):
    """A taint that a step's pod may ignore; see Kubernetes' documentation of taints."""

    key: LabelKey | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError("operator Exists takes no value (leave value out)")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("operator Equal needs a key (name the taint, or use Exists)")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("seconds belong to effect NoExecute")
        return self


class SecretKey(_Value):
    """One entry of a Kubernetes Secret."""

    secret: KubernetesName
    key: Annotated[
        str,
        _matching(
            r"[A-Za-z0-9_.\-]{1,253}",
            "this is no key of a Secret (write letters, digits, -, _ and .)",
        ),
    ]


class EmptyDir(_Value):
    """Scratch space that lives as long as the step's pod. ``in_memory`` counts against its memory."""

    size: Memory | None = None
    in_memory: bool = False


class Volume(_Value):
    """Exactly one of a volume claim, scratch space or a secret's files, at ``mount_path``."""

    mount_path: AbsolutePath
    pvc: KubernetesName | None = None
    sub_path: str = ""
    empty_dir: EmptyDir | None = None
    secret: KubernetesName | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        given = [n for n in ("pvc", "empty_dir", "secret") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a volume is one of pvc, empty_dir and secret, not {' and '.join(given) or 'none'}"
            )
        if f"{self.mount_path}/".startswith(_KUBEFLOWS_OWN):
            raise ValueError(f"{_KUBEFLOWS_OWN} is Kubeflow's own (choose another mount_path)")
        within = self.sub_path.startswith("/") or ".." in self.sub_path.split("/")
        if self.sub_path and (self.pvc is None or within):
            raise ValueError("sub_path is a relative path within a pvc, without ..")
        return self


class StepNeeds(_Value):
    """What one step's pod asks for; every field may be left out.

    Attributes:
        image: another image than the platform's, such as its GPU variant.
        cpu, memory, accelerator: resources.
        retries: after a failure; steps are idempotent, a repeated one pays no budget twice.
        timeout: seconds after which the pod is ended, attempts counted one by one.
        node_selector, tolerations: where it may run.
        env: variables in plain text; ``secrets``: variables filled from Kubernetes Secrets.
        volumes: what is mounted.
        labels, annotations: of the pod.
        image_pull_policy, image_pull_secrets: how the image is fetched.
        run_as_user, run_as_group: numeric ids, where the cluster forbids root; the image's own otherwise.
    """

    image: Image | None = None
    cpu: CpuShare = CpuShare()
    memory: MemoryShare = MemoryShare()
    accelerator: Accelerator | None = None
    retries: Retries | None = None
    timeout: Seconds | None = None
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
    env: dict[VariableName, str] = {}
    secrets: dict[VariableName, SecretKey] = {}
    volumes: tuple[Volume, ...] = ()
    labels: dict[LabelKey, LabelValue] = {}
    annotations: dict[str, str] = {}
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: tuple[KubernetesName, ...] = ()
    run_as_user: Annotated[int, Field(ge=1)] | None = None
    run_as_group: Annotated[int, Field(ge=1)] | None = None

    _image = field_validator("image")(lambda image: image and _checked_image(image))

    @field_validator("env")
    @classmethod
    def _no_secret_in_plain_text(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            named = _SECRET_NAME.search(name) and not _PLACE_OF_SECRET.search(name)
            if named or _PASSWORD_IN_URL.search(value):
                raise ValueError(
                    f"{name} would stand in plain text in the pipeline (put it into a Secret and name "
                    f"that under secrets)"
                )
        return env

    @field_validator("annotations")
    @classmethod
    def _no_password_in_annotations(cls, annotations: dict[str, str]) -> dict[str, str]:
        for name, value in annotations.items():
            if _PASSWORD_IN_URL.search(value):
                raise ValueError(f"annotation {name} would show a password (leave it out)")
        return annotations

    @field_validator("env", "secrets")
    @classmethod
    def _nothing_that_the_image_sets(cls, given: dict[str, Any]) -> dict[str, Any]:
        if ours := sorted(_OURS & set(given)):
            raise ValueError(f"{ours[0]} is set by the image and by workspace (leave it out)")
        return given

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if both := sorted(set(self.env) & set(self.secrets)):
            raise ValueError(f"{both[0]} is given in env and in secrets (keep one)")
        paths = [volume.mount_path for volume in self.volumes]
        if twice := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"two volumes are mounted at {twice[0]} (keep one)")
        return self

    def over(self, below: StepNeeds) -> StepNeeds:
        """These needs on top of more general ones.

        Single values replace; mappings are merged by key, volumes by mount path; tolerations add up. A
        variable given here as ``env`` takes the place of a secret of its name below, and the reverse.
        """
        merged: dict[str, Any] = {}
        for name in type(self).model_fields:
            mine, theirs = getattr(self, name), getattr(below, name)
            if isinstance(mine, dict):
                merged[name] = theirs | mine
            elif isinstance(mine, CpuShare | MemoryShare):
                given = {key: getattr(mine, key) for key in mine.model_fields_set}
                merged[name] = type(mine).model_validate(theirs.model_dump() | given)
            else:
                merged[name] = mine if name in self.model_fields_set else theirs
        for one, other in (("env", "secrets"), ("secrets", "env")):
            taken = set(getattr(self, other))
            merged[one] = {key: value for key, value in merged[one].items() if key not in taken}
        mounted = {volume.mount_path: volume for volume in (*below.volumes, *self.volumes)}
        merged["volumes"] = tuple(mounted.values())
        added = (*below.tolerations, *self.tolerations)
        merged["tolerations"] = tuple(dict.fromkeys(added))
        return StepNeeds.model_validate(merged)


class Platform(_Value):
    """One cluster: where Kubeflow is, what runs there, and what each step may use.

    Attributes:
        host: address of Kubeflow Pipelines, as the browser shows it.
        namespace: the profile that owns the runs; empty where Kubeflow knows only one user.
        experiment: what runs are filed under.
        image: what every step runs in; fixed by tag or digest.
        pipeline_root: where Kubeflow keeps artifacts; empty: the cluster's default.
        service_account: what the steps' pods run as; empty: the cluster's default.
        workspace: the workspace folder inside the containers.
        caching: whether Kubeflow may take a step's result from an earlier run with the same inputs.
        cron_zone: the zone that Kubeflow reads schedules in: its setting ``cronScheduleTimezone``.
        token_path: file with a bearer token for the host; empty: ``EVERLOOP_KUBEFLOW_TOKEN``, or the pod's
            own token inside a cluster.
        ca_file: certificates that the host's is checked with; empty: the system's.
        defaults: needs of every step; ``steps`` names those that differ, by stage.
    """

    host: Annotated[
        str,
        _matching(
            r"https?://[^\s/?#]+(/[^\s?#]*)?",
            "this is no address (write https://kubeflow.example.com/pipeline)",
        ),
        AfterValidator(_checked_host),
    ]
    namespace: Namespace = ""
    experiment: Annotated[str, Field(min_length=1, max_length=128)] = "everloop"
    image: Image
    pipeline_root: Annotated[
        str,
        _matching(
            r"((gs|s3|minio)://\S+)?", "this is no place for artifacts (write gs://bucket/path)"
        ),
    ] = ""
    service_account: NameOrNone = ""
    workspace: AbsolutePath = "/workspace"
    caching: bool = True
    cron_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    token_path: PathOrNone = ""
    ca_file: PathOrNone = ""
    defaults: Annotated[StepNeeds, BeforeValidator(_or_nothing)] = StepNeeds()
    steps: Annotated[dict[str, StepNeeds], BeforeValidator(_or_nothing)] = {}

    _image = field_validator("image")(_checked_image)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        for stage, needs in self.steps.items():
            try:
                needs.over(self.defaults)
            except ValueError as problem:
                said = f"steps.{stage} does not fit defaults: {_first(problem)}"
                raise ValueError(said) from None
        return self

    def needs_of(self, stage: str) -> StepNeeds:
        """What a stage's pod asks for: its own needs on top of the defaults."""
        needs = self.steps.get(stage, StepNeeds()).over(self.defaults)
        return needs if needs.image else needs.model_copy(update={"image": self.image})


def _first(problem: ValueError) -> str:
    errors = getattr(problem, "errors", None)
    return str(errors()[0]["msg"]).removeprefix("Value error, ") if errors else str(problem)
