"""Trains twice on a cluster of two nodes, killing the one that is not the driver's the second time.

Run as a process of its own, with ``RAY_AUTH_MODE`` and ``RAY_AUTH_TOKEN_PATH`` in its environment from the
start: Ray reads its token once. Prints what it saw as one line of JSON.

    python -m tests.faults.two_nodes FOLDER LEARNERS
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster as Nodes

from everloop.contracts.figures import TrainingPoint
from rl.ppo import Cluster, TrainingResult, train
from rl.ppo.session import OnCluster
from tests.learning.worlds import World, identity, loop_of, people

WORKERS = 4


@dataclass(frozen=True)
class Seen:
    """What happened; ``before`` and ``after`` are the workers' nodes around the kill."""

    driver: str
    killed: str
    alive: list[str]
    before: list[str]
    after: list[str]
    rewards: list[list[float]]
    weights: list[str]


def run(folder: Path, watch: Callable[[TrainingPoint], None], cluster: Cluster) -> TrainingResult:
    spec = loop_of(2, 2, iterations=4, environments=16, rollout_length=16, hidden=16, minibatch=100)
    profiles = people(spec)
    return train(spec, World(identity), profiles, profiles.encoder, 3, folder, watch, cluster)


class NodeKiller:
    """Kills a node after one iteration and looks where the workers are, before and at the end."""

    def __init__(self, other: Any) -> None:
        self.other = other
        self.driver = ""
        self.before: list[str] = []
        self.after: list[str] = []
        self.alive: list[str] = []
        self.sessions: list[OnCluster] = []
        build = OnCluster.__init__

        def watched(session: OnCluster, *given: Any) -> None:
            self.sessions.append(session)
            build(session, *given)

        OnCluster.__init__ = watched  # type: ignore[method-assign]

    def __call__(self, point: TrainingPoint) -> None:
        if point.iteration == 1:
            self.driver = _node(None)
            self.before = self._where()
            (raylet,) = self.other.all_processes["raylet"]
            os.kill(raylet.process.pid, signal.SIGKILL)
        elif point.iteration == 4:
            self.after = self._where()
            self.alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]

    def _where(self) -> list[str]:
        algorithm = self.sessions[-1]._algorithm
        runners = algorithm.env_runner_group.foreach_env_runner(_node, local_env_runner=False)
        learners = (
            [found.get() for found in algorithm.learner_group.foreach_learner(_node)]
            if algorithm.learner_group.is_remote
            else []
        )
        return [*runners, *learners]


def _node(_: object) -> str:
    return str(ray.get_runtime_context().get_node_id())


def main(folder: Path, learners: int) -> None:
    nodes = Nodes()
    common = {"num_cpus": WORKERS, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    nodes.add_node(**common, temp_dir=str(folder / "ray"))
    other = nodes.add_node(**common)
    try:
        cluster = Cluster(nodes.address, runners=2, learners=learners)
        undisturbed = run(folder / "undisturbed", lambda _: None, cluster)
        killer = NodeKiller(other)
        disturbed = run(folder / "disturbed", killer, cluster)
    finally:
        nodes.shutdown()
    both = (undisturbed, disturbed)
    seen = Seen(
        driver=killer.driver,
        killed=other.node_id,
        alive=killer.alive,
        before=killer.before,
        after=killer.after,
        rewards=[[point.reward for point in result.curve] for result in both],
        weights=[result.weights_sha256 for result in both],
    )
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
