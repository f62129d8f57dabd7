"""A run's evidence as its stages would hand it over: whole, sparse, and ended early."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from everloop import loops
from everloop.contracts.datasets import DatasetManifest, Exclusions, FileEntry
from everloop.contracts.evaluation import (
    Check,
    CheckStatus,
    Decision,
    Estimate,
    GroupValue,
    OverlapDiagnostics,
    PolicyEvaluation,
    TrainingExplanation,
    ValidationCheck,
    ValidationReport,
    Verdict,
)
from everloop.contracts.figures import (
    DailyFigure,
    HeadFigures,
    HeadModel,
    QualityFigures,
    RewardFigures,
    SignalFigures,
    SuccessFigure,
    TrainingFigures,
    TrainingPoint,
)
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance, StageRecord
from everloop.contracts.policy_learning import ComparedPolicy, PolicyComparison
from everloop.contracts.privacy import BudgetStatus, ReleaseNote
from everloop.contracts.rollouts import Artefact, Deployment, RolloutRecord
from everloop.reporting import RunEvidence

DATE = date(2025, 11, 21)


def sha(seed: int) -> str:
    return np.random.default_rng([3, seed]).bytes(32).hex()


def estimate(
    name: str, value: float, half: float, n: int = 5012, people: int = 1003, method: str = ""
) -> Estimate:
    return Estimate(
        name, value, value - half, value + half, 0.95, n, people,
        method or "normal, clustered by person",
    )  # fmt: skip


def manifest(loop: str, window: int, per_day: list[int]) -> DatasetManifest:
    days = {
        (DATE - timedelta(days=window - 1 - i)).isoformat(): count
        for i, count in enumerate(per_day)
    }
    return DatasetManifest(
        dataset_id=sha(1),
        loop=loop,
        tenant="default",
        logical_date=DATE,
        window_days=window,
        episode_watermark=10_024,
        signal_watermark=21_870,
        consent_revision=4,
        spec_sha256=sha(2),
        files=(
            FileEntry("episodes.parquet", sha(3), sum(per_day), 1_204_112),
            FileEntry("signals.parquet", sha(4), 21_861, 803_441),
        ),
        exclusions=Exclusions(12, 131, 3, 47, 88),
        episodes_per_day=days,
    )


def budget() -> BudgetStatus:
    return BudgetStatus(
        epsilon_budget=1.0,
        delta=1e-5,
        period_days=365,
        epsilon_tonight=0.0437,
        epsilon_period=0.5318,
        epsilon_since_first_seen=0.5318,
        mu_squared_budget=0.07185,
        mu_squared_period=0.02341,
        nights_left=327,
        people_retired=9,
    )


def note(stage: str, *, released: bool = True, reused: str = "") -> ReleaseNote:
    return ReleaseNote(
        release_id=f"rel-{stage}-{sha(9)[:12]}",
        stage=stage,
        released=released,
        reused=reused,
        epsilon=0.0371,
        delta=1e-5,
        mu_squared=0.000148,
        mechanism={"kind": "gaussian", "sigma": 164.4, "clip": 1.0, "steps": 4},
        people=1984,
        parameters=297,
        budget=budget(),
        metrics={"held_out_auc": 0.8631} if stage == "fit_user_model" else {},
        warnings=(),
    )


def curve() -> tuple[TrainingPoint, ...]:
    points = []
    for i in range(1, 31):
        reward = 0.31 - 0.22 * math.exp(-i / 7) + 0.004 * math.sin(2.1 * i)
        points.append(
            TrainingPoint(
                iteration=i,
                steps=2048 * i,
                reward=reward,
                low=reward - 0.021,
                high=reward + 0.021,
                kl=0.012 * math.exp(-i / 14) + 0.0013 * math.sin(i) ** 2,
                clip_fraction=0.1873,
                entropy=2.08 * math.exp(-i / 34),
                epsilon=0.3 - 0.25 * (i - 1) / 29,
                learning_rate=3e-4 * (1 + math.cos(math.pi * i / 31)) / 2,
                value_loss=0.0841,
                steps_per_second=8123.0,
            )
        )
    return tuple(points)


STAGE_TIMES = {
    "extract_episodes": (0.81, "9,869 episodes, 21,861 signals"),
    "validate_episodes": (5.12, "9 of 10 checks passed"),
    "aggregate_rewards": (1.74, "mean reward 0.213"),
    "fit_user_model": (6.93, "297 parameters from 1,984 people at ε = 0.037"),
    "generate_profiles": (1.22, "1,000 synthetic people"),
    "check_synthetic": (1.31, "all 3 checks passed"),
    "export_heads": (0.64, "pairing and emotion model"),
    "train_policy": (21.86, "61,440 steps, simulated reward 0.13 to 0.31"),
    "train_alternatives": (4.37, "3 learned: greedy, lin_ts, raw_dr"),
    "evaluate_policy": (2.63, "candidate \N{MINUS SIGN} baseline +0.071 [0.043, 0.099]"),
    "explain": (0.93, "5,012 explanations"),
    "gate": (0.22, "continue"),
    "register": (0.41, "registered"),
    "start_rollout": (0.31, "started at 1 % of traffic"),
}


def stages(names: list[str] | None = None) -> tuple[StageRecord, ...]:
    chosen = names or list(STAGE_TIMES)
    return tuple(
        StageRecord(n, "cached" if n == "extract_episodes" else "succeeded", *STAGE_TIMES[n])
        for n in chosen
    )


def rewards() -> RewardFigures:
    rng = np.random.default_rng(5)
    edges = tuple(float(e) for e in np.linspace(-1, 1, 21).round(2))
    counts = tuple(
        int(2300 * math.exp(-(((c - 0.2) / 0.28) ** 2) / 2) * (0.9 + 0.2 * rng.random()))
        for c in np.linspace(-0.95, 0.95, 20)
    )
    daily = []
    for i in range(28):
        mean = 0.205 + 0.02 * math.sin(i / 3)
        daily.append(
            DailyFigure(DATE - timedelta(days=27 - i), 352, mean, mean - 0.031, mean + 0.031)
        )
    daily[9] = DailyFigure(daily[9].date, 0, math.nan, math.nan, math.nan)
    return RewardFigures(
        episodes=9869,
        rewarded=9781,
        mean=estimate("mean reward", 0.2134, 0.0083, 9781, 1984),
        positive_share=0.7412,
        outcomes={"success": 5210, "neutral": 3877, "failure": 694},
        by_signal=(
            SignalFigures("engagement", 9781, 0.4127, 0.9911, 7034),
            SignalFigures("resonance", 3211, 0.1873, 0.3254),
            SignalFigures("explicit_feedback", 1422, 0.3317, 0.1441),
        ),
        daily=tuple(daily),
        histogram_edges=edges,
        histogram_counts=counts,
        anomalies=17,
        variance_limit=0.6127,
        anomaly_ids=("0b9d-flagged-1", "77aa-flagged-2"),
        anomaly_share=0.00174,
    )


ACTIONS = {
    "no_action": (0.137, 0.0713),
    "pair-one": (0.122, 0.2418),
    "pair-three": (0.128, 0.0611),
    "hive-walk": (0.119, 0.1512),
    "hive-music": (0.131, 0.0924),
    "intervene-calm": (0.118, 0.1877),
    "intervene-cheerful": (0.121, 0.0633),
    "intervene-practical": (0.124, 0.1312),
}


def groups(shift: float) -> tuple[GroupValue, ...]:
    return tuple(
        GroupValue("age_group", name, people, estimate(name, value + shift, half, n, people))
        for name, people, value, half, n in (
            ("under_25", 201, 0.201, 0.034, 1011),
            ("25_to_44", 447, 0.218, 0.022, 2203),
            ("45_to_64", 261, 0.224, 0.029, 1313),
            ("over_64", 94, 0.197, 0.052, 485),
        )
    )


def evaluation() -> PolicyEvaluation:
    return PolicyEvaluation(
        policy="candidate",
        baseline_name="logging policy",
        estimates=(
            estimate("IPS", 0.291, 0.041),
            estimate("SNIPS", 0.286, 0.031),
            estimate("DM", 0.302, 0.009),
            estimate("DR", 0.2845, 0.0281),
            estimate("SWITCH-DR", 0.2861, 0.0272),
            estimate("DRos", 0.2858, 0.0269),
        ),
        baseline=estimate("logging policy", 0.2137, 0.0117),
        difference=estimate(
            "difference",
            0.0708,
            0.0277,
            method="doubly robust, betting confidence sequence, clustered by person",
        ),
        overlap=OverlapDiagnostics(5012, 2214.0, 1.013, 0.971, 1.055, 8.41, 0.00164, 0.0, ()),
        groups=groups(0.07),
        baseline_groups=groups(0.0),
        action_share={name: shares[1] for name, shares in ACTIONS.items()},
    )


def comparison() -> PolicyComparison:
    """LinTS is chosen: better than PPO, not to be told from greedy; the raw log's earns little more."""

    def compared(learner: str, gain: float, provenance: Provenance) -> ComparedPolicy:
        found = replace(
            evaluation(),
            policy=learner,
            estimates=(estimate("dr", 0.2137 + gain, 0.0281),),
            difference=estimate("difference", gain, 0.0277, method="betting"),
            candidates=4,
        )
        return ComparedPolicy(learner, f"companion-{learner}", provenance, found)

    private, raw = Provenance.PRIVATE_RELEASE, Provenance.RAW_LOG
    return PolicyComparison(
        policies=(
            compared("ppo", 0.0311, private),
            compared("greedy", 0.0691, private),
            compared("lin_ts", 0.0708, private),
            compared("raw_dr", 0.0822, raw),
        ),
        chosen="lin_ts",
        distinguishable=False,
        reason="lin_ts has the best lower bound of those that may be shipped, but these people do not "
        "show that it is better than greedy (difference 0.0017 [\N{MINUS SIGN}0.0046, 0.0080]).",
        differences=(
            estimate("ppo", 0.0397, 0.0186),
            estimate("greedy", 0.0017, 0.0063),
            estimate("raw_dr", -0.0114, 0.0131),
        ),
        privacy_cost=estimate("privacy cost", 0.0114, 0.0131),
    )


def verdict() -> Verdict:
    checks = (
        Check("validation", CheckStatus.PASSED, "The data passed every expectation."),
        Check("overlap", CheckStatus.PASSED,
              "The effective sample of 2,214 is above 200.", 2214.0, 200.0),
        Check("non_inferiority", CheckStatus.PASSED,
              "The candidate's lower bound of +0.043 is above the margin of \N{MINUS SIGN}0.027.",
              0.0431, -0.0268),
        Check("synthetic_distance", CheckStatus.PASSED,
              "Synthetic people are 0.11 from real ones; 0.5 is allowed.", 0.1127, 0.5),
        Check("fairness", CheckStatus.PASSED,
              "No group of age_group falls below 0.9 of the others.", 0.961, 0.9),
        Check("anomalies", CheckStatus.PASSED, "0.17 % of episodes are flagged.", 0.00174, 0.05),
        Check("safety_critical", CheckStatus.PASSED,
              "18.8 % of decisions would be safety-critical.", 0.1877, 0.5),
        Check("explained", CheckStatus.PASSED, "Every decision is explained.", 1.0, 0.95),
    )  # fmt: skip
    return Verdict(Decision.CONTINUE, checks, {"evaluation": sha(21), "rewards": sha(22)})


def explanations() -> tuple[TrainingExplanation, ...]:
    return tuple(
        TrainingExplanation(
            episode_id=f"6f1c0a52-0000-4000-8000-00000000000{i}",
            context_summary="evening, calm pulse, 4 of 11 connections active this week",
            action_taken=action,
            expected_outcome=f"reward of about {expected}",
            actual_outcome=outcome,
            reward_received=reward,
            model_adjustment="The policy now prefers this action slightly more in such states.",
        )
        for i, (action, expected, outcome, reward) in enumerate(
            (
                ("pair-one", 0.31, "engaged, resonance 0.8", 0.46),
                ("intervene-calm", 0.22, "thumbs up", 0.52),
                ("no_action", 0.05, "no reaction", 0.0),
            )
        )
    )


def heads() -> HeadFigures:
    pairing = (
        estimate("pairing_accuracy", 0.7412, 0.0213, 1604, 811),
        estimate("pairing_majority_share", 0.6231, 0.0241, 1604, 811),
        estimate("pairing_f1", 0.6877, 0.0302, 1604, 811),
        estimate("pairing_balanced_accuracy", 0.7034, 0.0257, 1604, 811),
    )
    emotion = (
        estimate("resonance_rmse", 0.2071, 0.0086, 1573, 702),
        estimate("resonance_constant_rmse", 0.2467, 0.0091, 1573, 702),
        estimate("next_emotion_rmse", 0.1833, 0.0031, 3120, 790),
        estimate("next_emotion_unchanged_rmse", 0.1902, 0.0034, 3120, 790),
    )
    return HeadFigures(
        (
            HeadModel("pairing", "pairing.onnx", sha(61), "companion-pairing-5e1f", 4e-7, pairing),
            HeadModel("emotion", "emotion.onnx", sha(62), "companion-emotion-5e1f", 2e-7, emotion),
        )
    )


def deployments() -> tuple[Deployment, ...]:
    """Six that the gate answered, newest first, and one by hand: of four pairs three lie inside."""

    def made(
        number: int, answer: Verdict | None, predicted: float, measured: float, outcome: str
    ) -> Deployment:
        parts = (
            Artefact("policy", f"checkpoint-{number}", f"companion-night-{number}", sha(number)),
        )
        return Deployment(
            deployment_id=f"deployment-{number}",
            loop="companion",
            artefacts=parts,
            made_at=datetime(2025, 11, number, 3, tzinfo=UTC),
            verdict=answer,
            predicted=None if answer is None else estimate("difference", predicted, 0.03),
            measured=None if math.isnan(measured) else estimate("effect", measured, 0.02),
            outcome=outcome,
        )

    nan, waits = math.nan, Check("fairness", CheckStatus.INSUFFICIENT, "Few.", person_decides=True)
    held = Verdict(Decision.HOLD, (waits,))
    return (
        made(20, verdict(), 0.0708, nan, ""),
        made(17, verdict(), 0.05, 0.0411, "promoted"),
        made(12, held, 0.03, 0.0122, "promoted"),
        made(9, held, 0.01, nan, ""),
        made(7, verdict(), 0.04, -0.0213, "rolled_back"),
        made(3, verdict(), 0.02, 0.0214, "ended"),
        made(1, None, nan, nan, ""),
    )


@pytest.fixture
def full() -> RunEvidence:
    """A run that reached its last stage with a verdict of continue."""
    spec = loops.load("companion")
    return RunEvidence(
        spec=spec,
        run_id="companion-2025-11-21-7b1c",
        logical_date=DATE,
        manifest=manifest(
            "companion", 28, [340 + (37 * i) % 61 if i != 9 else 0 for i in range(28)]
        ),
        validation=ValidationReport(
            sha(1),
            (
                ValidationCheck("rows_present", True, "9,869", "at least 200"),
                ValidationCheck("propensity_range", True, "0.0125 to 0.91", "(0, 1]"),
                ValidationCheck("inverse_propensity_mean", True, "1.004", "0.8 to 1.2"),
                ValidationCheck("freshness", True, "3.2 hours", "at most 48 hours"),
                ValidationCheck("volume", False, "0 on 3 November", "70 to 630", "warning"),
                ValidationCheck("unique_ids", True, "9,869 of 9,869", "all"),
            ),
        ),
        rewards=rewards(),
        user_model=note("fit_user_model"),
        profiles=note(
            "generate_profiles",
            released=False,
            reused="profiles are refitted every 90 days; the release of 2 October serves",
        ),
        quality=QualityFigures(
            (
                estimate("feature_distance", 0.1127, 0.0213, 1000, 1000, "energy distance, bootstrap"),
                estimate("two_sample_auc", 0.571, 0.024, 2000, 2000, "logistic classifier, 5 folds"),
            ),
            (
                Check("distance", CheckStatus.PASSED, "0.11 is below 0.5.", 0.1127, 0.5),
                Check("diversity", CheckStatus.PASSED, "Every archetype appears.", 6.0, 6.0),
            ),
        ),
        heads=heads(),
        training=TrainingFigures(curve(), 61_440, sha(31), 0.1174, 0.3102, 7, 19_528),
        evaluation=evaluation(),
        comparison=comparison(),
        logged_action_share={name: shares[0] for name, shares in ACTIONS.items()},
        verdict=verdict(),
        rollout=RolloutRecord(
            "roll-1f0c", "companion", "3c9d6a7e", None, "started", 1.0, (),
            datetime(2025, 11, 22, 3, 4, tzinfo=UTC),
        ),
        checkpoint=ModelCheckpoint(
            checkpoint_id="3c9d6a7e-0f3e-5d17-9a0c-2f4fe0a2a7c1",
            model_type=ModelType.INTERVENTION,
            loop="companion",
            weights_url="file:///runs/blobs/policy.onnx",
            weights_sha256=sha(41),
            performance_metrics={"value": 0.2845},
            training_date=datetime(2025, 11, 22, 3, 2, tzinfo=UTC),
            provenance=Provenance.PRIVATE_RELEASE,
            lineage={"encoder": "public-projection-1", "code": sha(42), "version": "companion-7b1c"},
            verdict="continue",
            files={"policy.onnx": sha(41), "card.md": sha(43)},
        ),
        explanations=explanations(),
        explanations_total=5012,
        deployments=deployments(),
        success=(
            SuccessFigure("pairing_accuracy", 0.65, 0.85, "share",
                          Estimate("pairing_accuracy", 0.6412, 0.6173, 0.6644, 0.95, 1604, 811,
                                   "Wilson, clustered by person"),
                          "resonance above 0 over the 1,604 of 2,440 suggest pairing decisions with "
                          "resonance evidence"),
            SuccessFigure("resonance_prediction_rmse", 0.25, 0.15, "rmse",
                          Estimate("rmse", 0.2071, 0.1983, 0.2155, 0.95, 1573, 702, "root"),
                          "the user model's resonance on 1,573 held-out decisions", True),
            SuccessFigure("intervention_acceptance", 0.40, 0.70, "share",
                          Estimate("ia", 0.7021, 0.6872, 0.7164, 0.95, 3587, 1320, "Wilson"),
                          "engagement above 0 over the 3,587 of 3,587 intervention decisions with "
                          "engagement evidence"),
            SuccessFigure("user_trust_score", 3.5, 4.2, "score", None,
                          "no answers yet: nobody has answered the trust survey"),
            SuccessFigure("opt_out_rate", 0.02, 0.02, "share",
                          Estimate("oo", 0.00601, 0.00344, 0.01048, 0.95, 1996, 1996, "Wilson"),
                          "12 of 1,996 people known to the tenant refused training", True),
        ),
        lineage={"code": sha(42), "graph": sha(51)},
        stages=stages(),
    )  # fmt: skip


@pytest.fixture
def sparse() -> RunEvidence:
    """Real-log-like: one click in 263 rows, no person ids, held for lack of evidence."""
    spec = loops.load("open_bandit")
    clicks = Estimate("mean reward", 0.0038, 0.00277, 0.00521, 0.95, 10_000, 10_000, "Wilson")
    flat = Estimate("DR", 0.0043, -0.0011, 0.0097, 0.95, 5012, 5012, "betting")
    return RunEvidence(
        spec=spec,
        run_id="open_bandit-2025-11-21-01aa",
        logical_date=DATE,
        tenant="all",
        manifest=replace(
            manifest("open_bandit", 7, [1404, 1511, 1392, 1433, 1480, 1377, 1403]),
            exclusions=Exclusions(),
        ),
        rewards=RewardFigures(
            episodes=10_000,
            rewarded=10_000,
            mean=clicks,
            positive_share=0.0038,
            outcomes={"success": 38, "neutral": 9962},
            by_signal=(SignalFigures("click", 10_000, 0.0038, 1.0, 38),),
            daily=tuple(
                DailyFigure(DATE - timedelta(days=6 - i), 1430, m, m - 0.002, m + 0.004)
                for i, m in enumerate((0.003, 0.0051, 0.0036, 0.0021, 0.0047, 0.0036, 0.0045))
            ),
            histogram_edges=tuple(float(e) for e in np.linspace(-1, 1, 21).round(2)),
            histogram_counts=(0,) * 10 + (9962,) + (0,) * 8 + (38,),
            comparison=Estimate("bts", 0.0042, 0.0031, 0.0057, 0.95, 10_000, 10_000, "Wilson"),
        ),
        user_model=replace(note("fit_user_model"), warnings=("N·δ = 1.2 is above 1.",)),
        evaluation=PolicyEvaluation(
            policy="candidate",
            baseline_name="logging policy",
            estimates=(flat, replace(flat, name="IPS", high=0.0139)),
            baseline=replace(clicks, name="logging policy", n=5012, clusters=5012),
            difference=Estimate("difference", 0.0005, -0.0051, 0.0058, 0.95, 5012, 5012, "betting"),
            overlap=OverlapDiagnostics(
                5012, 148.0, 1.11, 0.92, 1.31, 71.2, 0.0128, 0.0,
                ("The effective sample of 148 is below 200.",),
            ),
            positive_rewards=19,
            action_share={f"item-{i}": (i + 1) / 3240 for i in range(80)},
        ),
        logged_action_share={f"item-{i}": 1 / 80 for i in range(80)},
        verdict=Verdict(
            Decision.HOLD,
            (
                Check("overlap", CheckStatus.INSUFFICIENT,
                      "The effective sample of 148 is below 200.", 148.0, 200.0),
                Check("non_inferiority", CheckStatus.INSUFFICIENT,
                      "The lower bound of \N{MINUS SIGN}0.0051 is below the margin of "
                      "\N{MINUS SIGN}0.00019; 38 clicks cannot tell.", -0.0051, -0.00019),
                Check("validation", CheckStatus.PASSED, "The data passed every expectation."),
            ),
        ),
        rollout=RolloutRecord(
            "roll-2", "open_bandit", "aa11", None, "refused", 0.0,
            ("the gate holds for lack of evidence",), datetime(2025, 11, 22, tzinfo=UTC), "all",
        ),
    )  # fmt: skip


@pytest.fixture
def ended() -> RunEvidence:
    """A run that ended in validation."""
    return RunEvidence(
        spec=loops.load("companion"),
        run_id="companion-2025-11-21-dead",
        logical_date=DATE,
        manifest=manifest("companion", 28, [0] * 28),
        validation=ValidationReport(
            sha(1), (ValidationCheck("rows_present", False, "0", "at least 200"),)
        ),
        stages=stages(["extract_episodes", "validate_episodes"]),
    )
