"""One trial: a policy trained with one setting, judged every few iterations, as Ray Tune drives it."""

# mypy: disable-error-code="no-untyped-call, misc"

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.evaluation import Estimate
from everloop.contracts.figures import TrainingPoint
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from rl.environment.journeys import JourneySource
from rl.ppo import checkpoint
from rl.ppo.checkpoint import CheckpointRecord, TrainerState
from rl.ppo.head_start import head_start
from rl.ppo.plan import Plan
from rl.ppo.session import InProcess
from rl.ppo.training import plan_of, point_of
from rl.tune.objective import divided, doubts_seed, simulated_return
from rl.tune.space import Value, applied

REPORTS = 10
"""Times that a trial is judged, its end included."""
RETURN = "simulated_return"
"""Name of the objective in Tune's results."""


@dataclass(frozen=True, slots=True)
class Task:
    """What all trials of a sweep share: private releases and public constants alone.

    Attributes:
        spec: the loop; a trial's settings take the place of its own.
        model: the private user model.
        profiles: the synthetic people, see ``rl.tune.objective.divided``.
        seed: of every trial's weights, sampling and evaluation, so that trials differ by settings.
        fingerprint: of the sweep; a checkpoint of another one is not continued.
    """

    spec: LoopSpec
    model: UserModel
    profiles: ProfileBatch
    seed: int
    fingerprint: str

    @property
    def every(self) -> int:
        """Iterations between two reports."""
        return max(1, self.spec.training.iterations // REPORTS)

    def plan(self, settings: Mapping[str, Value]) -> tuple[LoopSpec, Plan]:
        """A trial's specification, and its training on the people who are not judged on."""
        spec = applied(self.spec, settings)
        people = divided(self.profiles, self.seed).trained_on
        return spec, plan_of(spec, self.model, people, people.encoder, self.seed)

    def judge(self) -> JourneySource:
        """The held-out people, answering as the sweep's own specification says, with doubts of theirs."""
        return self._judging(divided(self.profiles, self.seed).judged_on, doubts_seed(self.seed))

    def judge_again(self) -> JourneySource:
        """People and doubts that neither trained nor judged any trial."""
        return self._judging(divided(self.profiles, self.seed).kept, doubts_seed(self.seed, True))

    def _judging(self, people: ProfileBatch, seed: int) -> JourneySource:
        return plan_of(self.spec, self.model, people, people.encoder, seed).source


class PolicyTrial(tune.Trainable):
    """Trains in its own process, without RLlib's algorithm, and checkpoints as every training does."""

    _task: Task
    _judge: JourneySource
    _plan: Plan
    _session: InProcess
    _curve: tuple[TrainingPoint, ...]
    _error: float
    _ready: bool
    """Whether the session has its head start or a checkpoint's state."""

    def setup(self, config: dict[str, Any], task: Task | None = None) -> None:
        """Start with ``config``, setting -> value."""
        if task is None:
            raise ShouldRestoreArtefact("A trial has no task.", "Start the sweep again.")
        torch.set_num_threads(1)
        self._task = task
        self._judge = task.judge()
        self._begin(config)

    def step(self) -> dict[str, Any]:
        """Some iterations, then an evaluation."""
        if not self._ready:
            begun = TrainerState(head_start(self._plan), {}, self._plan.learning_rate(0))
            self._session.resume(begun, 0)
            self._ready = True
        last = min(len(self._curve) + self._task.every, self._plan.training.iterations)
        for iteration in range(len(self._curve), last):
            started = time.perf_counter()
            rewards, summary = self._session.iterate(iteration)
            elapsed = time.perf_counter() - started
            point = point_of(self._plan, iteration, rewards, summary, elapsed)
            self._curve = (*self._curve, point)
            self._error = max(self._error, summary.propensity_error)
        found = simulated_return(self._session.network, self._judge, self._task.seed)
        return {
            RETURN: found.value,
            "low": found.low,
            "high": found.high,
            "journeys": found.n,
            "iterations": len(self._curve),
            "steps": self._curve[-1].steps,
            "done": len(self._curve) >= self._plan.training.iterations,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Weights, optimizer and curve in ``checkpoint_dir``."""
        checkpoint.write(
            Path(checkpoint_dir),
            self._session.state(),
            self._task.fingerprint,
            self._curve,
            self._error,
        )

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Continue a checkpoint of this trial, or of a better one with this trial's settings."""
        record, state = read_trial(Path(checkpoint_dir), self._task.fingerprint)
        self._session.resume(state, record.iterations)
        self._curve, self._error, self._ready = record.curve, record.propensity_error, True

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take other settings; Tune loads a checkpoint next."""
        self._session.close()
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        self._session.close()

    def _begin(self, config: dict[str, Any]) -> None:
        _, self._plan = self._task.plan(config)
        self._curve = ()
        self._error, self._ready = 0.0, False
        self._session = InProcess(self._plan)
        torch.set_num_threads(1)  # RLlib sets it back


def read_trial(folder: Path, fingerprint: str) -> tuple[CheckpointRecord, TrainerState]:
    """A trial's checkpoint.

    Raises:
        ShouldRestoreArtefact: it is damaged, or another sweep's.
    """
    found = checkpoint.read(folder, fingerprint)
    if found is None:
        raise ShouldRestoreArtefact(
            f"{folder} holds no checkpoint of this sweep.", "Run the sweep again with --fresh."
        )
    return found


def estimate_of(result: Mapping[str, Any]) -> Estimate:
    """The evaluation that a trial reported."""
    return Estimate(
        name="simulated return",
        value=float(result[RETURN]),
        low=float(result["low"]),
        high=float(result["high"]),
        confidence=0.95,
        n=int(result["journeys"]),
        clusters=int(result["journeys"]),
        method="normal interval over journeys of held-out synthetic people",
    )
