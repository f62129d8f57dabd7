"""Search for a loop's training settings, on the releases that a dataset version led to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from everloop.sdk.policies.folder import Question, held
from everloop.sdk.policies.source import asked_of, learning_source, require_address
from everloop.wiring import open_workspace

if TYPE_CHECKING:
    from rl.tune.sweep import SweepResult, TrialRow

FOLDER = "tuning"
"""Within the workspace: a folder for each loop, user model and search space."""

RESULTS = ("trials.json", "best")
"""What a finished search leaves in its folder; trials in progress have a folder for each search."""

Progress = Callable[["TrialRow"], None]


def tune_policy(
    named: str,
    space: tuple[str, ...],
    *,
    trials: int = 8,
    scheduler: Literal["asha", "pbt"] = "asha",
    cpus: int = 1,
    seed: int = 0,
    loop: str = "",
    settings: tuple[str, ...] = (),
    address: str | None = None,
    out: Path | str | None = None,
    fresh: bool = False,
    home: Path | str | None = None,
    progress: Progress | None = None,
) -> SweepResult:
    """Try settings of a policy's training with Ray Tune; a sweep that was killed goes on.

    Trials are judged on synthetic people that none of them trains on; the real holdout is not looked
    at, and no privacy is spent.

    Args:
        named, loop, settings: see ``everloop.sdk.policies.source.asked_of``.
        space: what varies, as ``training.learning_rate=loguniform(1e-4,1e-2)``; see ``rl.tune.space``.
        trials, scheduler, cpus, seed: see ``rl.tune.plan.SweepPlan``.
        address: ``host:port`` of a running Ray cluster whose nodes share the folder.
        out: folder for the sweep; by default one in the workspace.
        fresh: begin anew even if this sweep was begun before, and replace what another one has left.
        home: the workspace.
        progress: hears of every report of a trial.

    Raises:
        ShouldFixArgument, ShouldFixLoopSpec, ShouldCollectMoreData: nothing was started.
        ShouldWaitForWorker: another process searches in this folder.
        ShouldResolveConflict: the folder holds what another search found.
        ShouldProvideKey, ShouldRetryLater: the cluster is not there, or does not let us in.
    """
    from rl.tune.plan import SweepPlan
    from rl.tune.space import parse_space

    require_address(address)
    workspace = open_workspace(home)
    of = asked_of(workspace, named, loop, settings)
    plan = SweepPlan(parse_space(space, of.spec), trials, scheduler, cpus, seed)
    source = learning_source(workspace, of)
    ids = [used.release_id for used in source.releases]
    asked = (source.spec.checksum, *ids, scheduler, str(trials), str(seed), *sorted(space))
    digest = hashlib.sha256("\0".join(asked).encode()).hexdigest()
    folder = Path(out) if out else workspace.home / FOLDER / f"{source.spec.name}-{digest[:12]}"
    # Ray and torch take seconds to load, and what is wrong so far is told without them
    from rl.tune.sweep import sweep

    told = f"a search of {trials} trials for {source.spec.name} on {source.name}"
    with held(folder, Question(digest, told), RESULTS, fresh):
        return sweep(
            source.spec, source.model, source.profiles, plan, folder, address, fresh, progress
        )
