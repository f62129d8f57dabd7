"""One night of learning in this process: the bodies of the graph's own steps, in the graph's order.

kfp starts a process for every step, which reimports torch, ray and Great Expectations each time. Here
they are imported once and each step's function is called as it stands, on plain folders.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.daily_learning import STAGES
from pipelines.local_run import PROGRESS_MARK, StageEvent

EventSink = Callable[[StageEvent], None]

SKIPPED = ("start_rollout",)
"""A tour has no days to ramp a trial up: what the gate lets through serves everybody the next day."""

OF_THE_CHOSEN = ("explain", "gate", "register")
"""The steps whose policy is the one that the comparison chose; the report shows PPO's training."""

_BRANCHES = ("validate_episodes", "fit_user_model", "generate_profiles")
"""The steps whose answer False ends a night early; its report says why."""


@dataclass
class Output:
    """What kfp hands a step as an artifact: where it writes, and what it says of it."""

    path: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class Night:
    """The outcome of a night's steps.

    Attributes:
        folder: one subfolder a step.
        outputs: artifact name, such as "policy" -> where it lies.
        seconds: wall time of each step that ran.
        ended_at: the step that ended the night early, "" when all ran.
        reason: why it did.
    """

    folder: Path
    outputs: dict[str, Output] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    ended_at: str = ""
    reason: str = ""

    def path(self, name: str) -> Path:
        """Where an artifact lies."""
        return Path(self.outputs[name].path)


def learn(arguments: Mapping[str, str], folder: Path, on_event: EventSink) -> Night:
    """Run the daily graph's steps for a date.

    A night that was killed is run anew from its beginning: its dataset is pinned, its releases are
    kept by the ledger and its training goes on from its checkpoint, so that it ends the same and
    costs no further budget.

    Args:
        arguments: the graph's parameters by name.
        folder: where the steps write; emptied first.
        on_event: called as steps start, progress and end.

    Raises:
        EverloopError: what a step raised.
    """
    shutil.rmtree(folder, ignore_errors=True)
    night = Night(folder)
    with _quiet():
        for stage in STAGES:
            if stage in SKIPPED or (night.ended_at and stage != "report"):
                continue
            answer = run_step(stage, arguments, night, on_event)
            if answer is False and stage in _BRANCHES:
                night.ended_at = stage
                night.reason = _summary(stage, night)
    return night


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Great Expectations logs its own folders, and sets its level itself when it is imported."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


def run_step(stage: str, arguments: Mapping[str, object], night: Night, on_event: EventSink) -> Any:
    """Run one step of the graph on a night's artifacts so far, and add what it made to them.

    Raises:
        EverloopError: what the step raised.
    """
    step = getattr(importlib.import_module(f"components.{stage}"), stage)
    made = {
        name: Output(str(_place(night.folder, stage, name)))
        for name in step.component_spec.outputs
        if name != "Output"
    }
    wanted = step.component_spec.inputs
    given: dict[str, object] = {n: arguments[n] for n in wanted if n in arguments}
    given |= {name: night.outputs[name] for name in wanted if name in night.outputs}
    if stage in OF_THE_CHOSEN and "policy" in given:
        given["policy"] = night.outputs["chosen"]
    on_event(StageEvent(stage, "started"))
    started = time.perf_counter()
    with contextlib.redirect_stdout(_Progress(stage, on_event)):
        answer = step.python_func(**given, **made)
    night.seconds[stage] = time.perf_counter() - started
    night.outputs |= {name: output for name, output in made.items() if name not in _OWN}
    night.outputs[f"{stage}.page"] = made["page"]
    on_event(StageEvent(stage, "succeeded", night.seconds[stage], _said(made)))
    return answer


_OWN = ("page", "metrics")
"""Outputs that every step has."""


def _place(folder: Path, stage: str, name: str) -> Path:
    place = folder / stage / name
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _said(made: Mapping[str, Output]) -> str:
    return next((str(o.metadata["summary"]) for o in made.values() if "summary" in o.metadata), "")


def _summary(stage: str, night: Night) -> str:
    found = (o.metadata for o in night.outputs.values() if o.metadata.get("stage") == stage)
    return next((str(told["summary"]) for told in found), "")


class _Progress(io.TextIOBase):
    """Receives what a step prints; its progress lines become events."""

    def __init__(self, stage: str, on_event: EventSink) -> None:
        self._stage, self._on_event, self._rest = stage, on_event, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            _, mark, told = line.partition(PROGRESS_MARK)
            if mark:
                self._on_event(StageEvent(self._stage, "progress", text=told))
        return len(text)
