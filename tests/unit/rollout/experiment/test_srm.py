"""The sample ratio test: an exact martingale, people counted once at their first exposure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from everloop.contracts.errors import ShouldFixArgument
from everloop.rollout.experiment.observations import TrialObservations
from everloop.rollout.experiment.srm import ALPHA, CONCENTRATIONS, log_evidence, sample_ratio
from tests.unit.rollout.experiment.made import observed


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
def test_evidence_has_mean_one_under_the_designed_share(share: float) -> None:
    n = 12
    chance = stats.binom.pmf(np.arange(n + 1), n, share)
    evidence = [math.exp(log_evidence([(n - k, k, share)])) for k in range(n + 1)]
    assert float(chance @ np.array(evidence)) == pytest.approx(1.0)


def test_evidence_is_a_beta_binomial_over_a_binomial_averaged_over_priors() -> None:
    by_hand = np.mean(
        [
            stats.betabinom.pmf(30, 100, c * 0.2, c * 0.8) / stats.binom.pmf(30, 100, 0.2)
            for c in CONCENTRATIONS
        ]
    )
    assert log_evidence([(70, 30, 0.2)]) == pytest.approx(math.log(by_hand))


def test_steps_of_the_ramp_multiply_within_each_prior() -> None:
    counts = [(70, 30, 0.2), (40, 60, 0.5)]
    by_hand = np.mean(
        [
            math.prod(
                stats.betabinom.pmf(k, m + k, c * p, c * (1 - p)) / stats.binom.pmf(k, m + k, p)
                for m, k, p in counts
            )
            for c in CONCENTRATIONS
        ]
    )
    assert log_evidence(counts) == pytest.approx(math.log(by_hand))


def test_nobody_is_no_evidence() -> None:
    assert log_evidence([]) == pytest.approx(0.0)
    assert log_evidence([(0, 0, 0.3)]) == pytest.approx(0.0)


def test_at_a_share_of_one_anybody_in_the_control_is_wrong() -> None:
    assert log_evidence([(0, 500, 1.0)]) == pytest.approx(0.0)
    assert log_evidence([(1, 500, 1.0)]) == math.inf


@pytest.mark.parametrize("wrong", [(-1, 1, 0.5), (1, -1, 0.5), (1, 1, 0.0), (1, 1, 1.5)])
def test_what_is_no_count_is_refused(wrong: tuple[int, int, float]) -> None:
    with pytest.raises(ShouldFixArgument, match="no counts"):
        log_evidence([wrong])


def test_an_arm_that_loses_people_is_seen_whichever_it_is() -> None:
    assert log_evidence([(1000, 800, 0.5)]) > math.log(1 / ALPHA)
    assert log_evidence([(800, 1000, 0.5)]) > math.log(1 / ALPHA)
    assert log_evidence([(1000, 980, 0.5)]) < 0.0


def moved_up() -> TrialObservations:
    """Person 0 is control on the first day and candidate on the second; person 1 comes on the second."""
    return TrialObservations(
        person=np.array([0, 0, 1, 0]),
        timestamp=np.array(
            ["2026-03-02", "2026-03-01", "2026-03-02", "2026-03-01T05"], dtype="datetime64[us]"
        ),
        arm=np.array([1, 0, 1, 0], dtype=np.int8),
        percent=np.array([50.0, 10.0, 50.0, 10.0]),
        reward=np.full(4, np.nan),
        signals=np.zeros((4, 0)),
        signal_names=(),
        before=np.full(2, np.nan),
        shares={10: 0.1, 50: 0.5},
    )


def test_a_person_counts_once_where_they_came_first() -> None:
    found = sample_ratio(moved_up())
    assert found.observed == {"control": 1, "candidate": 1}
    assert found.expected == pytest.approx({"control": 0.9 + 0.5, "candidate": 0.1 + 0.5})
    # person 0, in the control at .1, comes back: a candidate with (.5 - .1) / (1 - .1) = 4 / 9
    first, back = log_evidence([(1, 0, 0.1), (0, 1, 0.5)]), log_evidence([(0, 1, 4 / 9)])
    assert found.log_evidence == pytest.approx(math.log((math.exp(first) + math.exp(back)) / 2))
    assert not found.mismatch


def test_a_candidate_whose_people_are_not_logged_is_a_mismatch() -> None:
    whole = observed(11, people=2000)
    assert not sample_ratio(whole).mismatch
    lost = (whole.arm == 1) & (whole.person % 3 == 0)
    assert sample_ratio(whole.where(~lost)).mismatch
