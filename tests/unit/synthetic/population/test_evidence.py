"""Signals on their way, and the loop's definition of reward by hand."""

import numpy as np
import pytest

from synthetic.population.disturbance import PRESENT, Disturbance
from synthetic.population.evidence import Evidence, draw, realised_reward, signal_means
from tests.unit.synthetic.population.truths import LOOP

CLOSES = LOOP.reward.closes_after_seconds


def evidence(*rows: tuple[int, int, float, int, float]) -> Evidence:
    decision, kind, value, latency, confidence = zip(*rows, strict=True)
    return Evidence(
        np.array(decision), np.array(kind), np.array(value), np.array(latency), np.array(confidence)
    )


def test_the_reward_is_the_loops_definition() -> None:
    found = evidence(
        (0, 0, 0.8, 0, 1.0),
        (0, 0, 0.2, 86_400, 0.5),  # half-life and half confidence: a quarter of the weight
        (0, 1, 0.9, 10, 1.0),
        (1, 2, 0.0, 5, 0.3),
        (2, 2, 1.0, CLOSES + 1, 1.0),  # late
    )
    means = signal_means(LOOP, 3, found)
    np.testing.assert_allclose(
        means, [[0.68, 0.8, np.nan], [0.0, np.nan, -1.0], [0.0, np.nan, np.nan]], atol=1e-12
    )
    np.testing.assert_allclose(
        realised_reward(LOOP, means), [(0.3 * 0.68 + 0.4 * 0.8) / 0.7, -0.3 / 0.6, 0.0], atol=1e-12
    )


def test_signals_are_delayed_missing_noisy_late_and_sent_twice_as_often_as_said() -> None:
    n, how = 60_000, Disturbance(noise=0.2, late=0.1, twice=0.25)
    action = np.full(n, 3)
    found = draw(np.ones((n, 3)), action, CLOSES, how, np.random.default_rng(1))

    def near(count: int, of: float, share: float) -> bool:
        return abs(count - of * share) <= 4.5 * np.sqrt(of * share * (1 - share))

    for kind in (1, 2):
        mine = found.kind == kind
        assert near(int(mine.sum()), n, PRESENT[3, kind])
        assert near(int((found.latency[mine] > CLOSES).sum()), mine.sum(), how.late)
    thumbs = found.value[found.kind == 2]
    assert near(int((thumbs == 0).sum()), len(thumbs), how.noise / 2)
    sent, twice = np.unique(found.decision[found.kind == 0], return_counts=True)
    assert near(len(sent), n, PRESENT[3, 0])
    assert near(int((twice == 2).sum()), len(sent), how.twice)
    assert twice.max() == 2
    rows, values = found.decision[found.kind == 0], found.value[found.kind == 0]
    assert np.ptp(values[rows == sent[np.argmax(twice)]]) == 0
    assert set(np.unique(found.value[found.kind < 2])) == {0.1, 0.3, 0.5, 0.7, 0.9}
    assert ((found.confidence >= 0.2) & (found.confidence <= 1)).all()
    assert (found.latency >= 0).all()


@pytest.mark.parametrize("n", [0, 1])
def test_few_decisions_have_few_signals(n) -> None:
    found = draw(
        np.full((n, 3), 0.5),
        np.zeros(n, dtype=int),
        CLOSES,
        Disturbance(),
        np.random.default_rng(1),
    )
    assert signal_means(LOOP, n, found).shape == (n, 3)
    assert realised_reward(LOOP, signal_means(LOOP, n, found)).shape == (n,)
