"""What Kubeflow knows of versions and runs, as far as we read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class RunState(StrEnum):
    """Kubeflow's states of a run, and of a task in it."""

    UNKNOWN = "RUNTIME_STATE_UNSPECIFIED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    PAUSED = "PAUSED"

    @classmethod
    def of(cls, text: str | None) -> RunState:
        """The state of that name; one that we do not know is not ended."""
        return cls(text) if text in set(cls) else cls.UNKNOWN

    @property
    def ended(self) -> bool:
        """Whether it stays so."""
        return self in {self.SUCCEEDED, self.SKIPPED, self.FAILED, self.CANCELED}

    @property
    def failed(self) -> bool:
        """Whether another attempt is due."""
        return self in {self.FAILED, self.CANCELED, self.CANCELING}


@dataclass(frozen=True, slots=True)
class UploadedVersion:
    """A compiled graph on the cluster. ``new``: it was not there before."""

    pipeline_id: str
    version_id: str
    name: str
    new: bool


@dataclass(frozen=True, slots=True)
class ClusterTask:
    """One task of a run, by its name in the compiled graph."""

    name: str
    state: RunState
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """A run on the cluster.

    Attributes:
        name: what the UI lists it as.
        url: where the UI shows it.
        error: what Kubeflow says of one that failed.
        tasks: as far as they have begun.
        parameters: what it was started with.
    """

    run_id: str
    name: str
    state: RunState
    url: str
    created_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""
    tasks: tuple[ClusterTask, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    new: bool = True
    """False: it had been submitted before, and was found."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run to be submitted.

    Attributes:
        graph: name of the graph, which is the pipeline's name.
        package: its compiled YAML.
        version: name of the version; the same for the same file.
        name: the same for the same question, so that a question is not asked twice.
        parameters: of the graph.
        job: it is a job's, whose run somebody may have ended for good.
    """

    graph: str
    package: Path
    version: str
    name: str
    parameters: Mapping[str, str | int]
    job: bool = False
