"""How long a trial would take, and which effect it would find, from what a loop has logged."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from everloop.contracts.encoded_file import load_encoded
from everloop.contracts.errors import ShouldCollectMoreData
from everloop.contracts.models import RunRecord
from everloop.loops import load
from everloop.rollout.experiment.planner import TrialPlan, past_of, plan
from everloop.wiring import open_workspace
from pipelines.daily_learning import NAME

_DAY_S = 86_400.0
_NEWEST = 5_000
"""Runs that are looked through, of every graph: a month of hourly looks lies between two nights at most."""


def plan_trial(loop: str, *, tenant: str = "default", home: Path | str | None = None) -> TrialPlan:
    """Plan a trial along the loop's ramp, from the newest daily run that aggregated rewards.

    Other graphs read other windows: the hourly look at a trial would plan the next one from the last.

    Raises:
        ShouldCollectMoreData: no run has, or its rewards say nothing of how rewards vary; it names the run.
    """
    spec, workspace = load(loop), open_workspace(home)
    found = next(
        (
            (run, place)
            for run in workspace.runs.runs(spec.name, _NEWEST)
            if (run.pipeline, run.tenant) == (NAME, tenant)
            and (place := _episodes_of(run)) is not None
        ),
        None,
    )
    if found is None:
        raise ShouldCollectMoreData(
            f"No run of loop {spec.name!r} has aggregated rewards.",
            f"Run everloop run daily --loop {spec.name} first.",
        )
    run, place = found
    episodes = load_encoded(place)
    ours = ~episodes.comparison
    days = (episodes.timestamp[ours] // _DAY_S).astype(np.int64)
    rewards, least = episodes.reward[ours], spec.reward.attainable_low
    try:
        past = past_of(episodes.person[ours], days, rewards, least)
    except ShouldCollectMoreData as problem:
        raise ShouldCollectMoreData(
            f"Run {run.run_id}: {problem.message}", problem.remedy
        ) from None
    return plan(spec.rollout, past)


def _episodes_of(run: RunRecord) -> Path | None:
    for stage in run.stages:
        place = stage.artefacts.get("episodes")
        if place is not None and Path(place).exists():
            return Path(place)
    return None
