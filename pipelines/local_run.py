"""Run a compiled graph on this machine through ``kfp.local``, watched and resumable.

Finished steps are kept in kfp's own cache beside the run, so a killed run continues where it was and a
rerun of the same date takes seconds. kfp.local reports only on stdout; the watcher turns its lines
into events and keeps every line in a log.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kfp import components, local
from kfp.local import cache as kfp_cache

from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.models import StageRecord
from everloop.settings import Containers
from pipelines.containers import in_containers
from pipelines.local_placeholders import no_schedule

PROGRESS_MARK = "@progress "
"""A step prints this and a text to show how far it is."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '([^']+)'")
_FINISHED = re.compile(r"Task '([^']+)' finished with status (SUCCESS|FAILURE)")
_CACHED = re.compile(r"Task (\S+) cache hit")
_ERROR = re.compile(
    r"^\s*(?:[\w.]+\.)?((?:Should\w+|\w*Error|\w*Exception|KeyboardInterrupt)): ?(.*)$"
)
_COPY = re.compile(r"-\d+$")


@dataclass(frozen=True, slots=True)
class StageEvent:
    """Something happened in a stage: it started, says how far it is, or ended."""

    stage: str
    kind: Literal["started", "progress", "succeeded", "cached", "failed"]
    seconds: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class LocalOutcome:
    """What a local run left: the stages in the order they ended, and the error if one failed."""

    stages: tuple[StageRecord, ...]
    error: str = ""


def stage_of(task: str) -> str:
    """``report-2`` -> ``report``: the stage that a task of the compiled graph runs."""
    return _COPY.sub("", task).replace("-", "_")


@dataclass
class _Watcher(io.TextIOBase):
    """Receives everything kfp.local prints; turns it into events and stage records."""

    on_event: Callable[[StageEvent], None]
    log: Any
    records: dict[str, StageRecord] = field(default_factory=dict)
    current: str = ""
    started: float = 0.0
    last_error: str = ""
    rest: str = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.log.write(_ANSI.sub("", text))
        self.rest += text
        *lines, self.rest = self.rest.split("\n")
        for line in lines:
            self.line(_ANSI.sub("", line))
        return len(text)

    def flush(self) -> None:
        self.log.flush()

    def line(self, line: str) -> None:
        if found := _STARTED.search(line):
            self.current, self.started = stage_of(found[1]), time.perf_counter()
            self.on_event(StageEvent(self.current, "started"))
        elif found := _FINISHED.search(line):
            if found[2] == "FAILURE":
                self.end(stage_of(found[1]), "failed", {})
        elif PROGRESS_MARK in line:
            text = line.split(PROGRESS_MARK, 1)[1]
            self.on_event(StageEvent(self.current, "progress", self.elapsed(), text))
        elif found := _ERROR.match(line):
            self.last_error = f"{found[1]}: {found[2]}"

    def elapsed(self) -> float:
        return time.perf_counter() - self.started

    def end(
        self,
        stage: str,
        outcome: Literal["succeeded", "cached", "failed"],
        outputs: Mapping[str, Any],
    ) -> None:
        artefacts = {name: value for name, value in outputs.items() if hasattr(value, "uri")}
        told: dict[str, Any] = {}
        for artefact in artefacts.values():
            if "summary" in artefact.metadata:
                told = artefact.metadata
        seconds = 0.0 if outcome == "cached" else self.elapsed()
        summary = self.last_error if outcome == "failed" else str(told.get("summary", ""))
        self.records[stage] = StageRecord(
            stage=stage,
            outcome=outcome,
            seconds=seconds,
            summary=summary,
            metrics={
                name.removeprefix("metric_"): float(value)
                for name, value in told.items()
                if name.startswith("metric_")
            }
            | ({"compute_seconds": float(told["seconds"])} if "seconds" in told else {}),
            artefacts={name: str(value.uri) for name, value in artefacts.items()},
        )
        self.on_event(StageEvent(stage, outcome, seconds, summary))


class _CacheHits(logging.Handler):
    """kfp logs cache hits outside its own logging context."""

    def __init__(self, watcher: _Watcher, outputs: dict[str, Any]) -> None:
        super().__init__()
        self.watcher, self.outputs = watcher, outputs

    def emit(self, record: logging.LogRecord) -> None:
        if found := _CACHED.search(record.getMessage()):
            self.watcher.end(stage_of(found[1]), "cached", self.outputs)


def run_locally(
    graph: Path,
    arguments: Mapping[str, str | int],
    folder: Path,
    on_event: Callable[[StageEvent], None],
    repeat: Collection[str] = (),
    containers: Containers | None = None,
    mounted: Path | None = None,
) -> LocalOutcome:
    """Run a compiled graph; every stage is a subprocess of its own, or a container.

    The caller holds ``exclusive(folder)``.

    Args:
        graph: the compiled YAML.
        arguments: the graph's parameters.
        folder: where artefacts, cache and log of this loop and date are kept.
        on_event: called as stages start, report progress and end.
        repeat: stages that are run although their results are kept.
        containers: how each stage's container is started; None runs subprocesses.
        mounted: the folder that containers see, at its own path; it holds ``folder``, its default.

    Raises:
        ShouldProvideEngine, ShouldFixArgument: as ``in_containers`` does; nothing was started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "run.log").open("w", encoding="utf-8") as log, contextlib.ExitStack() as stack:
        watcher = _Watcher(on_event, log)
        place = stack.enter_context(_runner(containers, mounted or folder))
        stack.enter_context(no_schedule())
        local.init(
            runner=place,
            pipeline_root=str(folder / "artifacts"),
            enable_caching=True,
            cache_root=str(folder / "cache"),
            raise_on_error=True,
        )
        with _recorded_cache(watcher, repeat), _temporary_files(folder), warnings.catch_warnings():
            # kfp warns about settings that only a cluster honours.
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(watcher):
                try:
                    components.load_component_from_file(str(graph))(**arguments)
                except RuntimeError as problem:
                    error = watcher.last_error or str(problem)
                    return LocalOutcome(tuple(watcher.records.values()), error)
        return LocalOutcome(tuple(watcher.records.values()))


@contextlib.contextmanager
def _runner(containers: Containers | None, mounted: Path) -> Iterator[Any]:
    if containers is None:
        yield local.SubprocessRunner(use_venv=False)
    else:
        with in_containers(containers, mounted):
            yield local.DockerRunner()


@contextlib.contextmanager
def _recorded_cache(watcher: _Watcher, repeat: Collection[str]) -> Iterator[None]:
    """Learn each task's outputs where kfp stores and finds them: its log has no machine form.

    A stage to be repeated misses the cache and then replaces its own result, so that results for
    other parameters stay.
    """
    cache: Any = kfp_cache.get_local_cache()
    found: dict[str, Any] = {}
    asked = ""
    compute_key, get, put = cache.compute_key, cache.get, cache.put

    def recorded_key(component_name: str, **terms: Any) -> Any:
        nonlocal asked
        asked = stage_of(component_name.removeprefix("comp-"))
        return compute_key(component_name=component_name, **terms)

    def recorded_get(key: str) -> Any:
        outputs = None if asked in repeat else get(key)
        found.clear()
        found.update(outputs or {})
        return outputs

    def recorded_put(key: str, outputs: Any) -> None:
        put(key, outputs)
        watcher.end(watcher.current, "succeeded", outputs)

    cache.compute_key, cache.get, cache.put = recorded_key, recorded_get, recorded_put
    root, handler = logging.getLogger(), _CacheHits(watcher, found)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        kfp_cache.reset_local_cache_singleton()


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a run's folder against other processes; ``ShouldResolveConflict`` when one has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ShouldResolveConflict(
                f"Another process is running {folder.parent.parent.name} for {folder.name}.",
                "Wait for it, or stop it first.",
            ) from None
        yield


@contextlib.contextmanager
def _temporary_files(folder: Path) -> Iterator[None]:
    """Each kfp.local task leaks a temporary folder; keep them under the run and remove them."""
    place = folder / "tmp"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    before, tempfile.tempdir = os.environ.get("TMPDIR"), None
    os.environ["TMPDIR"] = str(place)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
        shutil.rmtree(place, ignore_errors=True)
