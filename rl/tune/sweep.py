"""Many trials: Ray Tune with ASHA or population-based training, continued where it was killed."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
import io
import logging
import math
import shutil
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune
from ray.tune import Result
from ray.tune.callback import Callback
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from ray.tune.search.basic_variant import BasicVariantGenerator

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from everloop.contracts.sweeps import SweepTable, TrialRow
from rl.ppo.cluster import connected
from rl.ppo.result import TrainingResult
from rl.ppo.training import finish
from rl.tune.objective import JOURNEYS_AGAIN, doubts_seed, simulated_return
from rl.tune.plan import SweepPlan
from rl.tune.space import Dimension, Value
from rl.tune.trial import RETURN, PolicyTrial, Task, estimate_of, read_trial

__all__ = ["SweepResult", "SweepTable", "TrialRow", "sweep"]

STATE = "tune"
TABLE_FILE = "trials.json"
BEST_FOLDER = "best"
_CODE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class SweepResult:
    """A finished sweep: its table, the file it is in, and the best trial's exported policy."""

    table: SweepTable
    path: Path
    best: TrainingResult
    continued: bool

    @property
    def judged_again(self) -> Estimate:
        """The best policy's return with people and doubts that no trial met."""
        return self.table.judged_again


Progress = Callable[[TrialRow], None]


def sweep(
    spec: LoopSpec,
    model: UserModel,
    profiles: ProfileBatch,
    plan: SweepPlan,
    folder: Path,
    address: str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> SweepResult:
    """Try settings and export the policy of the best trial.

    A trial is worth the simulated return of its policy with held-out synthetic people; the real
    holdout is never looked at, so any number of trials costs the gate nothing. The best of many is
    optimistic, so its policy is judged once more, on people and doubts that no trial met. A sweep that
    was killed goes on from its trials' last checkpoints; one with other arguments starts anew.

    Args:
        spec: the loop.
        model: the private user model.
        profiles: the private synthetic people.
        plan: what is searched.
        folder: receives the sweep's state, ``trials.json`` and the best policy in ``best/``.
        address: of a Ray cluster whose nodes share ``folder``; by default Ray is started here.
        fresh: begin anew even if this sweep was begun before.
        progress: hears of every report of a trial.

    Raises:
        ShouldFixArgument: arguments that do not fit, or no trial came to a result.
        ShouldRetryLater, ShouldProvideKey: the cluster is not there, or does not let us in.
    """
    fingerprint = _fingerprint(spec, model, profiles, plan)
    task = Task(spec, model, profiles, plan.seed, fingerprint)
    task.judge()
    state = folder / STATE / fingerprint[:16]
    if fresh:
        shutil.rmtree(state, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with connected(address, plan.cpus):
        trainable = tune.with_resources(tune.with_parameters(PolicyTrial, task=task), {"cpu": 1})
        continued = bool(tune.Tuner.can_restore(str(state)))
        tuner = (
            tune.Tuner.restore(str(state), trainable, resume_unfinished=True, resume_errored=True)
            if continued
            else _tuner(trainable, task, plan, state)
        )
        token = _LISTENER.set(progress)
        try:
            with redirect_stdout(io.StringIO()):  # Tune prints tables of its own
                grid = tuner.fit()
        finally:
            _LISTENER.reset(token)
    iterations = spec.training.iterations
    rows = sorted(
        ((_row(result, iterations), result) for result in grid), key=lambda pair: -_worth(pair[0])
    )
    if not rows or rows[0][0].value is None:
        raise ShouldFixArgument(
            f"No trial came to a result: {rows[0][0].ended if rows else 'none was started'}.",
            "Try one setting with everloop train policy.",
        )
    best_row, best_result = rows[0]
    best, again = _export(task, best_result, folder / BEST_FOLDER)
    table = SweepTable(
        trials=tuple(row for row, _ in rows),
        best=best_row.trial,
        judged_again=again,
        scheduler=plan.scheduler,
        user_model_release=model.release_id,
        profiles_release=profiles.release_id,
        sweep=fingerprint[:16],
    )
    path = documents.write(table, folder / TABLE_FILE)
    return SweepResult(table, path, best, continued)


def _tuner(trainable: Any, task: Task, plan: SweepPlan, state: Path) -> tune.Tuner:
    return tune.Tuner(
        trainable,
        param_space=_points(plan),
        tune_config=tune.TuneConfig(
            metric=RETURN,
            mode="max",
            num_samples=plan.trials,
            max_concurrent_trials=plan.cpus,
            scheduler=_scheduler(task, plan),
            search_alg=BasicVariantGenerator(random_state=plan.seed),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=state.name,
            storage_path=str(state.parent.absolute()),
            # all are kept: another trial may be told to go on from any of them
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, checkpoint_at_end=True),
            failure_config=tune.FailureConfig(max_failures=2),
            verbose=0,
            callbacks=[_Telling()],
        ),
    )


def _points(plan: SweepPlan) -> dict[str, Any]:
    """Tune's form of the space: setting -> domain."""
    return {dimension.setting: _domain(dimension) for dimension in plan.space.dimensions}


def _domain(dimension: Dimension) -> Any:
    if dimension.kind == "choice":
        return tune.choice(list(dimension.values))
    low, high = dimension.values
    if dimension.kind == "randint":
        return tune.randint(int(low), int(high) + 1)
    kind = tune.uniform if dimension.kind == "uniform" else tune.loguniform
    return kind(float(low), float(high))


def _scheduler(task: Task, plan: SweepPlan) -> ASHAScheduler | PopulationBasedTraining:
    if plan.scheduler == "asha":
        reports = -(-task.spec.training.iterations // task.every)
        return ASHAScheduler(
            time_attr="training_iteration", max_t=reports, grace_period=1, reduction_factor=3
        )
    return PopulationBasedTraining(
        time_attr="training_iteration",
        perturbation_interval=2,
        hyperparam_mutations=_points(plan),
        custom_explore_fn=plan.space.nearest,  # perturbation alone would leave the space
    )


class _Telling(Callback):  # type: ignore[misc]
    """Tells the listener of this process; Tune stores its callbacks, and a listener can't be stored."""

    def on_trial_result(self, *_: Any, trial: Any, result: dict[str, Any], **__: Any) -> None:
        listener = _LISTENER.get()
        if listener is not None:
            listener(_reported(trial.trial_id, trial.config, result, "running"))


_LISTENER: ContextVar[Progress | None] = ContextVar("listener", default=None)


def _row(result: Result, iterations: int) -> TrialRow:
    metrics, config = dict(result.metrics or {}), dict(result.config or {})
    ended = "finished" if metrics.get("iterations", 0) >= iterations else "stopped early"
    if result.error is not None:
        ended = str(getattr(result.error, "cause", None) or result.error).strip()[-300:]
    return _reported(str(metrics.get("trial_id", Path(result.path).name)), config, metrics, ended)


def _reported(
    trial: str, config: Mapping[str, Value], metrics: Mapping[str, Any], ended: str
) -> TrialRow:
    return TrialRow(
        trial=trial,
        settings=dict(config),
        iterations=int(metrics.get("iterations", 0)),
        steps=int(metrics.get("steps", 0)),
        value=estimate_of(metrics) if RETURN in metrics else None,
        ended=ended,
    )


def _worth(row: TrialRow) -> float:
    return -math.inf if row.value is None else row.value.value


def _export(task: Task, result: Result, folder: Path) -> tuple[TrainingResult, Estimate]:
    """The best trial's policy, from its last checkpoint, and what it earns when judged again."""
    if result.checkpoint is None:
        raise ShouldRestoreArtefact(
            f"The best trial left no checkpoint in {result.path}.", "Run the sweep with --fresh."
        )
    with result.checkpoint.as_directory() as place:
        record, state = read_trial(Path(place), task.fingerprint)
    spec, plan = task.plan(dict(result.config or {}))
    network = plan.network()
    network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in state.weights.items()})
    again = simulated_return(
        network, task.judge_again(), doubts_seed(task.seed, True), JOURNEYS_AGAIN
    )
    folder.mkdir(parents=True, exist_ok=True)
    made = finish(spec, plan, state, record.curve, record.propensity_error, folder, resumed_from=0)
    return made, again


def _fingerprint(spec: LoopSpec, model: UserModel, profiles: ProfileBatch, plan: SweepPlan) -> str:
    """SHA-256 of all that a sweep's result depends on, but for how many trials run side by side."""
    total = hashlib.sha256()
    for pattern in ("*.py", "constraints/*.py", "environment/*.py", "ppo/*.py", "tune/*.py"):
        for source in sorted(_CODE.glob(pattern)):
            total.update(source.read_bytes())
    parts = (spec.checksum, model.release_id, profiles.release_id, plan.trials, plan.scheduler)
    dimensions = sorted(map(str, plan.space.dimensions))
    for part in (*parts, plan.seed, *dimensions, torch.__version__):
        total.update(f"{part}\n".encode())
    for array in (profiles.context, profiles.mask, profiles.weight):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
