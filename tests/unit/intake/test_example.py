"""The example log: its overlap, its range of values, and what an import of it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.intake import example_truth as truth
from everloop.intake.example import episode_ids, import_example
from everloop.intake.example_journeys import (
    ExampleLog,
    ExampleSignals,
    emotion_mixing,
    generate,
    realised_reward,
    value_of_best_policy,
    value_of_logging_policy,
)


@pytest.fixture(scope="module")
def made() -> ExampleLog:
    return generate()


def test_size_and_span(made: ExampleLog) -> None:
    assert 24_000 <= len(made) <= 30_000
    decisions = np.bincount(made.person)
    assert (decisions.min(), decisions.max(), len(decisions)) == (3, 6, 6_000)
    days = made.timestamp // 86_400
    assert datetime.fromtimestamp(int(days.min()) * 86_400, UTC) == datetime(2026, 3, 1, tzinfo=UTC)
    assert datetime.fromtimestamp(int(days.max()) * 86_400, UTC) == datetime(
        2026, 3, 28, tzinfo=UTC
    )
    per_day = np.bincount(days - days.min())
    assert np.abs(per_day / per_day.mean() - 1).max() < 0.15


def test_calendar_fields_are_those_of_the_timestamp(made: ExampleLog) -> None:
    for row in range(0, len(made), 997):
        moment = datetime.fromtimestamp(int(made.timestamp[row]), UTC)
        assert made.hour[row] == moment.hour
        assert made.weekday[row] == moment.weekday()
        assert made.week[row] == moment.isocalendar().week


def test_overlap_is_good_and_propensities_are_those_of_the_draws(made: ExampleLog) -> None:
    chosen = made.propensities[np.arange(len(made)), made.action]
    assert made.propensities[made.valid].min() >= 0.05
    assert (made.propensities[~made.valid] == 0).all()
    assert np.allclose(made.propensities.sum(axis=1), 1)
    assert made.valid[np.arange(len(made)), made.action].all()
    mean_weight = (1 / (made.valid.sum(axis=1) * chosen)).mean()
    assert mean_weight == pytest.approx(1, abs=0.02)
    frequency = np.bincount(made.action, minlength=8) / len(made)
    assert frequency == pytest.approx(made.propensities.mean(axis=0), abs=0.01)


def test_pairings_need_connections(made: ExampleLog) -> None:
    alone = made.connections == 0
    assert 0.05 < alone.mean() < 0.12
    for pairing in truth.PAIRINGS:
        assert (made.valid[:, pairing] == ~alone).all()
    assert made.valid[:, 0].all()
    assert (made.active_connections <= made.connections).all()


def test_the_best_policy_gains_much_over_the_logging_policy(made: ExampleLog) -> None:
    assert 0.0 < made.logging_value < 0.12
    assert made.best_value > made.logging_value + 0.3
    shares = np.bincount(made.best_action, minlength=8) / len(made)
    assert shares.min() > 0.02
    assert shares.max() < 0.25


def test_the_emotion_vector_tells_the_latent(made: ExampleLog) -> None:
    assert np.abs(made.emotion).max() <= 1.0
    recovered = made.emotion @ np.linalg.pinv(emotion_mixing()).T
    assert np.abs(recovered - made.latent).max() < 0.1


def test_fair_by_construction(made: ExampleLog) -> None:
    best = np.where(made.valid, made.expected, -np.inf).max(axis=1)
    means = [best[made.age_group == group].mean() for group in range(4)]
    assert max(means) - min(means) < 0.02


def test_values_are_monte_carlo_means_of_policies(made: ExampleLog) -> None:
    logging, best = value_of_logging_policy(4_000, 5), value_of_best_policy(4_000, 5)
    assert logging == value_of_logging_policy(4_000, 5)
    assert logging == pytest.approx(made.logging_value, abs=0.02)
    assert best == pytest.approx(made.best_value, abs=0.02)
    greedy = np.eye(8)[made.best_action]
    assert made.value_of(greedy) == pytest.approx(made.best_value)
    silent = np.eye(8)[np.zeros(len(made), dtype=int)]
    assert made.value_of(silent) < made.best_value


def test_a_policy_off_the_mask_has_no_value(made: ExampleLog) -> None:
    with pytest.raises(ShouldFixArgument, match="invalid action"):
        made.value_of(np.full(made.valid.shape, 1 / 8))
    with pytest.raises(ShouldFixArgument, match="shape"):
        made.value_of(made.propensities[:10])


def test_same_seed_same_log_another_seed_another() -> None:
    first, again, other = generate(50, 28, 3), generate(50, 28, 3), generate(50, 28, 4)
    assert (first.emotion == again.emotion).all()
    assert (first.signals.value == again.signals.value).all()
    assert len(first) != len(other) or (first.action != other.action).any()


@pytest.mark.parametrize("wrong", [{"people": 0}, {"days": 0}, {"seed": -1}], ids=str)
def test_sizes_below_their_least_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ShouldFixArgument, match=next(iter(wrong))):
        generate(**wrong)


def test_realised_reward_by_hand() -> None:
    """Row 0: all three types, engagement twice. Row 1: late only. Row 2: nothing but a thumb down."""
    signals = ExampleSignals(
        episode=np.array([0, 0, 0, 0, 1, 2]),
        kind=np.array([0, 0, 1, 2, 1, 2]),
        value=np.array([1.0, 0.0, 0.75, 1.0, 1.0, 0.0]),
        latency=np.array([0, 86_400, 10, 10, 86_401, 60]),
        confidence=np.array([1.0, 0.5, 1.0, 0.3, 1.0, 1.0]),
    )
    engagement = 1.0 / (1.0 + 0.5 * 0.5)
    assert realised_reward(3, signals).tolist() == pytest.approx(
        [0.3 * engagement + 0.4 * 0.5 + 0.3 * 1.0, 0.0, -0.3 / 0.6]
    )


def test_missing_late_and_uncertain_signals_happen(made: ExampleLog) -> None:
    signals = made.signals
    assert 0.01 < (signals.latency > truth.CLOSES_AFTER).mean() < 0.1
    assert 0.05 < (signals.confidence < 0.7).mean() < 0.2
    for kind in (1, 2):
        assert 0.2 < len(np.unique(signals.episode[signals.kind == kind])) / len(made) < 0.8


def test_an_import_holds_the_log(
    log: Any, companion: LoopSpec, pseudonym: Callable[[str], str]
) -> None:
    rows: list[int] = []
    summary = import_example(log, companion, pseudonym, people=300, seed=5, progress=rows.append)
    made = generate(300, 28, 5)
    ids = episode_ids(made, 300, 28, 5)
    assert summary.episodes_new == len(made) == len(log.episodes) == rows[-1]
    assert summary.signals_new == len(made.signals) == len(log.signals)
    assert "made up" in summary.note
    assert (summary.first_timestamp, summary.last_timestamp) == (
        datetime.fromtimestamp(int(made.timestamp.min()), UTC),
        datetime.fromtimestamp(int(made.timestamp.max()), UTC),
    )
    for row in range(0, len(made), 37):
        episode = log.episodes[ids[row]]
        assert episode.action_taken == truth.ACTIONS[made.action[row]]
        assert episode.propensity == made.propensities[row, made.action[row]]
        assert episode.context_snapshot["emotion"] == made.emotion[row].tolist()
        assert len(episode.valid_actions) == made.valid[row].sum()
    counted = Counter(s.signal_type for s in log.signals.values())
    assert [counted[name] for name in truth.SIGNALS] == np.bincount(made.signals.kind).tolist()

    again = import_example(log, companion, pseudonym, people=300, seed=5)
    assert (again.episodes_new, again.signals_new) == (0, 0)
    assert again.episodes_replayed == len(made)


def test_histories_are_the_persons_own_past(
    log: Any, companion: LoopSpec, pseudonym: Callable[[str], str]
) -> None:
    import_example(log, companion, pseudonym, people=60, days=6, seed=5)
    made = generate(60, 6, 5)
    reward = dict(zip(episode_ids(made, 60, 6, 5), made.reward, strict=True))
    unknown = known = 0
    for person in range(60):
        past: list[Any] = []
        for episode in log.episodes_of(pseudonym(f"example/{person:06d}")):
            expected = []
            for earlier in past:
                open_still = (episode.timestamp - earlier.timestamp).total_seconds() < 86_400
                value = None if open_still else round(float(reward[earlier.episode_id]), 4)
                expected.append({"action": earlier.action_taken, "reward": value})
                unknown, known = unknown + open_still, known + (not open_still)
            assert episode.context_snapshot["recent_interactions"] == expected
            past.append(episode)
    assert unknown > 10
    assert known > 10


def test_another_loop_is_refused(
    log: Any, shop: LoopSpec, companion: LoopSpec, pseudonym: Callable[[str], str]
) -> None:
    with pytest.raises(ShouldFixArgument, match="actions"):
        import_example(log, shop, pseudonym)
    slow = companion.model_copy(
        update={"reward": companion.reward.model_copy(update={"closes_after_seconds": 60})}
    )
    with pytest.raises(ShouldFixArgument, match="closes_after_seconds is 60"):
        import_example(log, slow, pseudonym)
    assert log.batches == 0
