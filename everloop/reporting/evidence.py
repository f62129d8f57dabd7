"""``RunEvidence``: everything that a run report shows, as far as the run came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

import numpy as np

from everloop.contracts.datasets import DatasetManifest, EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import (
    Estimate,
    PolicyEvaluation,
    TrainingExplanation,
    ValidationReport,
    Verdict,
)
from everloop.contracts.figures import (
    HeadFigures,
    QualityFigures,
    RewardFigures,
    SpendingDay,
    SuccessFigure,
    TrainingFigures,
)
from everloop.contracts.group_patterns import GroupPattern
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, StageRecord
from everloop.contracts.policy_learning import PolicyComparison
from everloop.contracts.privacy import BudgetStatus, ReleaseNote
from everloop.contracts.rollouts import Deployment, RolloutRecord
from everloop.contracts.sweeps import SweepTable
from everloop.reporting.wording import sentence, words

STAGES: Mapping[str, str] = {
    "extract_episodes": "extraction",
    "validate_episodes": "validation",
    "aggregate_rewards": "reward aggregation",
    "fit_user_model": "the user model",
    "generate_profiles": "profile generation",
    "check_synthetic": "the synthetic quality check",
    "export_heads": "the pairing and emotion models",
    "train_policy": "policy training",
    "train_alternatives": "the alternative policies",
    "evaluate_policy": "evaluation",
    "explain": "explanation",
    "gate": "the gate",
    "register": "registration",
    "start_rollout": "the rollout",
}
"""Stages of the daily graph in order, each with its name in a sentence."""

DAILY, EXPERIMENT = "daily-learning", "experiment"
GRAPHS: Mapping[str, Mapping[str, str]] = {
    DAILY: STAGES,
    EXPERIMENT: {
        **{name: STAGES[name] for name in tuple(STAGES)[:3]},
        "load_releases": "the night's releases",
        "export_heads": STAGES["export_heads"],
        "sweep_policies": "the search for settings",
        **{name: STAGES[name] for name in tuple(STAGES)[9:]},
    },
}
"""The same of every graph whose runs are reported so."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Where and why a run ended before its last stage."""

    stage: str
    reason: str

    @property
    def sentence(self) -> str:
        known = {name: told for stages in GRAPHS.values() for name, told in stages.items()}
        return sentence(f"This run ended at {known.get(self.stage, self.stage)}: {self.reason}")


@dataclass(frozen=True, slots=True)
class StageLine:
    """A stage as the report lists it; ``record`` is None where the run never reached it."""

    stage: str
    outcome: Literal["succeeded", "cached", "skipped", "failed", "not reached"]
    seconds: float | None
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvidence:
    """A run's findings; what a run did not reach is None or empty.

    Attributes:
        user_model, profiles: the night's private releases, or what was reused instead.
        logged_action_share: action id -> share of the held-out episodes that logged it, in [0, 1].
        explanations: a sample of the run's explanations; ``explanations_total`` counts all.
        success: from ``success_figures``; empty when the episodes were never encoded.
        lineage: name -> id or checksum of everything that the run's result was made from.
        stages: the runner's records in order; empty where the runner keeps them elsewhere.
        spending: privacy spent by day up to the logical date, oldest first.
        patterns: groups that the profiles' release allows to tell.
        deployments: the loop's, newest first, with what was predicted and measured of each.
        sweep: an experiment's trials.
        graph: whose run it is, one of ``GRAPHS``.
        ended_at, ended_because: the stage at which the run ended early and a sentence why; needed
            only where neither a failed stage nor a failed validation says so.

    Raises:
        ShouldFixArgument: ``ended_at`` without ``ended_because``, or an unknown graph.
    """

    spec: LoopSpec
    run_id: str
    logical_date: date
    tenant: str = "default"
    manifest: DatasetManifest | None = None
    validation: ValidationReport | None = None
    rewards: RewardFigures | None = None
    user_model: ReleaseNote | None = None
    profiles: ReleaseNote | None = None
    quality: QualityFigures | None = None
    heads: HeadFigures | None = None
    training: TrainingFigures | None = None
    evaluation: PolicyEvaluation | None = None
    comparison: PolicyComparison | None = None
    logged_action_share: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    rollout: RolloutRecord | None = None
    checkpoint: ModelCheckpoint | None = None
    explanations: tuple[TrainingExplanation, ...] = ()
    explanations_total: int = 0
    success: tuple[SuccessFigure, ...] = ()
    lineage: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[StageRecord, ...] = ()
    spending: tuple[SpendingDay, ...] = ()
    patterns: tuple[GroupPattern, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    ended_at: str = ""
    ended_because: str = ""
    sweep: SweepTable | None = None
    graph: str = DAILY

    def __post_init__(self) -> None:
        if self.graph not in GRAPHS:
            raise ShouldFixArgument(
                f"Run {self.run_id} is of graph {self.graph!r}, which has no report.",
                f"Graphs: {', '.join(GRAPHS)}.",
            )
        if self.ended_at and not self.ended_because:
            raise ShouldFixArgument(
                f"Run {self.run_id} ended at {self.ended_at!r} without a reason.",
                "Give ended_because.",
            )

    @property
    def ending(self) -> Ending | None:
        """Why the run is shorter than the graph, or None when it reached its last stage."""
        if self.ended_at:
            return Ending(self.ended_at, self.ended_because)
        for record in self.stages:
            if record.outcome == "failed":
                return Ending(record.stage, record.summary or "the stage failed.")
        if self.validation is not None and not self.validation.passed:
            failed = [
                f"{words(c.name)} {c.observed}, expected {c.expected}"
                for c in self.validation.checks
                if not c.passed and c.severity == "error"
            ]
            return Ending("validate_episodes", "; ".join(failed) or "no check was made")
        return None

    def missing(self, what: str) -> str:
        """Sentence that says why ``what`` is not in this report."""
        ending = self.ending
        if ending is None:
            return f"This run recorded no {what}."
        return f"Not reached. {ending.sentence}"

    @property
    def releases(self) -> tuple[tuple[str, ReleaseNote], ...]:
        """(what was released, note) of the night, in the order in which they were made."""
        measured = self.quality.release if self.quality else None
        notes = (
            ("user model", self.user_model),
            ("synthetic profiles", self.profiles),
            ("quality figures", measured),
        )
        return tuple((name, note) for name, note in notes if note is not None)

    @property
    def budget(self) -> BudgetStatus | None:
        """The privacy budget after the night's last release."""
        return max(
            (note.budget for _, note in self.releases),
            key=lambda budget: (budget.mu_squared_period, budget.epsilon_tonight),
            default=None,
        )

    @property
    def odds_factor(self) -> float:
        """e^epsilon of the whole budget: by how much odds about a person can change."""
        return math.exp(self.budget.epsilon_budget) if self.budget else math.nan

    @property
    def plan_lasts_until(self) -> date | None:
        """Last day that the plan covers for the person who has spent most; None for the whole period.

        What was charged a period ago has left the budget by then, so that the plan goes on.
        """
        budget = self.budget
        if budget is None or budget.nights_left >= budget.period_days:
            return None
        return self.logical_date + timedelta(days=budget.nights_left)

    def measured(self, name: str) -> Estimate | None:
        """The estimate of synthetic quality of that name, if it was measured."""
        found = self.quality.estimates if self.quality else ()
        return next((e for e in found if e.name == name and math.isfinite(e.value)), None)

    @property
    def stage_lines(self) -> tuple[StageLine, ...]:
        """The runner's records, then the stages of the graph that the run never reached."""
        seen = {record.stage for record in self.stages}
        lines = [StageLine(r.stage, r.outcome, r.seconds, r.summary) for r in self.stages]
        lines += [
            StageLine(stage, "not reached", None, "")
            for stage in GRAPHS[self.graph]
            if stage not in seen
        ]
        return tuple(lines)


def logged_action_share(spec: LoopSpec, episodes: EncodedEpisodes) -> Mapping[str, float]:
    """Share of each catalogue action among the episodes that candidates are judged on.

    Returns:
        action id -> share in [0, 1], in catalogue order; empty when there is no such episode.
    """
    actions = episodes.evaluation.action
    if not len(actions):
        return {}
    counts = np.bincount(actions, minlength=len(spec.action_ids))
    return {name: float(n) / len(actions) for name, n in zip(spec.action_ids, counts, strict=True)}
