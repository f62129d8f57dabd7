from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from everloop.contracts import documents
from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import PolicyEvaluation
from everloop.contracts.models import PolicyOutput, States
from rl.off_policy import bounds, scoring, values
from rl.off_policy import evaluate as module
from rl.off_policy.evaluate import LOGGING_POLICY, evaluate


def _changed(episodes: EncodedEpisodes, **fields: Any) -> EncodedEpisodes:
    return dataclasses.replace(episodes, **fields)


def _named(found: PolicyEvaluation) -> dict[str, Any]:
    return {estimate.name: estimate for estimate in found.estimates}


def test_values_are_near_the_truth_and_ordered(world: Any) -> None:
    """The good candidate wins, the bad one loses, against the log and against each other."""
    spec, episodes = world.spec, world.episodes
    good = evaluate(spec, episodes, world.good, None)
    bad = evaluate(spec, episodes, world.bad, None)
    duel = evaluate(spec, episodes, world.bad, world.good)
    for found, policy in ((good, world.good), (bad, world.bad)):
        for name in ("ips", "snips", "dr", "switch_dr", "dr_os"):
            assert _named(found)[name].value == pytest.approx(world.value(policy), abs=0.06), name
        assert found.baseline.value == pytest.approx(world.value(None), abs=0.03)
        assert found.baseline_name == LOGGING_POLICY
        assert found.overlap.problems == ()
    for found, want in (
        (good, world.value(world.good) - world.value(None)),
        (bad, world.value(world.bad) - world.value(None)),
        (duel, world.value(world.bad) - world.value(world.good)),
    ):
        assert found.difference.low < want < found.difference.high
        assert found.difference.low < found.difference.value < found.difference.high
    assert good.difference.low > 0
    assert bad.difference.high < 0
    assert duel.difference.high < 0
    assert duel.baseline_name == "good"
    assert duel.baseline.value == pytest.approx(_named(good)["dr"].value)


def test_turning_the_sides_turns_the_interval(world: Any) -> None:
    there = evaluate(world.spec, world.episodes, world.bad, world.good).difference
    back = evaluate(world.spec, world.episodes, world.good, world.bad).difference
    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))


def test_a_candidate_against_itself_is_not_better(world: Any) -> None:
    found = evaluate(world.spec, world.episodes, world.good, world.good)
    assert found.difference.value == 0.0
    assert found.difference.low < 0.0 < found.difference.high


def test_values_are_the_formulas_on_held_out_rows_alone(world: Any) -> None:
    """DR and the difference again, row by row, from public pieces; scrambling training rewards of
    other columns changes nothing but the model."""
    spec, episodes = world.spec, world.episodes
    setting = bounds.prepare(spec, episodes, 0.1, 1)
    judged, total, against = setting.judged, 0.0, 0.0
    pi = world.good.act(States(judged.context, judged.mask), 0.1).propensity
    q = setting.model.predict(judged.context)
    for i in range(len(judged)):
        a = judged.action[i]
        w = pi[i, a] / judged.propensity[i]
        value = sum(pi[i, b] * q[i, b] for b in range(4)) + w * (judged.reward[i] - q[i, a])
        total += value
        against += value - judged.reward[i]
    found = evaluate(spec, episodes, world.good, None)
    assert _named(found)["dr"].value == pytest.approx(total / len(judged), abs=1e-9)
    assert found.difference.value == pytest.approx(against / len(judged), abs=1e-9)
    assert found.difference.n == len(judged)
    assert judged.holdout.all()


def test_nothing_that_steers_a_bound_has_seen_the_held_out_rewards(world: Any) -> None:
    """The reward model, its range and the plan's pilot are the same whatever held-out people earn."""
    episodes = world.episodes
    reward = np.where(episodes.holdout, -episodes.reward, episodes.reward)
    one = bounds.prepare(world.spec, episodes, 0.1, 1)
    two = bounds.prepare(world.spec, _changed(episodes, reward=reward), 0.1, 1)
    np.testing.assert_array_equal(one.model.shared, two.model.shared)
    np.testing.assert_array_equal(one.model.by_action, two.model.by_action)
    assert one.known == two.known
    np.testing.assert_array_equal(one.pilot.reward, two.pilot.reward)
    assert not one.pilot.holdout.any()


def test_blocks_of_rows_do_not_matter(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate(world.spec, world.episodes, world.good, world.bad)
    monkeypatch.setattr(scoring, "_ROWS", 101)
    parts = evaluate(world.spec, world.episodes, world.good, world.bad)
    assert _named(parts)["dr"].value == pytest.approx(_named(whole)["dr"].value, abs=1e-12)
    assert parts.difference.low == pytest.approx(whole.difference.low, abs=1e-9)


def test_each_person_counts_with_their_first_decisions(world: Any) -> None:
    """k keeps 95 % of the training people's decisions and is the same for everybody."""
    setting = bounds.prepare(world.spec, world.episodes, 0.1, 1)
    training = world.episodes.training
    counts = np.unique(training.person, return_counts=True)[1]
    k = setting.known.most
    assert np.minimum(counts, k).sum() >= 0.95 * counts.sum() > np.minimum(counts, k - 1).sum()
    kept = np.unique(setting.judged.person, return_counts=True)[1]
    assert kept.max() == k
    person = setting.judged.person[0]
    mine = np.flatnonzero(world.episodes.person == person)
    used = setting.rows[setting.judged.person == person]
    np.testing.assert_array_equal(used, mine[:k])
    np.testing.assert_array_equal(
        world.episodes.episode_id[setting.rows], setting.judged.episode_id
    )


def test_rows_are_those_of_the_contract(world: Any) -> None:
    """With comparison arms, missing rewards and missing propensities among them."""
    rng = np.random.default_rng(0)
    n = len(world.episodes)
    episodes = _changed(
        world.episodes,
        comparison=rng.random(n) < 0.2,
        reward=np.where(rng.random(n) < 0.2, math.nan, world.episodes.reward),
        propensity=np.where(rng.random(n) < 0.2, math.nan, world.episodes.propensity),
    )
    for rows, part in (
        (scoring.training_rows(episodes), episodes.training),
        (scoring.judged_rows(episodes), episodes.evaluation),
    ):
        np.testing.assert_array_equal(episodes.episode_id[rows], part.episode_id)


def test_a_large_pilot_is_cut_by_whole_people(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_PILOT_ROWS", 300)
    pilot = bounds.prepare(world.spec, world.episodes, 0.1, 1).pilot
    assert 200 < len(pilot) <= 300
    training = world.episodes.training
    last = pilot.person.max()
    assert (pilot.person == last).sum() > 0
    assert set(training.person[training.person <= last]) == set(pilot.person)


def test_more_candidates_on_one_holdout_widen_the_bounds(world: Any) -> None:
    one = evaluate(world.spec, world.episodes, world.good, None).difference
    ten = evaluate(world.spec, world.episodes, world.good, None, candidates=10).difference
    assert ten.low < one.low
    assert ten.high > one.high
    assert (one.confidence, ten.confidence) == (pytest.approx(0.9), pytest.approx(0.99))


def test_it_tells_how_many_were_held_out_and_judged(world: Any) -> None:
    told = evaluate(world.spec, world.episodes, world.good, None, candidates=3)
    assert told.candidates == 3
    assert told.held_out == len(world.episodes.evaluation)
    assert told.overlap.n < told.held_out


def test_no_limit_is_said_in_words(world: Any) -> None:
    methods = [e.method for e in evaluate(world.spec, world.episodes, world.good, None).estimates]
    assert not any("inf" in method for method in methods)
    assert values._limit(math.inf) == "no limit"
    assert values._limit(12.5) == "12.5"


def test_a_propensity_below_the_floor_drops_the_control_variates(world: Any) -> None:
    """The declared floor is contradicted: no bound on weights is claimed, and the interval holds."""
    strict = evaluate(world.spec, world.episodes, world.good, None, exploration_floor=0.9)
    declared = evaluate(world.spec, world.episodes, world.good, None, exploration_floor=0.4)
    want = world.value(world.good) - world.value(None)
    assert strict.difference.low < want < strict.difference.high
    assert strict.difference.low <= declared.difference.low
    setting = bounds.prepare(world.spec, world.episodes, 0.9, 1)
    assert setting.known.overshoot == math.inf


def test_groups_follow_their_episodes(world: Any) -> None:
    """Labels are given for every episode and must arrive at the judged ones, in order."""
    episodes = world.episodes
    labels = np.where(episodes.context[:, 0] > 0, "right", "left")
    found = evaluate(world.spec, episodes, world.good, None, groups={"age": labels})
    setting = bounds.prepare(world.spec, episodes, 0.1, 1)
    for group in found.baseline_groups:
        rows = (setting.judged.context[:, 0] > 0) == (group.group == "right")
        assert group.estimate.value == pytest.approx((setting.judged.reward[rows].mean() + 1) / 2)
    assert [g.group for g in found.groups] == ["left", "right"]


def test_action_share_is_the_candidates_own(world: Any) -> None:
    found = evaluate(world.spec, world.episodes, world.good, None)
    judged = bounds.prepare(world.spec, world.episodes, 0.1, 1).judged
    pi = world.good.act(States(judged.context, judged.mask), 0.1).propensity.mean(axis=0)
    assert list(found.action_share) == list(world.spec.action_ids)
    assert list(found.action_share.values()) == pytest.approx(pi.tolist())
    assert found.positive_rewards == int((judged.reward > 0).sum())


def test_comparison_logs_are_reported_and_never_judged(world: Any) -> None:
    episodes = world.episodes
    comparison = episodes.person < 100
    marked = _changed(episodes, comparison=comparison)
    found = evaluate(world.spec, marked, world.good, None)
    assert found.comparison is not None
    assert found.comparison.value == pytest.approx(episodes.reward[comparison].mean())
    assert found.comparison.n == comparison.sum()
    assert found.comparison.clusters == 100
    assert found.difference.n < evaluate(world.spec, episodes, world.good, None).difference.n
    assert evaluate(world.spec, episodes, world.good, None).comparison is None


def _assert_nothing(found: PolicyEvaluation, says: str) -> None:
    assert len(found.overlap.problems) == 1
    assert says in found.overlap.problems[0]
    assert found.difference.n == 0
    for estimate in (found.difference, found.baseline, *found.estimates):
        assert math.isnan(estimate.value)
        assert math.isnan(estimate.low)
    assert [e.name for e in found.estimates] == ["ips", "snips", "dm", "dr", "switch_dr", "dr_os"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda e: {"holdout": np.zeros(len(e), dtype=bool)}, "no held-out decision"),
        (lambda e: {"propensity": np.full(len(e), math.nan)}, "no held-out decision"),
        (lambda e: {"reward": np.full(len(e), math.nan)}, "no held-out decision"),
        (lambda e: {"holdout": np.ones(len(e), dtype=bool)}, "no rewarded decision of the other"),
        (lambda e: {"propensity": np.zeros(len(e))}, "propensity outside (0, 1], the first is 0"),
        (lambda e: {"propensity": np.full(len(e), 1.5)}, "propensity outside"),
        (lambda e: {"reward": e.reward * 3}, "outside the attainable range [-1, 1]"),
    ],
    ids=["holdout", "propensity", "reward", "training", "zero", "above one", "range"],
)
def test_what_cannot_be_judged_says_so(
    world: Any, change: Callable[[EncodedEpisodes], dict[str, Any]], says: str
) -> None:
    episodes = _changed(world.episodes, **change(world.episodes))
    found = evaluate(world.spec, episodes, world.good, None)
    _assert_nothing(found, says)
    assert found.positive_rewards == 0


def test_an_empty_day_is_an_answer(world: Any) -> None:
    nobody = world.episodes.where(np.zeros(len(world.episodes), dtype=bool))
    _assert_nothing(evaluate(world.spec, nobody, world.good, None), "0 of 0 decisions")


def test_an_active_policy_of_another_encoding_cannot_be_compared(world: Any) -> None:
    old = dataclasses.replace(world.bad, encoder="encoder-0")
    _assert_nothing(evaluate(world.spec, world.episodes, world.good, old), "encoder-0")


def test_a_day_without_a_positive_reward(draw_world: Callable[..., Any]) -> None:
    empty = draw_world(6, sparse=0.01)
    episodes = _changed(empty.episodes, reward=np.zeros(len(empty.episodes)))
    found = evaluate(empty.spec, episodes, empty.good, None)
    assert found.positive_rewards == 0
    assert found.baseline.value == 0.0
    assert found.difference.low <= 0.0 <= found.difference.high


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"candidates": 0}, "candidates=0"),
        ({"exploration_floor": 0.0}, "exploration_floor=0"),
        ({"groups": {"age": np.array(["x"])}}, "has 1 labels"),
    ],
)
def test_wrong_arguments_are_refused(world: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ShouldFixArgument, match=says):
        evaluate(world.spec, world.episodes, world.good, None, **arguments)


def test_a_candidate_of_another_encoding_is_refused(world: Any) -> None:
    other = dataclasses.replace(world.good, encoder="encoder-0")
    with pytest.raises(ShouldFixArgument, match="encoder-0"):
        evaluate(world.spec, world.episodes, other, None)


def test_a_person_on_both_sides_is_refused(world: Any) -> None:
    leaking = world.episodes.holdout.copy()
    leaking[:5] = ~leaking[:5]
    with pytest.raises(ShouldFixArgument, match="both trained on and held out"):
        evaluate(world.spec, _changed(world.episodes, holdout=leaking), world.good, None)


def test_a_policy_that_ignores_the_mask_is_refused(world: Any) -> None:
    class Reckless:
        version, encoder = "reckless", world.good.encoder

        def act(self, states: States, epsilon: float) -> PolicyOutput:
            uniform = np.full(states.mask.shape, 0.25)
            return PolicyOutput(uniform, uniform, np.zeros(len(uniform)))

    with pytest.raises(ShouldFixArgument, match="not valid"):
        evaluate(world.spec, world.episodes, Reckless(), None)


def test_wrong_propensities_are_noticed(world: Any) -> None:
    episodes = _changed(world.episodes, propensity=np.minimum(1.0, world.episodes.propensity * 1.3))
    problems = evaluate(world.spec, episodes, world.good, None).overlap.problems
    assert any("valid actions x propensity" in problem for problem in problems)
    assert any("mean importance weight" in problem for problem in problems)


def test_the_active_policys_overlap_counts_too(draw_world: Callable[..., Any]) -> None:
    """A log that holds the candidate's actions but hardly the active one's."""
    world = draw_world(8, masked=False, min_effective_sample=900)
    strange = dataclasses.replace(world.bad, sharpness=50.0)
    mild = dataclasses.replace(world.good, sharpness=0.0)
    problems = evaluate(world.spec, world.episodes, mild, strange).overlap.problems
    assert problems
    assert all(problem.startswith("For the active policy: ") for problem in problems)


@pytest.mark.parametrize("outcome", [(0.2, 0.1), ShouldFixArgument("A value is below.")])
def test_bounds_that_contradict_one_another_are_no_bounds(
    world: Any, monkeypatch: pytest.MonkeyPatch, outcome: Any
) -> None:
    def broken(*_: object) -> tuple[float, float]:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(module, "bounds_of_difference", broken)
    found = evaluate(world.spec, world.episodes, world.good, None)
    assert math.isnan(found.difference.low)
    assert math.isnan(found.difference.high)
    assert math.isfinite(found.difference.value)
    assert found.overlap.problems[-1].endswith(".")


def test_an_evaluation_survives_its_file(world: Any, tmp_path: Any) -> None:
    found = evaluate(world.spec, world.episodes, world.good, None)
    nothing = evaluate(
        world.spec,
        world.episodes.where(np.zeros(len(world.episodes), dtype=bool)),
        world.good,
        None,
    )
    for value in (found, nothing):
        path = documents.write(value, tmp_path / "evaluation.json")
        again = documents.read(PolicyEvaluation, path)
        assert documents.to_json(again) == documents.to_json(value)


@pytest.mark.parametrize("sparse", [0.0, 0.005], ids=["dense", "sparse"])
def test_coverage_of_the_gates_bounds(draw_world: Callable[..., Any], sparse: float) -> None:
    """Each side misses the truth in at most alpha of fresh logs (alpha = .1, three errors)."""
    trials, alpha = 150, 0.1
    truth = draw_world(999, people=20_000, mean_episodes=3, sparse=sparse)
    want = truth.value(truth.good) - truth.value(None)
    above = below = 0
    for seed in range(trials):
        drawn = draw_world(seed, people=300, mean_episodes=3, sparse=sparse, alpha=alpha)
        d = evaluate(drawn.spec, drawn.episodes, drawn.good, None).difference
        above += d.low > want
        below += d.high < want
    allowed = trials * alpha + 3 * math.sqrt(trials * alpha * (1 - alpha))
    assert above <= allowed
    assert below <= allowed


def test_coverage_of_the_reported_intervals(draw_world: Callable[..., Any]) -> None:
    trials = 150
    truth = draw_world(999, people=20_000, mean_episodes=3)
    want = truth.value(truth.good)
    hits = dict.fromkeys(("ips", "snips", "dr"), 0)
    for seed in range(trials):
        drawn = draw_world(seed, people=300, mean_episodes=3)
        estimates = _named(evaluate(drawn.spec, drawn.episodes, drawn.good, None))
        for name in hits:
            hits[name] += estimates[name].low <= want <= estimates[name].high
    for name, count in hits.items():
        assert count / trials > 0.95 - 4 * math.sqrt(0.95 * 0.05 / trials), name
