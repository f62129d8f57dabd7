"""How many decisions of each arm something was strange about, and whether the arms differ in it.

Who has such a decision is a consequence of what the arms did, so nothing is left out for it. Where a
person rejected some of them, those are missing from the comparison, and an arm that lost far more than the
other was compared without its worst decisions. Equal arms lose alike: the people with such a decision are
then in the arms as everybody is, which is what the sample-ratio test asks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.rollouts import Noticed
from everloop.rollout.experiment.observations import CANDIDATE, TrialObservations
from everloop.rollout.experiment.srm import sample_ratio


def noticed(observations: TrialObservations, rows: NDArray[np.bool_] | None) -> Noticed | None:
    """The decisions of some rows by arm; None where nobody marked any row as such or otherwise."""
    if rows is None:
        return None
    candidate = observations.arm == CANDIDATE
    arms = {"control": ~candidate, "candidate": candidate}
    return Noticed(
        decisions={name: int((arm & rows).sum()) for name, arm in arms.items()},
        of={name: int(arm.sum()) for name, arm in arms.items()},
        people=sample_ratio(observations.where(rows)),
    )
