"""Whether requests would be served: what is asked of each part, and told to anybody.

Nobody has to say who they are to ask, so that answers say what is wrong and never where.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from everloop.contracts.errors import (
    EverloopError,
    ShouldFreeDisk,
    ShouldInitWorkspace,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.serving.service import Service
from everloop.storage.sql.engine import require_writable

_WORDS: tuple[tuple[type[EverloopError], str], ...] = (
    (ShouldFreeDisk, "the disk is full"),
    (ShouldRestoreArtefact, "the database is damaged, or not where it was"),
    (ShouldInitWorkspace, "the database is not this workspace's, or may not be changed"),
    (ShouldRetryLater, "the database does not answer, or cannot be written"),
)


class Part(BaseModel):
    """One part of the service; ``ok`` is false where requests would fail."""

    name: str
    ok: bool
    detail: str = ""


def parts(service: Service) -> list[Part]:
    """Every part; reads from the database and blocks while it does."""
    return [
        _ingest(service),
        _database(service),
        *(_thread(service, name) for name in service.threads),
        *_models(service),
    ]


def _ingest(service: Service) -> Part:
    queue = service.queue
    failure = queue.failure
    if not queue.alive:
        return Part(name="ingest", ok=False, detail="the writer has ended")
    if failure is not None:
        return Part(name="ingest", ok=False, detail=f"the last commit failed: {_said(failure)}")
    return Part(name="ingest", ok=True, detail=f"{queue.waiting} records waiting")


def _database(service: Service) -> Part:
    try:
        require_writable(service.workspace.engine)
        service.workspace.runs.runs(limit=1)
    except EverloopError as problem:
        return Part(name="database", ok=False, detail=_said(problem))
    except Exception as problem:
        return Part(name="database", ok=False, detail=type(problem).__name__)
    return Part(name="database", ok=True)


def _thread(service: Service, name: str) -> Part:
    """One that works and has something to complain about doesn't make the service unready."""
    if not service.threads[name]():
        return Part(name=f"thread:{name}", ok=False, detail="has ended")
    complaint = service.complaints.get(name, str)()
    return Part(name=f"thread:{name}", ok=True, detail=complaint)


def _models(service: Service) -> Iterator[Part]:
    """A loop without a sound model still decides, so it doesn't make the service unready."""
    for loop in service.loops:
        name = f"decisions:{loop}"
        try:
            state = service.decisions.state("default", loop)
        except Exception as problem:
            yield Part(name=name, ok=False, detail=type(problem).__name__)
        else:
            more = ", degraded" if state.degraded else ""  # its words name files
            yield Part(name=name, ok=True, detail=f"{state.active or 'no model yet'}{more}")


def _said(problem: EverloopError) -> str:
    words = next(
        (words for kind, words in _WORDS if isinstance(problem, kind)), "it cannot be used"
    )
    return f"{type(problem).__name__}: {words}"
