"""Days and weeks of synthetic people: ``rollout`` plays a user model over profiles.

``clock`` says when people decide, ``evidence`` what only an export adds, ``rows`` writes
``interaction_history``.
"""

from synthetic.journeys.rollout import Journeys, roll_out
from synthetic.journeys.rows import histories

__all__ = ["Journeys", "histories", "roll_out"]
