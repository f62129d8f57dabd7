"""Proximal policy optimisation of the loop's policy, on RLlib's new API stack.

The pure parts (``advantage``, ``rollout``, ``update``, ``schedule``) know nothing of RLlib;
``algorithm`` gives them to RLlib's runner, learner and algorithm; ``train`` drives either these two
directly in one process or the algorithm on a cluster.
"""

from rl.ppo.cluster import Cluster
from rl.ppo.result import TrainingResult
from rl.ppo.training import train

__all__ = ["Cluster", "TrainingResult", "train"]
