"""Masks that no policy can pass, computed alike in training and in serving."""

from rl.constraints.limits import LimitUse, Recent
from rl.constraints.rules import Constraints, constraints_of

__all__ = ["Constraints", "LimitUse", "Recent", "constraints_of"]
