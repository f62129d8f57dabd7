"""The population from day to day."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import JourneySpec
from everloop.loops import load
from synthetic.population import (
    DayOfDecisions,
    Population,
    PopulationSpec,
    doing_nothing,
    logging_policy,
    uniform_policy,
)
from synthetic.population.archetypes import AGE_GROUPS, BURDENED_OF, CONNECTED_OF, PLANE
from synthetic.population.catalogue import ACTIONS, PAIRINGS, PARTNERS
from tests.unit.synthetic.population.truths import LOOP

START = date(2026, 1, 1)


def days(population: Population, count: int, policy=logging_policy) -> list[DayOfDecisions]:
    return [population.day(START + timedelta(days=k), policy) for k in range(count)]


def test_the_same_seed_plays_the_same_days_and_another_does_not() -> None:
    first, again = (days(Population(LOOP, 200, 3), 4) for _ in range(2))
    other = days(Population(LOOP, 200, 4), 4)
    for a, b in zip(first, again, strict=True):
        assert a.decision_ids == b.decision_ids
        assert a.user_ids == b.user_ids
        assert a.partner_ids == b.partner_ids
        assert a.signals() == b.signals()
        assert a.decisions.contexts.snapshots() == b.decisions.contexts.snapshots()
    assert first[0].decisions.contexts.snapshots() != other[0].decisions.contexts.snapshots()


def test_another_policy_meets_the_same_people_at_the_same_hours() -> None:
    calm, busy = (
        Population(LOOP, 200, 3).day(START, policy) for policy in (doing_nothing, uniform_policy)
    )
    assert calm.user_ids == busy.user_ids
    assert calm.decisions.contexts.snapshots() == busy.decisions.contexts.snapshots()


def test_who_comes_is_told_before_the_policy_is_asked_in_its_order() -> None:
    population, seen = Population(LOOP, 150, 3), []

    def policy(contexts, valid, rng):
        assert len(seen) == 1
        return uniform_policy(contexts, valid, rng)

    day = population.day(START, policy, seen.append)
    (visitors,) = seen
    assert visitors.user_ids == day.user_ids
    np.testing.assert_array_equal(visitors.timestamp, day.decisions.timestamp)
    for name in ("kind", "mood", "tired", "part"):
        found = getattr(visitors.hidden, name)
        np.testing.assert_array_equal(found, getattr(day.decisions.hidden, name))


def test_ids_are_unique_and_read_like_a_products() -> None:
    played = days(Population(LOOP, 150, 1), 6)
    decisions = [d for day in played for d in day.decision_ids]
    signals = [s["signal_id"] for day in played for s in day.signals()]
    assert len(set(decisions)) == len(decisions)
    assert len(set(signals)) == len(signals)
    assert all(user.startswith("person-") for day in played for user in day.user_ids)
    for day in played:
        assert len(set(day.user_ids)) == len(day.user_ids)
        assert (np.diff(day.decisions.timestamp) >= 0).all()
        midnight = datetime(day.date.year, day.date.month, day.date.day, tzinfo=UTC).timestamp()
        assert ((day.decisions.timestamp - midnight) // 86_400 == 0).all()
        assert {s["decision_id"] for s in day.signals()} <= set(day.decision_ids)


def test_the_history_is_what_was_decided_and_rewards_are_known_once_closed() -> None:
    population = Population(LOOP, 60, 2, PopulationSpec(visits_per_day=1.0))
    past: dict[str, list[tuple[int, str, float]]] = {}
    for day in days(population, 14):
        seen = day.decisions.contexts.snapshots()
        for row, user in enumerate(day.user_ids):
            now = int(day.decisions.timestamp[row])
            before = past.setdefault(user, [])
            assert seen[row]["recent_interactions"] == [
                {"action": action, "reward": reward if when + 86_400 <= now else None}
                for when, action, reward in before[-10:]
            ]
            before.append(
                (
                    now,
                    ACTIONS[day.decisions.action[row]],
                    round(float(day.decisions.reward[row]), 4),
                )
            )
    assert max(map(len, past.values())) == 14


def test_people_leave_for_good_and_new_ones_arrive() -> None:
    population = Population(LOOP, 300, 5)
    gone: set[str] = set()
    present, known = 300, set(population.user_ids)
    for day in days(population, 20):
        assert day.present == present + day.arrived
        assert not gone & set(day.user_ids)
        left = {u for u, e in zip(day.user_ids, day.decisions.ended, strict=True) if e}
        gone |= left
        present = day.present - day.left
        assert len(left) == day.left
        known |= set(day.user_ids)
    assert population.present == present
    assert len(gone) > 100
    assert len(known) > 350
    assert not gone & set(population.user_ids)


def test_who_is_treated_badly_leaves_sooner() -> None:
    def left(policy) -> int:
        population = Population(LOOP, 1_000, 6, PopulationSpec(arrivals_per_day=0.0))
        return sum(day.left for day in days(population, 12, policy))

    assert left(uniform_policy) > 1.15 * left(doing_nothing)


def test_partners_are_present_have_connections_and_are_never_oneself() -> None:
    population = Population(LOOP, 120, 8)
    for number in range(5):
        before = dict(zip(population.user_ids, CONNECTED_OF[population.persons.kind], strict=True))
        day = population.day(START + timedelta(days=number), uniform_policy)
        for row, partners in enumerate(day.partner_ids):
            action = day.decisions.action[row]
            assert len(set(partners)) == len(partners) == PARTNERS[action]
            assert day.user_ids[row] not in partners
            # People who arrived this morning are present too.
            assert all(before.get(p, True) for p in partners)
            told = day.action_arguments(row)
            assert list(told) == (
                ["user_ids", "descriptors", "slate_propensity"] if partners else []
            )
            if partners:
                assert told["user_ids"] == list(partners)
                shown = PLANE[day.decisions.partners[row, : len(partners)]]
                np.testing.assert_allclose(told["descriptors"], shown, atol=5e-5)
                assert 0 < told["slate_propensity"] <= 1
            assert ACTIONS[action] in day.valid_actions(row)
        unconnected = day.decisions.contexts.connections == 0
        assert not day.decisions.valid[np.ix_(unconnected, PAIRINGS)].any()
        np.testing.assert_allclose(day.decisions.propensities.sum(axis=1), 1.0)
        assert (day.decisions.propensity > 0).all()


def test_the_partner_mix_is_that_of_the_people_present() -> None:
    population = Population(LOOP, 500, 9)
    kind = population.persons.kind
    there = kind[CONNECTED_OF[kind]] % 24 // 4
    np.testing.assert_allclose(
        population.partner_mix, np.bincount(there, minlength=6) / len(there), atol=1e-12
    )
    np.testing.assert_array_equal(population.responses(START).partner_mix, population.partner_mix)


def test_the_truth_of_a_day_is_that_of_its_people_and_tastes() -> None:
    population = Population(LOOP, 100, 9, PopulationSpec(drift=1.0, gap_group="under_25"))
    day = START + timedelta(days=365)
    truth = population.truth(day)
    assert truth.responses.turn == pytest.approx(1.0)
    assert truth.discount == LOOP.training.discount
    assert truth.burdened_share == pytest.approx(0.24)
    played = population.day(day, logging_policy)
    np.testing.assert_allclose(
        truth.expected_reward(played.decisions.hidden), played.decisions.expected_reward
    )


def test_only_the_gap_group_is_burdened() -> None:
    population = Population(LOOP, 400, 9, PopulationSpec(group_gap=0.5, gap_group="under_25"))
    burdened = BURDENED_OF[population.persons.kind]
    np.testing.assert_array_equal(
        burdened, population.persons.age_group == AGE_GROUPS.index("under_25")
    )
    fair, unfair = (
        days(Population(LOOP, 3_000, 9, PopulationSpec(group_gap=gap)), 1, uniform_policy)[0]
        for gap in (0.0, 0.8)
    )
    for day, differs in ((fair, False), (unfair, True)):
        old = day.decisions.contexts.age_group == 3
        true = (day.decisions.propensities * day.decisions.expected_reward).sum(axis=1)
        assert (true[~old].mean() - true[old].mean() > 0.08) == differs


def test_drift_turns_with_the_days() -> None:
    spec = PopulationSpec(drift=2.0, start=START)
    assert spec.turn(START) == 0.0
    assert spec.turn(START + timedelta(days=365)) == pytest.approx(2.0)
    still = PopulationSpec()
    assert still.turn(START + timedelta(days=365)) == 0.0


def test_days_go_forward_only() -> None:
    population = Population(LOOP, 30, 1)
    population.day(START, logging_policy)
    for day in (START, START - timedelta(days=1)):
        with pytest.raises(ShouldFixArgument, match="not after 2026-01-01"):
            population.day(day, logging_policy)
    population.day(START + timedelta(days=5), logging_policy)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda valid: np.ones(valid.shape), "no distribution"),
        (lambda valid: valid[:, :3] / 3, "shape"),
        (lambda valid: np.full(valid.shape, np.nan), "no distribution"),
        (lambda valid: np.full(valid.shape, 1 / 8), "no distribution"),
    ],
)
def test_a_policy_that_is_none_is_refused(answer, message) -> None:
    population = Population(LOOP, 400, 1)
    with pytest.raises(ShouldFixArgument, match=message):
        population.day(START, lambda contexts, valid, rng: answer(valid))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("people", 0),
        ("arrivals_per_day", -1.0),
        ("visits_per_day", 0.0),
        ("visits_per_day", 1.5),
        ("drift", float("nan")),
        ("group_gap", float("inf")),
        ("gap_group", "ancient"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused(name, value) -> None:
    with pytest.raises(ShouldFixArgument, match=name):
        PopulationSpec(**{name: value})


def test_another_loop_and_a_loop_of_many_visits_are_refused_by_name() -> None:
    with pytest.raises(ShouldFixArgument, match="open_bandit"):
        Population(load("open_bandit"), 10)
    busy = LOOP.model_copy(update={"journeys": JourneySpec(decisions_per_day=3)})
    with pytest.raises(ShouldFixArgument, match="decisions_per_day=3"):
        Population(busy, 10)
    with pytest.raises(ShouldFixArgument, match="seed=-1"):
        Population(LOOP, 10, -1)


@settings(max_examples=12, deadline=None)
@given(
    people=st.integers(1, 12),
    seed=st.integers(0, 1_000),
    visits=st.floats(0.05, 1),
    arrivals=st.floats(0, 4),
)
def test_the_smallest_populations_play(people, seed, visits, arrivals) -> None:
    spec = PopulationSpec(visits_per_day=visits, arrivals_per_day=arrivals)
    population = Population(LOOP, people, seed, spec)
    for day in days(population, 5, uniform_policy):
        assert len(day) == len(day.decisions) <= day.present
        assert (np.abs(day.decisions.reward) <= 1).all()
        day.decisions.contexts.snapshots()
