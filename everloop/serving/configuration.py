"""How a service is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """How a service is run.

    Attributes:
        home: the workspace folder; ``None``: as the environment says.
        loops: shipped names or YAML files of the loops that it serves, at least one.
        queue_limit: records that may wait for a commit; beyond it requests are told to come back.
        linger_ms: how long a commit waits for company.
        requests_per_second, request_burst: token bucket of each tenant's records, in this process.
        session_per_second, session_burst: token bucket of each session's feedback.
        decision_days: how long a decision that nobody confirmed is kept.
        train: whether this process starts training, and works on synthetic jobs, by itself.
        workers: how many processes serve together.
        worker: the number of this one, from 0.
        metrics_folder: where several workers leave their figures for one another.
    """

    home: Path | str | None = None
    loops: tuple[str, ...] = ("companion",)
    queue_limit: int = 20_000
    linger_ms: float = 1.0
    requests_per_second: float = 50_000.0
    request_burst: float = 100_000.0
    session_per_second: float = 2.0
    session_burst: float = 20.0
    decision_days: float = 30.0
    train: bool = True
    workers: int = 1
    worker: int = 0
    metrics_folder: Path | None = None

    def __post_init__(self) -> None:
        if not self.loops:
            raise ShouldFixArgument("The service has no loop to serve.", "Give --loop.")
        for name in (
            "queue_limit",
            "requests_per_second",
            "request_burst",
            "session_per_second",
            "session_burst",
            "decision_days",
        ):
            if not getattr(self, name) > 0:
                raise ShouldFixArgument(f"{name}={getattr(self, name)} is not above 0.")
