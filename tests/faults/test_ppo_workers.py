"""A training on a cluster that loses a worker ends with the weights of an undisturbed one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from everloop.contracts.figures import TrainingPoint
from rl.ppo import Cluster, TrainingResult, train
from rl.ppo.session import OnCluster
from tests.learning.worlds import World, identity, loop_of, people

pytestmark = [
    pytest.mark.slow,
    # Ray starts processes whose sockets it leaves to the collector
    pytest.mark.filterwarnings("default"),
]
CLUSTER = Cluster(runners=2, learners=2)


def run(
    folder: Path, watch: Callable[[TrainingPoint], None], cluster: Cluster = CLUSTER
) -> TrainingResult:
    spec = loop_of(2, 2, iterations=4, environments=16, rollout_length=16, hidden=16, minibatch=100)
    profiles = people(spec)
    return train(spec, World(identity), profiles, profiles.encoder, 3, folder, watch, cluster)


class Killer:
    """Kills a runner's process after one iteration and a learner's after a later one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.killed: list[int] = []
        self.sessions: list[OnCluster] = []
        build = OnCluster.__init__

        def watched(session: OnCluster, *given: Any) -> None:
            self.sessions.append(session)
            build(session, *given)

        monkeypatch.setattr(OnCluster, "__init__", watched)

    def __call__(self, point: TrainingPoint) -> None:
        algorithm = self.sessions[-1]._algorithm
        if point.iteration == 2:
            self.kill(algorithm.env_runner_group.foreach_env_runner(_pid, local_env_runner=False))
        if point.iteration == 3:
            self.kill([a.get() for a in algorithm.learner_group.foreach_learner(_pid)])

    def kill(self, workers: list[int]) -> None:
        assert len(set(workers)) == 2
        assert os.getpid() not in workers
        os.kill(workers[1], signal.SIGKILL)
        self.killed.append(workers[1])


def _pid(_: object) -> int:
    return os.getpid()


@pytest.mark.timeout(900)
def test_killed_workers_cost_an_iteration_each_and_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(tmp_path / "undisturbed", lambda _: None)
    killer = Killer(monkeypatch)
    result = run(tmp_path / "disturbed", killer)
    assert len(set(killer.killed)) == 2
    assert [point.reward for point in result.curve] == [p.reward for p in undisturbed.curve]
    assert result.weights_sha256 == undisturbed.weights_sha256
    assert not ray.is_initialized()
