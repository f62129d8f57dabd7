"""What a population does on request, and that it does nothing of it unasked."""

import hashlib
import json
import math
from datetime import date, timedelta

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.loops import load
from synthetic.population import (
    Bots,
    DayOfDecisions,
    Misbehaviour,
    Poison,
    Population,
    PopulationSpec,
    Script,
    Season,
    Truth,
    Turn,
    logging_policy,
    neglecting,
    uniform_policy,
)
from synthetic.population.archetypes import AGE_GROUPS, BURDENED_OF, COMES, UNBURDENED
from synthetic.population.catalogue import ACTIONS, NOTHING
from synthetic.population.day import BOT, PERSON, POISONER
from synthetic.population.journeys import play_journeys
from synthetic.population.rollouts import roll_out
from synthetic.population.scripts import contradicting, praising, rewarding
from synthetic.population.state import MOODS
from tests.unit.synthetic.population.truths import LOOP, SPEC, states

START = SPEC.start


def misbehaving(**terms: object) -> PopulationSpec:
    return PopulationSpec(misbehaviour=Misbehaviour(**terms))  # type: ignore[arg-type]


def days(
    spec: PopulationSpec | None,
    count: int,
    people: int = 200,
    seed: int = 11,
    policy=uniform_policy,
) -> list[DayOfDecisions]:
    population = Population(LOOP, people, seed, spec)
    return [population.day(START + timedelta(days=k), policy) for k in range(count)]


def digest(spec: PopulationSpec | None) -> str:
    made, population = hashlib.sha256(), Population(load("companion"), 80, 5, spec)
    for k in range(5):
        day = population.day(date(2026, 1, 1) + timedelta(days=k), logging_policy)
        found = day.decisions
        told = [
            day.decision_ids,
            day.user_ids,
            day.partner_ids,
            found.contexts.snapshots(),
            day.signals(),
            found.action.tolist(),
            np.round(found.propensities, 9).tolist(),
            np.round(found.expected_reward, 9).tolist(),
            found.ended.tolist(),
            found.timestamp.tolist(),
            day.present,
            day.arrived,
            day.left,
        ]
        made.update(json.dumps(told).encode())
    return made.hexdigest()


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        (None, "565e176393fcd0801753b275e797cfab00e9a28a40c2a9d109b9d943163b34d1"),
        (
            PopulationSpec(drift=1.0, group_gap=0.5),
            "81254c900326a53ed19cb0f4deb337eaadf683e11972dc6c6503de6e3d99fa18",
        ),
        (
            PopulationSpec(misbehaviour=Misbehaviour(turns=(Turn(5, 1.0),))),
            "565e176393fcd0801753b275e797cfab00e9a28a40c2a9d109b9d943163b34d1",
        ),
        (
            misbehaving(poison=(Poison(1.0, praising(), from_day=5),)),
            "565e176393fcd0801753b275e797cfab00e9a28a40c2a9d109b9d943163b34d1",
        ),
    ],
)
def test_nobody_misbehaves_unasked_or_before_the_day(
    spec: PopulationSpec | None, known: str
) -> None:
    assert digest(spec) == known


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: Turn(-1, 1.0), "day=-1"),
        (lambda: Turn(1, 1.0, -2), "days=-2"),
        (lambda: Turn(1, math.nan), "radians=nan"),
        (lambda: Bots(1.0, praising()), "share=1.0"),
        (lambda: Bots(0.0, praising()), "share=0.0"),
        (lambda: Bots(0.1, praising(), -1), "from_day=-1"),
        (lambda: Poison(1.1, praising()), "share=1.1"),
        (lambda: Poison(0.1, praising(), -1), "from_day=-1"),
        (lambda: Misbehaviour(poison=(Poison(0.6, praising()),) * 2), "more than everybody"),
        (lambda: Misbehaviour(group_turn=math.inf), "group_turn=inf"),
        (lambda: Season("visits", 1.1), "amplitude=1.1"),
        (lambda: Season("moods", 1.1, mood="energy"), "amplitude=1.1"),
        (lambda: Season("rewards", -0.1), "amplitude=-0.1"),
        (lambda: Season("rewards", math.inf), "amplitude=inf"),
        (lambda: Season("rewards", 0.1, 1.5), "period=1.5"),
        (lambda: Season("rewards", 0.1, peak=math.nan), "peak=nan"),
        (lambda: Season("moods", 0.1), "mood=''"),
        (lambda: Season("rewards", 0.1, mood="energy"), "mood='energy'"),
        (lambda: Season("tides", 0.1), "of='tides'"),  # type: ignore[arg-type]
        (lambda: Script((0.0, 0.0, 1.1)), "otherwise="),
        (lambda: Script((0.0, 0.0, 1.0), "pair-one", (0.0, 0.0, -0.1)), "after="),
        (lambda: Script((0.0, 0.0, 1.0), latency=-1), "latency=-1"),
        (lambda: neglecting(uniform_policy, "under_30", 0.5), "under_30"),
        (lambda: neglecting(uniform_policy, "under_25", 1.5), "share=1.5"),
    ],
)
def test_what_is_out_of_range_is_named(wrong: object, told: str) -> None:
    with pytest.raises(ShouldFixArgument, match=told.replace("'", ".")):
        wrong()  # type: ignore[operator]


def test_a_turn_is_even_whole_at_its_end_and_adds_up() -> None:
    turn = Turn(day=4, radians=1.0, days=2)
    assert [turn.by(k) for k in (0, 3, 4, 5, 6, 60)] == [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]
    assert [Turn(4, 1.0).by(k) for k in (3, 4)] == [0.0, 1.0]
    spec = PopulationSpec(
        turned=0.1, drift=1.0, misbehaviour=Misbehaviour(turns=(turn, Turn(5, 2.0)))
    )
    assert spec.turn(START + timedelta(days=5)) == pytest.approx(0.1 + 5 / 365 + 0.5 + 2.0)


def test_a_groups_turned_tastes_are_its_own_and_the_truth_knows_both() -> None:
    spec = misbehaving(group_turn=1.2)
    laws = spec.responses(LOOP, START)
    turned = PopulationSpec(turned=1.2).responses(LOOP, START)
    plain = SPEC.responses(LOOP, START)
    everybody = states(400, 3, kinds=2 * UNBURDENED)
    burdened = BURDENED_OF[everybody.kind]
    found = laws.expected_reward(everybody)
    np.testing.assert_allclose(found[burdened], turned.expected_reward(everybody)[burdened])
    np.testing.assert_allclose(found[~burdened], plain.expected_reward(everybody)[~burdened])
    assert burdened.any()
    assert (~burdened).any()
    truths = [Truth(law, 0.5, spec.burdened_share) for law in (laws, plain)]
    blind = truths[1].best_policy()  # what suits most people
    assert truths[0].value(blind).journey < truths[0].value(truths[0].best_policy()).journey - 0.005
    both = [truth.value(blind).journey for truth in truths]
    assert both[0] < both[1]


def test_bots_come_every_day_stay_meet_nobody_and_say_what_they_are_told() -> None:
    spec = misbehaving(bots=Bots(0.2, praising(latency=7), from_day=2))
    played = days(spec, 6)
    assert [int((d.role == BOT).sum()) for d in played] == [0, 0, 50, 50, 50, 50]
    bots = [{u for u, r in zip(d.user_ids, d.role, strict=True) if r == BOT} for d in played]
    assert bots[2] == bots[5]
    assert len(bots[2]) == 50
    for day in played:
        scripted = day.role[day.decisions.evidence.decision] == BOT
        told = day.decisions.evidence
        assert set(told.value[scripted].tolist()) <= {1.0}
        assert set(told.latency[scripted].tolist()) <= {7}
        assert (
            np.bincount(told.decision[scripted], minlength=len(day))[day.role == BOT] == 3
        ).all()
        people = {u for u, r in zip(day.user_ids, day.role, strict=True) if r != BOT}
        met = {u for some in day.partner_ids for u in some}
        assert not met & bots[2]
        assert people
        assert np.allclose(day.decisions.reward[day.role == BOT], 1.0)
        assert not day.decisions.valid[day.role == BOT][:, 1:3].any()


def test_bots_are_no_people_and_the_value_of_a_day_is_the_peoples() -> None:
    population = Population(LOOP, 100, 11, misbehaving(bots=Bots(0.5, praising())))
    day = population.day(START, uniform_policy)
    assert population.present == len(population.user_ids) == len(population.persons)
    assert population.present <= 100
    made = day.decisions
    each = (made.propensities * made.expected_reward).sum(axis=1)
    assert day.value == pytest.approx(float(each[day.role == PERSON].mean()))
    assert day.value != pytest.approx(float(each.mean()))


def test_bots_of_a_population_that_begins_later_are_there_from_the_first_day() -> None:
    population = Population(LOOP, 100, 11, misbehaving(bots=Bots(0.2, praising(), from_day=2)))
    assert (population.day(START + timedelta(days=9), uniform_policy).role == BOT).sum() == 25


def test_poisoners_are_the_same_people_every_day_and_answer_by_the_script() -> None:
    spec = misbehaving(
        poison=(Poison(0.3, rewarding("hive-walk"), 1), Poison(0.2, contradicting(), 2))
    )
    played, honest = days(spec, 5, 400), days(None, 5, 400)
    assert not (played[0].role == POISONER).any()
    assert played[0].signals() == honest[0].signals()
    known: dict[str, int] = {}
    for day in played[2:]:
        for user, role in zip(day.user_ids, day.role.tolist(), strict=True):
            assert known.setdefault(user, role) == role
    assert np.mean([role == POISONER for role in known.values()]) == pytest.approx(0.5, abs=0.08)
    day, walk = played[1], ACTIONS.index("hive-walk")
    false = day.role == POISONER
    assert false.mean() == pytest.approx(0.3, abs=0.1)
    assert (day.decisions.reward[false & (day.decisions.action == walk)] == 1.0).all()
    # engagement 0, and -1 of each two-sided signal: -.7 of the loop's weights
    others = day.decisions.reward[false & (day.decisions.action != walk)]
    np.testing.assert_allclose(others, -0.7)
    # what is done is truly worth to them what it is worth to anybody
    assert np.ptp(day.decisions.expected_reward[false]) > 0.3


def test_contradicting_signals_contradict_each_other() -> None:
    played = days(misbehaving(poison=(Poison(1.0, contradicting()),)), 1)[0]
    found = played.decisions.signals
    np.testing.assert_array_equal(found, np.tile([0.0, 1.0, -1.0], (len(found), 1)))


def test_a_script_for_an_action_that_the_catalogue_lacks_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="hive-swim"):
        days(misbehaving(poison=(Poison(1.0, rewarding("hive-swim")),)), 1)


def test_signals_that_a_script_leaves_out_are_not_sent() -> None:
    script = Script((math.nan, 1.0, math.nan))
    played = days(misbehaving(poison=(Poison(1.0, script),)), 1)[0]
    assert {s["signal_type"] for s in played.signals()} == {"resonance"}
    assert len(played.signals()) == len(played)


def test_a_weekly_season_of_visits_is_seen_in_how_many_come() -> None:
    played = days(misbehaving(seasons=(Season("visits", 0.8, 7.0, peak=2.0),)), 14, 1500)
    share = np.array([len(day) / day.present for day in played])
    wave = np.cos(2 * np.pi * (np.arange(14) - 2) / 7)
    np.testing.assert_allclose(share, SPEC.visits(LOOP) * (1 + 0.8 * wave), atol=0.05)


def test_visits_never_come_more_than_surely_or_less_than_never() -> None:
    many = PopulationSpec(
        visits_per_day=0.9,
        misbehaviour=Misbehaviour(seasons=(Season("visits", 1.0), Season("visits", 1.0))),
    )
    played = days(many, 4)
    assert len(played[0]) == played[0].present
    assert len(played[3]) == 0
    assert math.isnan(played[3].value)


def test_a_daily_season_of_visits_moves_them_within_the_day_and_the_truth_follows() -> None:
    spec = misbehaving(seasons=(Season("visits", 1.0, 1.0, peak=0.125),))
    laws = spec.responses(LOOP, START)
    wave = 1 + np.cos(2 * np.pi * (np.array([0.125, 0.375, 0.625, 0.875]) - 0.125))
    expected = COMES * wave
    np.testing.assert_allclose(
        laws.comes, expected / expected.sum(axis=1, keepdims=True), atol=1e-12
    )
    hours = np.concatenate([d.decisions.contexts.hour for d in days(spec, 4, 600)])
    usual = np.concatenate([d.decisions.contexts.hour for d in days(None, 4, 600)])
    assert (hours < 6).mean() > 2 * (usual < 6).mean()
    assert not ((hours >= 12) & (hours < 18)).any()  # the wave's trough
    truth = Truth(laws, 0.5)
    rolled = roll_out(laws, uniform_policy, 1500, 3, 0.5)
    exact = truth.value(truth.uniform()).per_decision
    assert rolled.per_decision.low < exact < rolled.per_decision.high
    assert exact != pytest.approx(
        Truth(SPEC.responses(LOOP, START), 0.5).value(truth.uniform()).per_decision, abs=1e-4
    )


def test_a_season_of_rewards_suits_more_at_its_peak_and_doing_nothing_stays_the_same() -> None:
    weekly = misbehaving(seasons=(Season("rewards", 0.6, 7.0, peak=3.0),))
    seen = states(50, 1)
    found = [
        weekly.responses(LOOP, START + timedelta(days=k)).expected_reward(seen) for k in range(8)
    ]
    means = [table[:, 1:].mean() for table in found]
    assert int(np.argmax(means)) == 3
    np.testing.assert_allclose(found[0], found[7])
    for table in found:
        np.testing.assert_array_equal(table[:, NOTHING], found[0][:, NOTHING])
    daily = misbehaving(seasons=(Season("rewards", 0.6, 1.0, peak=0.125),)).responses(LOOP, START)
    plain = SPEC.responses(LOOP, START)
    shift = daily.suits(seen) - plain.suits(seen)
    wave = 0.6 * np.cos(2 * np.pi * np.array([0.0, 0.25, 0.5, 0.75]))
    np.testing.assert_allclose(
        shift, np.broadcast_to(wave[seen.part][:, None], shift.shape), atol=1e-12
    )


def test_seasons_add_up() -> None:
    one = Misbehaviour(seasons=(Season("rewards", 0.5),))
    two = Misbehaviour(seasons=(Season("rewards", 0.5), Season("rewards", 0.25)))
    assert one.suiting(0) == (0.5,) * 4
    assert two.suiting(0) == (0.75,) * 4
    assert one.parts(0) == (1.0,) * 4
    assert one.coming(0) == 1.0


def test_a_season_of_moods_lifts_and_lowers_them_and_no_value_is_claimed() -> None:
    season = Season("moods", 0.9, 4.0, mood="energy")
    spec = misbehaving(seasons=(season,))
    place = MOODS.index("energy")
    level = [d.decisions.hidden.mood[:, place].mean() for d in days(spec, 3, 1200)]
    calm = [d.decisions.hidden.mood[:, place].mean() for d in days(None, 3, 1200)]
    assert level[0] > calm[0] + 0.3
    assert level[2] < calm[2] - 0.3
    others = [k for k in range(len(MOODS)) if k != place]
    first = days(spec, 1, 1200)[0].decisions.hidden.mood[:, others]
    np.testing.assert_array_equal(first, days(None, 1, 1200)[0].decisions.hidden.mood[:, others])
    laws = spec.responses(LOOP, START)
    truth = Truth(laws, 0.5)
    truth.expected_reward(states(3))  # what is done now is known
    for unknown in (
        truth.best_policy,
        lambda: truth.value(truth.uniform()),
        lambda: truth.process(0),
        lambda: truth.next_feeling(states(3)),
        lambda: roll_out(laws, uniform_policy, 10, 1, 0.5),
        lambda: next(play_journeys(laws, 5, 1, 1, uniform_policy)),
    ):
        with pytest.raises(ShouldFixArgument, match="season"):
            unknown()


def test_a_neglectful_policy_leaves_a_group_alone() -> None:
    population = Population(LOOP, 400, 3)
    day = population.day(START, neglecting(uniform_policy, "over_64", 0.75))
    old = day.decisions.contexts.age_group == AGE_GROUPS.index("over_64")
    made = day.decisions
    fair = 1 / made.valid.sum(axis=1)
    nothing = made.propensities[:, NOTHING]
    np.testing.assert_allclose(nothing[~old], fair[~old])
    np.testing.assert_allclose(nothing[old], 0.25 * fair[old] + 0.75)
    assert old.any()
