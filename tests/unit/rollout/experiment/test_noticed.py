"""Strange decisions by arm: counted by hand, and a lopsided share is seen where chance is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollouts import Noticed
from everloop.rollout.experiment.noticed import noticed
from everloop.rollout.experiment.observations import CANDIDATE, TrialObservations
from everloop.rollout.experiment.srm import log_evidence
from tests.unit.rollout.experiment.made import observed


def marked(people_candidate: int, people_control: int, **changes: Any) -> Noticed:
    """Every decision of the first so many people of each arm is strange."""
    made = observed(11, **changes)
    rows = np.zeros(made.n, dtype=np.bool_)
    for arm, count in ((1, people_candidate), (0, people_control)):
        rows |= np.isin(made.person, np.unique(made.person[made.arm == arm])[:count])
    found = noticed(made, rows)
    assert found is not None
    return found


def test_decisions_are_counted_by_arm_and_people_once() -> None:
    made = observed(11)
    found = marked(40, 2)
    candidate = int((made.arm == CANDIDATE).sum())
    assert found.of == {"control": made.n - candidate, "candidate": candidate}
    assert found.decisions == {"control": 2 * 6, "candidate": 40 * 6}
    assert found.share("candidate") == pytest.approx(240 / candidate)
    assert found.people.observed == {"control": 2, "candidate": 40}
    assert found.people.expected == pytest.approx({"control": 21.0, "candidate": 21.0})
    # nobody comes back in a later step: the other e-value is 1
    once = math.exp(log_evidence([(2, 40, 0.5)]))
    assert found.people.log_evidence == pytest.approx(math.log((once + 1.0) / 2.0))


@pytest.mark.parametrize(
    ("candidate", "control", "told"), [(40, 2, True), (2, 40, True), (22, 20, False)]
)
def test_a_lopsided_share_is_told_in_either_direction_and_an_even_one_is_not(
    candidate: int, control: int, told: bool
) -> None:
    assert marked(candidate, control).people.mismatch is told


def test_nothing_strange_is_nothing_and_nobody_who_looked_is_unknown() -> None:
    found = marked(0, 0)
    assert (found.decisions, found.people.mismatch) == ({"control": 0, "candidate": 0}, False)
    assert found.people.log_evidence == pytest.approx(0.0)
    assert noticed(observed(11), None) is None
    nothing = noticed(
        observed(11).where(np.zeros(3600, dtype=np.bool_)), np.zeros(0, dtype=np.bool_)
    )
    assert nothing is not None
    assert nothing.share("control") == 0.0


def test_a_rejected_decision_has_no_reward() -> None:
    made = observed(11)
    columns = {
        name: getattr(made, name)
        for name in ("person", "timestamp", "arm", "percent", "signals", "signal_names")
    }
    columns |= {"before": made.before, "shares": made.shares}
    rejected = np.zeros(made.n, dtype=np.bool_)
    rejected[5] = True
    with pytest.raises(ShouldFixArgument, match="rejected has a reward in 1 rows, first in row 5"):
        TrialObservations(**columns, reward=made.reward, rejected=rejected)
    emptied = np.where(rejected, math.nan, made.reward)
    kept = TrialObservations(**columns, reward=emptied, rejected=rejected)
    cut = kept.where(np.arange(made.n) > 4)
    assert cut.rejected is not None
    assert np.flatnonzero(cut.rejected).tolist() == [0]
