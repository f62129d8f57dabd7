"""Tuning: the settings of a policy's training are searched for with Ray Tune, on private releases alone.

``space`` reads what may vary, ``objective`` is what a setting is worth, ``trial`` trains one setting,
``sweep`` runs many and continues what was killed.
"""

from rl.tune.space import SearchSpace, parse_space

__all__ = ["SearchSpace", "parse_space"]
