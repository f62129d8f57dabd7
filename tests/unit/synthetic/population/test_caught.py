"""Each misbehaviour meets a check of ours that finds it, and the check is quiet where nobody misbehaves."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bench.loop import planted
from bench.private.population_log import encode_wide
from everloop.contracts.contexts import plain
from everloop.contracts.datasets import Bool, Float
from everloop.contracts.episodes import Arm
from everloop.contracts.evaluation import GroupValue
from everloop.contracts.feedback import FeedbackStatus, FeedbackType
from everloop.contracts.rollouts import ExperimentFigures, RolloutRecord, Stay
from everloop.feedback.quality import assess
from everloop.feedback.quality_records import Incoming, Sent
from everloop.gates.fairness import alerts, parities
from everloop.rewards.anomaly import variance_limit
from everloop.rollout.assignment import arms_of
from everloop.rollout.experiment.analyse import analyse
from everloop.rollout.experiment.observations import TrialObservations
from everloop.validation.contexts import look_into
from everloop.validation.expectations import FEW_DAYS, expectations
from everloop.validation.facts import measure
from rl.off_policy.intervals import clustered_mean
from synthetic.population import (
    Bots,
    DayOfDecisions,
    Misbehaviour,
    Poison,
    Policy,
    Population,
    PopulationSpec,
    Season,
    Turn,
    WideContexts,
    logging_policy,
    neglecting,
)
from synthetic.population.archetypes import AGE_GROUPS
from synthetic.population.catalogue import SIGNALS
from synthetic.population.day import BOT, POISONER
from synthetic.population.scripts import contradicting, praising
from tests.made_datasets import Row, write_dataset
from tests.unit.synthetic.population.truths import LOOP

START = PopulationSpec().start
OFTEN = 1.0


def good(contexts: WideContexts, valid: Bool, _rng: np.random.Generator) -> Float:
    """What suits most people."""
    return chosen(planted.fitted(LOOP), contexts, valid)


def victim(contexts: WideContexts, valid: Bool, _rng: np.random.Generator) -> Float:
    """What suits people whose traits mean what they always meant."""
    return chosen(planted.drift_victim(LOOP, 0.0), contexts, valid)


def heedless(contexts: WideContexts, valid: Bool, _rng: np.random.Generator) -> Float:
    """What suits people's moods, whatever they show of themselves."""
    return chosen(planted.betting(LOOP, -1.0), contexts, valid)


def chosen(policy: planted.Linear, contexts: WideContexts, valid: Bool) -> Float:
    logits = encode_wide(LOOP, contexts).astype(float) @ policy.weights + policy.bias
    logits = np.where(valid, logits, -np.inf)
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def played(
    misbehaviour: Misbehaviour, count: int, people: int, policy: Policy, **others: float
) -> list[DayOfDecisions]:
    spec = PopulationSpec(visits_per_day=OFTEN, misbehaviour=misbehaviour, **others)  # type: ignore[arg-type]
    population = Population(LOOP, people, 17, spec)
    return [population.day(START + timedelta(days=k), policy) for k in range(count)]


def unfair_groups(days: list[DayOfDecisions]) -> set[str]:
    """Groups whose parity the gate's own test refutes on what people answered."""
    low, high = LOOP.reward.attainable_low, LOOP.reward.attainable_high
    reward = np.concatenate([d.decisions.reward for d in days])
    group = np.concatenate([d.decisions.contexts.age_group for d in days])
    users = np.unique([u for d in days for u in d.user_ids], return_inverse=True)[1]
    values = []
    for place, name in enumerate(AGE_GROUPS):
        rows = group == place
        scaled = (reward[rows] - low) / (high - low)
        mean = clustered_mean("group value", scaled, users[rows], 0.95, "t")
        values.append(GroupValue("age_group", name, mean.clusters, mean))
    compared = parities(tuple(values), LOOP.thresholds.fairness_parity)
    return {p.group for p in alerts(compared, LOOP.thresholds.alpha)}


@pytest.mark.parametrize(
    ("terms", "policy"),
    [
        ({"group_gap": 1.0}, logging_policy),
        ({"misbehaviour": Misbehaviour(group_turn=np.pi)}, good),
        ({}, neglecting(good, "over_64", 0.8)),
    ],
    ids=[
        "an action suits a group less",
        "a group's tastes are others",
        "a policy neglects a group",
    ],
)
def test_unfairness_raises_the_gates_alert(terms: dict[str, object], policy: Policy) -> None:
    told = dict(terms)
    misbehaviour = told.pop("misbehaviour", Misbehaviour())
    days = played(misbehaviour, 4, 900, policy, **told)  # type: ignore[arg-type]
    assert unfair_groups(days) == {"over_64"}


@pytest.mark.parametrize("policy", [logging_policy, good])
def test_fair_people_and_policies_raise_no_alert(policy: Policy) -> None:
    assert not unfair_groups(played(Misbehaviour(), 4, 900, policy))


RECORD = RolloutRecord(
    rollout_id="trial",
    loop=LOOP.name,
    candidate="new",
    active="old",
    state="started",
    traffic_percent=50.0,
    reasons=("It may.",),
    recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
    history=(Stay("started", 50.0, datetime(2026, 1, 1, tzinfo=UTC)),),
)


def trial(turns: tuple[Turn, ...], days: int = 12) -> ExperimentFigures:
    """The product's analysis of a trial at half of the traffic, against a policy that heeds no traits."""
    spec = PopulationSpec(visits_per_day=OFTEN, misbehaviour=Misbehaviour(turns=turns))
    population = Population(LOOP, 900, 17, spec)
    columns = defaultdict(list)
    for k in range(days):
        seen: list[tuple[str, ...]] = []

        def decide(
            contexts: WideContexts,
            valid: Bool,
            rng: np.random.Generator,
            seen: list[tuple[str, ...]] = seen,
        ) -> Float:
            met = arms_of(list(seen[0]), RECORD, 50.0) == Arm.CANDIDATE.value
            others = heedless(contexts, valid, rng)
            return np.where(met[:, None], victim(contexts, valid, rng), others)

        day = population.day(
            START + timedelta(days=k), decide, lambda v, seen=seen: seen.append(v.user_ids)
        )
        columns["people"] += list(day.user_ids)
        for name in ("timestamp", "reward", "signals"):
            columns[name].append(getattr(day.decisions, name))
    names, person = np.unique(columns["people"], return_inverse=True)
    time = np.concatenate(columns["timestamp"])
    observed = TrialObservations(
        person=person,
        timestamp=(time * 1_000_000).astype("datetime64[us]"),
        arm=(arms_of(columns["people"], RECORD, 50.0) == Arm.CANDIDATE.value).astype(np.int8),
        percent=np.full(len(time), 50.0),
        reward=np.concatenate(columns["reward"]),
        signals=np.concatenate(columns["signals"]),
        signal_names=SIGNALS,
        before=np.full(len(names), np.nan),
        shares={50.0: 0.5},
    )
    return analyse(LOOP, RECORD, observed, datetime(2026, 2, 1, tzinfo=UTC))


def test_tastes_that_turn_in_a_trial_are_found_by_its_cusum_and_steady_ones_are_not() -> None:
    steady, turning = trial(()), trial((Turn(day=6, radians=np.pi),))
    assert not steady.drifted
    assert turning.drifted
    assert turning.days[-1].effect < turning.days[0].effect - 0.15


def test_poisoners_stand_out_by_the_variance_of_their_signals() -> None:
    """By person, over twenty decisions and more: one episode's few signals vary so much among honest people
    that the robust limit lies beyond any variance that signals in [-1, 1] can have."""
    terms = Misbehaviour(poison=(Poison(0.05, contradicting()),))
    for misbehaviour in (terms, Misbehaviour()):
        days = played(misbehaviour, 40, 300, good)
        logs, false = defaultdict(list), set()
        for day in days:
            told = day.decisions.evidence
            mapped = np.where(told.kind == 0, told.value, 2 * told.value - 1)
            for row, user in enumerate(day.user_ids):
                mine = mapped[told.decision == row]
                if len(mine) > 1:
                    logs[user].append(np.var(mine, ddof=1))
                if day.role[row] == POISONER:
                    false.add(user)
        known = {u: np.log(np.mean(found)) for u, found in logs.items() if len(found) >= 20}
        means = np.array(list(known.values()))
        middle = float(np.median(means))
        spread = float(np.median(np.abs(means - middle)))
        limit = variance_limit(middle, spread, len(means))
        flagged = {user for user, mean in known.items() if np.exp(mean) > limit}
        expected = false & set(known)
        assert bool(expected) == bool(misbehaviour.poison)
        assert flagged <= expected
        assert len(flagged) >= 0.9 * len(expected)


def thumbs(days: list[DayOfDecisions], role: int) -> dict[str, list[tuple[datetime, datetime]]]:
    """User -> (when it was decided, when they judged it) of everybody of a role."""
    found = defaultdict(list)
    for day in days:
        told = day.decisions.evidence
        for row, kind, latency in zip(told.decision, told.kind, told.latency, strict=True):
            if SIGNALS[kind] == "explicit_feedback" and day.role[row] == role:
                shown = datetime.fromtimestamp(int(day.decisions.timestamp[row]), UTC)
                after = shown + timedelta(seconds=int(latency))
                found[day.user_ids[row]].append((shown, after))
    return found


def quarantined(judged: list[tuple[datetime, datetime]]) -> bool:
    """Whether the door to feedback holds the newest of somebody's thumbs, given those before it."""

    def said(cls: type, moments: tuple[datetime, datetime], **more: object) -> Incoming:
        shown, after = moments
        return cls(  # type: ignore[no-any-return]
            feedback_type=FeedbackType.THUMB,
            value=1,
            received_at=after,
            claimed_at=after,
            shown_at=shown,
            client={"user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/141.0"},
            **more,
        )

    *before, last = sorted(judged, key=lambda m: m[1])
    history = [
        said(Sent, m, feedback_id=str(i), status=FeedbackStatus.ACCEPTED)
        for i, m in enumerate(reversed(before))
    ]
    return assess(said(Incoming, last), history, last[1]).quarantined  # type: ignore[arg-type]


def test_bots_are_told_from_people_by_their_rhythm() -> None:
    days = played(Misbehaviour(bots=Bots(0.1, praising())), 14, 150, logging_policy)
    bots = [t for t in thumbs(days, BOT).values() if len(t) >= 8]
    people = [t for t in thumbs(days, 0).values() if len(t) >= 4]
    assert len(bots) >= 10
    assert len(people) >= 20
    assert all(quarantined(t) for t in bots)
    assert not any(quarantined(t) for t in people)


@pytest.mark.parametrize(("amplitude", "usual"), [(1.0, False), (0.0, True)])
def test_a_weeks_trough_is_an_unusual_volume(amplitude: float, usual: bool, tmp_path: Path) -> None:
    season = Season("visits", amplitude, period=2.0 * (FEW_DAYS + 1))
    spec = PopulationSpec(visits_per_day=0.5, misbehaviour=Misbehaviour(seasons=(season,)))
    population = Population(LOOP, 300, 17, spec)
    days = [population.day(START + timedelta(days=k), logging_policy) for k in range(FEW_DAYS + 2)]
    rows = [
        Row(1000 * k + row, timestamp=datetime.fromtimestamp(int(when), UTC))
        for k, day in enumerate(days)
        for row, when in enumerate(day.decisions.timestamp)
    ]
    made = write_dataset(tmp_path / "d", rows, logical_date=START + timedelta(days=FEW_DAYS + 1))
    counted = {day.date.isoformat(): len(day) for day in days}
    made = replace(made, manifest=replace(made.manifest, episodes_per_day=counted))
    found = expectations(LOOP, measure(LOOP, made), look_into(LOOP, made, plain))
    volume = next(e for e in found if e.name == "volume as usual")
    assert volume.severity == "error"
    assert (volume.value <= LOOP.thresholds.volume_tolerance) is usual


def test_a_season_of_rewards_is_seen_in_daily_means_and_nowhere_else() -> None:
    for amplitude, seen in ((0.8, True), (0.0, False)):
        days = played(
            Misbehaviour(seasons=(Season("rewards", amplitude, 7.0),)), 14, 500, logging_policy
        )
        means = np.array([d.decisions.reward.mean() for d in days])
        error = np.array([d.decisions.reward.std() / np.sqrt(len(d)) for d in days])
        wave = np.cos(2 * np.pi * np.arange(14) / 7)
        weight = wave / error**2
        slope = (weight * (means - means.mean())).sum() / (weight * wave).sum()
        z = slope / np.sqrt(1 / (weight * wave).sum())
        assert bool(abs(z) > 5) is seen
