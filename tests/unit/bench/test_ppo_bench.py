"""The PPO benchmark's own parts: its problem, the peers' views of it, its goals."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.utils.flop_counter
from gymnasium.utils.seeding import np_random
from gymnasium.vector import VectorEnv

from bench.ppo.problem import Evaluation, Problem, Size, best_return, brute_force_return, played
from bench.ppo.rounds import OURS, SB3, Rounds, goals
from bench.ppo.systems import SYSTEMS
from bench.ppo.terms import QUICK, Terms
from bench.ppo.trace import Point, figures, reached
from bench.ppo.views import JourneyVecEnv, NextStepVectorEnv
from bench.ppo.with_cleanrl import Agent
from bench.ppo.with_everloop import plan_of
from bench.private.rows import Rows
from bench.record import ROOT
from rl.environment.journeys import JourneyBatch
from rl.environment.views import JourneyVectorEnv
from rl.module import PolicyNetwork

SMALL = Size(width=60, actions=5, length=3, types=3, people=40)
VALID = 0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_best_return_is_what_trying_every_sequence_gives(seed: int) -> None:
    problem = Problem(SMALL, seed)
    people = problem.people(seed)
    best = best_return(problem, people)
    np.testing.assert_allclose(best, brute_force_return(problem, people), atol=1e-6)
    assert best.min() > 0.0


def test_a_type_is_told_by_the_context_alone() -> None:
    problem = Problem(Size(), 3)
    people = problem.people(8)
    # all of a type's people have the type's signs and no other's
    signs = np.sign(people.context[:, -problem.signs.shape[1] :])
    agree = (signs[:, None, :] == np.sign(problem.signs)[None]).mean(axis=2)
    assert (agree.argmax(axis=1) == problem.kind(people.context)).all()
    assert (np.sort(agree, axis=1)[:, -1] == 1.0).all()


def test_the_key_is_worth_more_than_the_best_first_merit() -> None:
    problem = Problem(Size(), 0)
    people = problem.people(0)
    kind = problem.kind(people.context)
    merit = np.where(people.mask[:, None, :], problem.merit[kind], -1.0)
    later = [merit[:, t].argmax(axis=1) for t in range(1, problem.size.length)]
    key = (people.mask & problem.key[kind]).argmax(axis=1)
    opened = played(problem, people, [key, *later]).mean()
    closed = played(problem, people, [merit[:, 0].argmax(axis=1), *later]).mean()
    assert opened > 1.2 * closed


def test_evaluation_gives_one_to_the_best_policy_and_takes_no_invalid_action() -> None:
    problem = Problem(Size(), 1)
    evaluation = Evaluation(problem, 1, people=64)
    length, actions = problem.size.length, problem.size.actions

    def best(observation: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        context, mask = observation[:, :-actions], observation[:, -actions:] > VALID
        kind, decision = problem.kind(context), context[:, :length].argmax(axis=1)
        merit = problem.merit[kind, decision]
        can_open = (mask & problem.key[kind]).any(axis=1)
        opening = (decision == 0) & can_open
        return np.where(opening[:, None], problem.key[kind], merit)

    assert evaluation.share(best) > 0.97  # a first merit may beat the key for a few
    assert evaluation.share(lambda seen: np.zeros((len(seen), actions))) < 0.5
    worst = evaluation.share(lambda seen: -seen[:, -actions:])  # prefers what is not valid
    assert 0.0 <= worst < 0.5


@pytest.mark.parametrize("folded", [False, True])
def test_every_view_earns_the_same_for_the_same_actions(folded: bool) -> None:
    problem = Problem(SMALL, 2)
    source, rng = problem.source(2), np.random.default_rng(5)
    gymnasium: VectorEnv[Any, Any, Any] = JourneyVectorEnv(source, 7)
    theirs, _ = gymnasium.reset(seed=11)
    journeys = JourneyBatch(source, 7)
    ours = journeys.reset(np_random(11)[0])
    peer = JourneyVecEnv(source, 7, folded)
    peer.seed(11)
    view = peer.reset()
    for _ in range(10):
        np.testing.assert_array_equal(ours, view)
        np.testing.assert_array_equal(ours, theirs)
        valid = ours[:, SMALL.width :] > VALID
        np.testing.assert_array_equal(np.stack(peer.env_method("action_masks")), valid)
        action = np.where(valid, rng.random(valid.shape), -1.0).argmax(axis=1)
        step = journeys.step(action)
        ours = journeys.observation
        theirs, earned, terminated, _, _ = gymnasium.step(action)
        view, reward, done, infos = peer.step(action)
        np.testing.assert_array_equal(step.reward, earned)
        np.testing.assert_array_equal(step.reward.astype(np.float32), reward)
        np.testing.assert_array_equal(step.done, terminated)
        np.testing.assert_array_equal(step.done, done)
        assert not step.truncated.any()
        for row in np.flatnonzero(done):
            np.testing.assert_array_equal(infos[row]["terminal_observation"], step.following[row])


def test_where_resets_take_a_step_the_same_decisions_earn_the_same() -> None:
    problem = Problem(SMALL, 2)
    env = NextStepVectorEnv(problem, problem.source(2), 7)
    seen, _ = env.reset(seed=3)
    people = problem.people(2)
    for _ in range(3):
        first, actions = seen, []
        for decision in range(SMALL.length):
            assert (seen[:, decision] == 1.0).all()
            actions.append(seen[:, SMALL.width :].argmax(axis=1))
            seen, reward, ended, _, _ = env.step(actions[-1])
            assert (ended == (decision == SMALL.length - 1)).all()
        rows = [(people.context == one).all(axis=1).argmax() for one in first[:, : SMALL.width]]
        of = replace(people, context=people.context[rows], mask=people.mask[rows])
        np.testing.assert_array_equal(played(problem, of, actions), reward)
        seen, reward, ended, _, _ = env.step(np.zeros(7, dtype=np.int64))
        assert not reward.any()
        assert not ended.any()


def test_an_invalid_action_counts_as_the_first_where_the_mask_is_folded() -> None:
    problem = Problem(SMALL, 2)
    source = problem.source(2)
    views = [JourneyVecEnv(source, 7, folded=True) for _ in range(2)]
    for view in views:
        view.seed(4)
        view.reset()
    earned = [0.0, 0.0]
    for _ in range(SMALL.length):
        invalid = np.where(views[0].action_masks(), 0, 1).argmax(axis=1)  # 0 where all are valid
        for i, action in enumerate((invalid, np.zeros(7, dtype=np.int64))):
            earned[i] += float(views[i].step(action)[1].sum())
    assert earned[0] == earned[1]


def test_all_have_the_same_network() -> None:
    size = Terms().size
    ours = PolicyNetwork(size.width, size.actions, Terms().hidden, 0)
    peer = Agent(size.width, size.actions, Terms().hidden)
    shapes = [sorted(tuple(p.shape) for p in n.parameters()) for n in (ours, peer)]
    assert shapes[0] == shapes[1]
    plan = plan_of(QUICK, Problem(QUICK.size, 0), 0)
    assert plan.steps_per_iteration == QUICK.batch
    assert plan.epsilon(0) == 0.0


def test_flops_are_those_of_the_matrix_products() -> None:
    terms = Terms(epochs=3)
    network = PolicyNetwork(terms.size.width, terms.size.actions, terms.hidden, 0)
    observation = torch.zeros(10, terms.size.width + terms.size.actions)
    counted = torch.utils.flop_counter.FlopCounterMode(display=False)
    with counted:
        with torch.no_grad():
            network(observation)
        for _ in range(terms.epochs):
            logits, values = network(observation)
            (logits.sum() + values.sum()).backward()
    assert terms.flops_per_step == counted.get_total_flops() / 10


def test_figures_and_the_point_that_is_reached() -> None:
    points = [Point(100, 1.0, 0.5), Point(200, 2.5, 0.8), Point(300, 3.0, 0.79)]
    assert reached(points) == points[1]
    assert reached(points[:1]) is None
    row = figures(Terms(), points, 1e9)
    assert (row["steps_per_cpu_s"], row["steps_to_80"], row["cpu_s_to_80"]) == (100.0, 200, 2.5)
    assert row["share_of_sgemm_rate"] == pytest.approx(Terms().flops_per_step * 100.0 / 1e9)


def row(rate: float, steps: int | None) -> dict[str, Any]:
    return {
        "steps_per_cpu_s": rate,
        "steps_to_80": steps,
        "steps": 1000,
        "share_of_sgemm_rate": 0.5,
        "curve": [{}] * 10,
    }


def test_goals_compare_within_rounds_and_with_the_better_of_a_peers_two() -> None:
    masked, plain = SB3
    one = {name: row(1000.0, 500) for name in SYSTEMS} | {OURS: row(2000.0, 400)}
    one |= {plain: row(1600.0, None), masked: row(1200.0, 500)}
    two = one | {OURS: row(2400.0, 600), masked: row(1200.0, None)}
    vs_sb3, vs_masked, vs_cleanrl, steps, sgemm = goals([one, two])
    assert (vs_sb3.name, vs_sb3.measured.low, vs_sb3.measured.high) == (
        "cpu_ratio_vs_sb3",
        1.25,
        1.5,
    )
    assert (vs_masked.measured.low, vs_masked.measured.high) == pytest.approx((2000 / 1200, 2.0))
    assert (vs_cleanrl.name, vs_cleanrl.measured.value) == ("cpu_ratio_vs_cleanrl", 2.2)
    # 400 / 500, and 600 / (1000 and one update of 100): the peer that never got there
    assert (steps.name, steps.sense) == ("steps_to_80_vs_sb3", "max")
    assert (steps.measured.low, steps.measured.high) == pytest.approx((600 / 1100, 0.8))
    assert (sgemm.name, sgemm.measured.value) == ("share_of_sgemm_rate", 0.5)
    with pytest.raises(RuntimeError, match="never earned"):
        goals([one | {OURS: row(2000.0, None)}])


def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def train(name: str, seed: int, quick: bool) -> dict[str, Any]:
        started.append(name)
        return row(1.0, 5) | {"cpu_s_to_80": 1.0, "last_share": 0.9, "peak_mb": 1.0}

    monkeypatch.setattr("bench.ppo.rounds.run", train)
    rounds = Rounds(Rows(tmp_path, "source"), {"torch": "1"})
    first = rounds.play(1, 7, quick=False)
    assert started == [*list(SYSTEMS)[1:], OURS]
    assert rounds.play(1, 7, quick=False) == first
    assert len(started) == len(SYSTEMS)
    Rounds(Rows(tmp_path, "source"), {"torch": "2"}).play(1, 7, quick=False)
    assert len(started) == 2 * len(SYSTEMS)


@pytest.mark.slow
def test_a_smoke_run_ends_with_a_record() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.ppo", "--quick"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert [r["system"] for r in told["rows"]] == list(SYSTEMS)
    assert told["goals"] == []
