"""Learners of policies behind one port, ``PolicyLearner``.

``ppo`` looks ahead over journeys and is the default. ``greedy`` takes the user model's best single
decision, ``lin_ts`` and ``lin_ucb`` are linear bandits in closed form: all on private releases alone.
``raw_dr`` learns on the raw log, and its policy is only ever reported.
"""

from collections.abc import Mapping
from types import MappingProxyType

from everloop.contracts.policy_learning import PolicyLearner
from rl.learners.greedy import GreedyLearner
from rl.learners.linear_bandit import OptimisticLearner, ThompsonLearner
from rl.learners.ppo import PPOLearner
from rl.learners.raw_dr import RawLogLearner

_KNOWN: tuple[PolicyLearner, ...] = (
    PPOLearner(),
    GreedyLearner(),
    ThompsonLearner(),
    OptimisticLearner(),
    RawLogLearner(),
)

LEARNERS: Mapping[str, PolicyLearner] = MappingProxyType({each.name: each for each in _KNOWN})
"""Name -> learner; the names are those of ``training.alternatives``, and ``ppo``."""

__all__ = ["LEARNERS"]
