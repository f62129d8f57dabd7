"""The loop benchmark's own parts: planted policies, the bandit, changed definitions, served days, goals."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bench.loop import changes, planted, tables, trials
from bench.loop.bandit import Bandit, Log
from bench.loop.life import new_workspace, worth_of
from bench.loop.linear import Linear, write_policy
from bench.loop.peers import BANDIT, NO_LEARNING, OPTIMUM, UNIFORM, log_of, truth_of
from bench.loop.peers import live as live_as
from bench.loop.served import Served, Service
from bench.loop.terms import QUICK, LoopTerms, end_of
from bench.private.population_log import encode_wide
from components._alternatives import entrant
from components._evaluation import FILES
from everloop.contracts.documents import write
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.models import ModelType, Provenance, States
from everloop.contracts.rollouts import RolloutRecord, RolloutState, Stay, TrialTally
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.rollout.health import merged
from everloop.sdk.demo.deciders import FIRST
from everloop.wiring import Workspace
from rl.encoders.context import layout
from rl.policy_card import PolicyCard
from rl.runtime import load_policy
from synthetic.population import Population, PopulationSpec, logging_policy, uniform_policy
from synthetic.population.archetypes import AGE_GROUPS
from synthetic.population.catalogue import ACTIONS, NOTHING
from tests.unit.synthetic.population.truths import RESPONSES, states

SPEC = QUICK.spec
WIDTH, COUNT = layout(SPEC).width, len(SPEC.actions)
DAY = Population(SPEC, 900, 21, PopulationSpec(visits_per_day=1.0)).day(
    PopulationSpec().start, logging_policy
)
MADE = DAY.decisions
SEEN = encode_wide(SPEC, MADE.contexts)


def card(folder: Path) -> Path:
    """A folder with the card of a policy that another one takes over."""
    made = PolicyCard(
        version="companion-x", loop=SPEC.name, encoder=layout(SPEC).encoder, actions=SPEC.action_ids,
        width=WIDTH, hidden=1, spec_sha256="s", user_model_release="u", profiles_release="p", seed=1,
        iterations=1, steps=1, weights_sha256="w", onnx_sha256="o", first_reward=0.0, last_reward=0.0,
        best_reward=0.0, propensity_error=0.0, export_error=0.0, torch_version="t",
    )  # fmt: skip
    folder.mkdir()
    write(made, folder / "policy.json")
    return folder


def written(policy: Linear, folder: Path) -> Path:
    write_policy(policy, SPEC, card(folder / "like"), folder / "made")
    return folder / "made"


def chances(policy: Linear) -> np.ndarray:
    """(n, A) what it would do on the day, without exploration."""
    logits = SEEN.astype(float) @ policy.weights + policy.bias
    logits = np.where(MADE.valid, logits, -np.inf)
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def value(policy: Linear) -> float:
    return float((chances(policy) * MADE.expected_reward).sum(axis=1).mean())


def test_a_written_policy_is_the_linear_one_and_belongs_to_its_card(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    policy = Linear(rng.normal(size=(WIDTH, COUNT)), rng.normal(size=COUNT))
    folder = written(policy, tmp_path)
    found = entrant(SPEC, folder, "ppo", Provenance.PRIVATE_RELEASE).policy
    answer = found.act(States(SEEN, MADE.valid), 0.2)
    uniform = MADE.valid / MADE.valid.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer.propensity, 0.8 * chances(policy) + 0.2 * uniform, atol=1e-5)


def test_a_later_failure_shows_beyond_the_edge_alone(tmp_path: Path) -> None:
    edge = planted.edge_after(SPEC, 2)
    for week, fails in ((2, False), (3, True)):
        state = np.zeros((1, WIDTH), dtype=np.float32)
        state[0] = planted.week(SPEC) * np.sin(2 * np.pi * week / 53)
        asked = States(state, np.ones((1, COUNT), dtype=np.bool_))
        place = tmp_path / f"{week}"
        place.mkdir()
        (place / "nan").mkdir()
        (place / "one").mkdir()
        nan = load_policy(written(planted.nan_later(SPEC, edge), place / "nan") / "policy.onnx")
        one = load_policy(
            written(planted.collapsed_later(SPEC, edge), place / "one") / "policy.onnx"
        )
        taken = one.act(asked, 0.0).propensity[0, ACTIONS.index("hive-walk")]
        assert (taken > 0.999) == fails
        if fails:
            with pytest.raises(ShouldRestoreArtefact):
                nan.act(asked, 0.0)
        else:
            nan.act(asked, 0.0)


def test_planted_candidates_are_bad_as_they_are_said_to_be() -> None:
    good, bad = planted.fitted(SPEC), planted.worse(SPEC, 0.0)
    uniform = float(np.where(MADE.valid, MADE.expected_reward, 0).sum() / MADE.valid.sum())
    assert value(good) > uniform + 0.3
    assert value(bad) < uniform - 0.2
    old = MADE.contexts.age_group == AGE_GROUPS.index(planted.NEGLECTED)
    unfair = planted.unfair(SPEC, 0.0)
    made = chances(unfair)
    np.testing.assert_allclose(made[~old], chances(good)[~old])
    assert (made[old].max(axis=1) > 0.999).all()
    assert len(set(made[old].argmax(axis=1).tolist())) == 1
    earned = (made * MADE.expected_reward).sum(axis=1)
    assert earned[old].mean() < 0.9 * earned[~old].mean() - 0.2
    assert np.ptp(planted.collapsed_now(SPEC, 0.0).weights) == 0.0


def test_the_drift_victim_is_good_before_tastes_turn_and_poor_after() -> None:
    victim, good = planted.drift_victim(SPEC, 0.0), planted.fitted(SPEC)
    turned = PopulationSpec(turned=np.pi).responses(SPEC, PopulationSpec().start)
    after = turned.expected_reward(MADE.hidden)
    assert value(victim) > 0.85 * value(good)
    lost = ((chances(victim) - chances(good)) * after).sum(axis=1).mean()
    assert lost < -0.05


def test_the_bandit_learns_what_pays_and_takes_no_invalid_action() -> None:
    rng = np.random.default_rng(4)
    n = 1_500
    context = np.zeros((n, WIDTH), dtype=np.float32)
    context[:, 0] = rng.choice([-1.0, 1.0], n)
    valid = np.ones((n, COUNT), dtype=np.bool_)
    action = rng.integers(0, COUNT, n)
    right = np.where(context[:, 0] > 0, 3, 5)
    log = Log(context, valid, action, np.full(n, 1 / COUNT), (action == right) * 1.0, np.arange(n))
    bandit = Bandit(SPEC, 1)
    bandit.learn(log)
    asked = valid[:200].copy()
    asked[:, 7] = False
    found = bandit(context[:200], asked)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found[:, 7] == 0).all()
    assert (found[:, :7] >= 0.1 / 7 - 1e-6).all()
    assert (found.argmax(axis=1) == right[:200]).mean() > 0.95


def test_a_log_is_known_once_it_has_closed_and_adds_up() -> None:
    log = log_of(SPEC, DAY)
    assert len(log.until(float(log.closed.max())).action) == len(DAY)
    early = float(np.sort(log.closed)[9])
    assert len(log.until(early).action) >= 10
    assert (log.until(early).closed <= early).all()
    both = log.joined(log)
    for field in fields(Log):
        assert len(getattr(both, field.name)) == 2 * len(DAY)
    assert (log.closed - MADE.timestamp == SPEC.reward.closes_after_seconds).all()


def test_the_new_definition_without_weight_is_the_old_one_and_with_it_a_mean() -> None:
    seen = states(300, 5)
    old = RESPONSES.expected_reward(seen)
    np.testing.assert_allclose(changes.worth_with_calm(RESPONSES, seen, 0.0), old)
    all_weight = changes.worth_with_calm(RESPONSES, seen, 1e9)
    calm = 2 * changes.calm_chance(RESPONSES, seen) - 1
    expected = changes.SENT * calm + (1 - changes.SENT) * old
    np.testing.assert_allclose(all_weight, expected, atol=1e-6)
    # the new signal prefers other actions, or a change could not be seen
    best = changes.worth_with_calm(RESPONSES, seen, changes.CALM_WEIGHT)[:, 3:].argmax(axis=1)
    assert (best != old[:, 3:].argmax(axis=1)).mean() > 0.2


def test_a_changed_loop_differs_in_its_definition_of_reward_alone() -> None:
    spec = changes.with_calm(SPEC)
    assert spec.signal_names == (*SPEC.signal_names, changes.CALM)
    # engagement 0, all else -1: -(.4 + .3 + 1) / 2
    assert spec.reward.attainable_low == pytest.approx(-0.85)
    assert spec.model_copy(update={"signals": SPEC.signals, "reward": SPEC.reward}) == SPEC
    other = changes.reweighted(SPEC)
    assert tuple(s.weight for s in other.signals) == changes.NEW_WEIGHTS
    assert other.model_copy(update={"signals": SPEC.signals}) == SPEC
    seen = states(20, 5)
    by_hand = RESPONSES.__class__(other, RESPONSES.partner_mix).expected_reward(seen)
    np.testing.assert_allclose(changes.worth_by_weights(RESPONSES, seen), by_hand)


def test_a_day_without_a_model_is_the_rules_and_is_looked_at_every_hour(tmp_path: Path) -> None:
    place = new_workspace(tmp_path / "home", 5)
    looks: list[datetime] = []
    service = Service(place, SPEC, looks.append)
    on = date(2025, 1, 6)
    served = service.serve(QUICK.population(), on)
    midnight = datetime(2025, 1, 6, tzinfo=UTC)
    assert looks == [midnight + timedelta(hours=h) for h in range(1, 25)]
    assert set(served.version.tolist()) == {FIRST}
    assert set(served.arm.tolist()) == {"active"}
    assert not served.fallback.any()
    made = served.played.decisions
    rules = logging_policy(made.contexts, made.valid, np.random.default_rng(0))
    np.testing.assert_allclose(made.propensities, rules)
    assert service.episodes == len(served.played)
    place.engine.dispose()


def on_trial(place: Workspace, policy: Linear, folder: Path, state: RolloutState) -> str:
    """A registered policy on trial, with half of the people where it meets any; its version."""
    made = written(policy, folder)
    version = load_policy(made / "policy.onnx").version
    row = register(
        Candidate(
            loop=SPEC.name,
            tenant="default",
            model_type=ModelType.INTERVENTION,
            files={name: made / name for name in FILES},
            served="policy.onnx",
            performance_metrics={},
            lineage=dict.fromkeys(REQUIRED_LINEAGE, "x")
            | {"version": version, "logical_date": "2025-01-06"},
            provenance=Provenance.PRIVATE_RELEASE,
            verdict="continue",
            training_date=datetime(2025, 1, 6, tzinfo=UTC),
        ),
        place.registry,
        place.blobs,
    )
    percent = 50.0 if state == "started" else 0.0
    begun = datetime(2025, 1, 6, tzinfo=UTC)
    place.rollouts.start(
        RolloutRecord(
            rollout_id="11111111-1111-4111-8111-111111111111",
            loop=SPEC.name,
            candidate=row.checkpoint_id,
            active=None,
            state=state,
            traffic_percent=percent,
            reasons=("It may.",),
            recorded_at=begun,
            holdout_percent=10.0,
            history=(Stay(state, percent, begun),),
        )
    )
    return version


def served_with(place: Workspace) -> tuple[Served, TrialTally]:
    service = Service(place, SPEC, lambda _: None)
    served = service.serve(QUICK.population(), date(2025, 1, 6))
    trial = place.deployments.head(SPEC.name).trial
    assert trial is not None
    phase = "shadow" if trial.state == "shadow" else "trial"
    tallies = place.tallies.tallies(trial.rollout_id, phase)
    place.engine.dispose()
    return served, merged(tallies, phase)


def test_people_meet_a_candidate_by_their_arm_and_everybody_is_counted(tmp_path: Path) -> None:
    place = new_workspace(tmp_path / "home", 5)
    version = on_trial(place, planted.collapsed_now(SPEC, 0.0), tmp_path, "started")
    served, counted = served_with(place)
    candidates = served.arm == "candidate"
    assert 0.4 < candidates.mean() < 0.5  # half of nine in ten
    assert 0.07 < (served.arm == "holdout").mean() < 0.13
    assert set(served.version[candidates].tolist()) == {version}
    assert set(served.version[~candidates].tolist()) == {FIRST}
    assert counted.asked == candidates.sum()
    assert len(counted.actions) == 1
    assert sum(counted.active_actions.values()) == (~candidates).sum()
    assert sum(counted.latency.values()) == counted.asked
    assert not served.fallback.any()


def test_a_candidate_that_answers_nan_is_stood_in_for_and_counted(tmp_path: Path) -> None:
    place = new_workspace(tmp_path / "home", 5)
    on_trial(place, planted.nan_now(SPEC, 0.0), tmp_path, "started")
    served, counted = served_with(place)
    candidates = served.arm == "candidate"
    assert counted.invalid == counted.asked == candidates.sum()
    np.testing.assert_array_equal(served.fallback, candidates)
    assert set(served.version.tolist()) == {FIRST}


def test_a_shadow_decides_for_everybody_unseen(tmp_path: Path) -> None:
    place = new_workspace(tmp_path / "home", 5)
    on_trial(place, planted.fitted(SPEC), tmp_path, "shadow")
    served, counted = served_with(place)
    assert set(served.version.tolist()) == {FIRST}
    assert set(served.arm.tolist()) == {"active"}
    assert counted.asked == len(served.played)
    assert sum(counted.active_actions.values()) == counted.asked
    assert 0 < counted.agreed < counted.asked


def test_what_a_day_is_worth_is_the_mean_with_an_interval() -> None:
    found = worth_of(DAY)
    each = (MADE.propensities * MADE.expected_reward).sum(axis=1)
    assert found.value == pytest.approx(each.mean())
    half = 1.959964 * each.std(ddof=1) / np.sqrt(len(each))
    assert (found.low, found.high) == pytest.approx((each.mean() - half, each.mean() + half))
    assert found.n == len(each)


def test_peers_meet_the_same_people_and_the_one_who_learns_from_the_loops_log_needs_it() -> None:
    terms = LoopTerms(seed=21, people=700, days=2, fork=2, settings=QUICK.settings)
    rows = {name: live_as(name, terms, []) for name in (NO_LEARNING, UNIFORM)}
    assert rows[NO_LEARNING][0]["n"] == rows[UNIFORM][0]["n"]
    assert rows[NO_LEARNING][0]["value"] != rows[UNIFORM][0]["value"]
    assert [row["day"] for row in rows[UNIFORM]] == [1, 2]
    with pytest.raises(IndexError):
        live_as(BANDIT, terms, [])


def test_the_peoples_truth_is_of_those_who_arrive() -> None:
    truth = truth_of(SPEC)
    np.testing.assert_allclose(truth.responses.partner_mix, PopulationSpec().mix.partners())
    assert truth.responses.turn == 0.0


def test_goals_count_what_was_stopped_on_the_way_that_candidates_go() -> None:
    def row(name: str, stopped: bool, past: bool) -> dict[str, object]:
        return {"planted": name, "stopped": stopped, "past_the_gate": past}

    found = [row("a", True, False), row("b", False, False), row("b", True, True)]
    learned = [{"where": "home", "share": s} for s in (0.7, 0.9)]
    goals = {goal.name: goal for goal in tables.goals_of(learned, found)}
    assert goals["planted_bad_stopped_share"].measured.value == 0.5
    assert not goals["planted_bad_stopped_share"].met
    assert goals["gain_share_10k"].measured.value == pytest.approx(0.8)
    assert set(goals) == {"planted_bad_stopped_share", "gain_share_10k"}


def test_a_candidate_that_went_on_was_not_stopped() -> None:
    for stopped_by, stopped in (
        (trials.BY_GATE, True),
        (trials.ROLLED_BACK, True),
        ("evaluation", True),
        ("promoted", False),
        ("started", False),
        ("ended", False),
        ("awaiting_approval", False),
    ):
        assert trials.Fate(stopped_by).stopped is stopped


def test_the_last_days_share_stands_between_no_learning_and_the_optimum() -> None:
    rows = [
        {"system": s, "seed": 1, "day": d, "value": v, "low": v, "high": v, "n": 10}
        for d, values in ((1, (0.1, 0.5, 0.1)), (2, (0.1, 0.5, 0.4)))
        for s, v in zip((NO_LEARNING, OPTIMUM, tables.LOOP), values, strict=True)
    ]
    told = tables.served_table(rows)
    line = next(text for text in told.splitlines() if text.startswith(tables.LOOP))
    assert "0.750 [0.750, 0.750]" in line


def test_a_day_ends_at_midnight() -> None:
    assert end_of(date(2025, 1, 6)) == datetime(2025, 1, 7, tzinfo=UTC)
    assert NOTHING == 0
    assert uniform_policy is not logging_policy
