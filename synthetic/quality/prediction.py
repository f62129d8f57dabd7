"""How well the user model foresees held-out people: signals, acceptance and rewards."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float
from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec, SignalSpec
from everloop.contracts.simulation import UserModel
from synthetic.quality.auc import auc_by_resample
from synthetic.quality.resampling import Resampler, nothing


@dataclass(frozen=True, slots=True)
class Prediction:
    """``skill``: over all signal types, see ``skills_of``; ``others``: everything else measured."""

    skill: Estimate
    others: tuple[Estimate, ...] = ()


def prediction(spec: LoopSpec, model: UserModel, held_out: EncodedEpisodes) -> Prediction:
    """Measure the model on rewarded held-out episodes.

    ``user_model_skill``: 1 - squared error over that of the best constant, mean over signal types by
    their weight; the same for each type as ``skill_NAME``, and ``rmse_NAME`` in its own range.
    A decision is accepted where its reward reaches ``reward.success_at``: ``acceptance_accuracy`` is
    the share of decisions that the model calls rightly at a chance of a half, ``acceptance_majority``
    the share of the commoner answer beside it, ``acceptance_auc`` the area under the ROC curve and
    ``acceptance_brier`` the mean squared error of the chance. ``expected_reward_error`` is the root
    mean squared error of the expected reward, ``expected_reward_bias`` its mean error.
    """
    rows = held_out.where(np.isfinite(held_out.reward))
    if not len(rows):
        return Prediction(nothing("user_model_skill"))
    by = Resampler(rows.person)
    skill, others = _skills(spec, model, rows, by)
    return Prediction(skill, (*others, *_acceptance(spec, model, rows, by)))


def accepted(spec: LoopSpec, reward: Float) -> Bool:
    """(n,) whether each decision was accepted: its reward reaches ``reward.success_at``."""
    return np.asarray(reward >= spec.reward.success_at)


def _acceptance(
    spec: LoopSpec, model: UserModel, rows: EncodedEpisodes, by: Resampler
) -> tuple[Estimate, ...]:
    yes = accepted(spec, rows.reward)
    chance = np.asarray(model.acceptance(rows.context, rows.action), dtype=np.float64)
    error = model.expected_reward(rows.context, rows.action) - rows.reward
    share = by.mean(yes.astype(np.float64))
    ranked = auc_by_resample(yes, chance, by.owner, by.weights)
    return (
        by.estimate("acceptance_accuracy", by.mean((yes == (chance >= 0.5)).astype(np.float64))),
        by.estimate("acceptance_majority", np.maximum(share, 1.0 - share)),
        by.estimate("acceptance_auc", ranked)
        if np.isfinite(ranked[0])
        else nothing("acceptance_auc", "every held-out decision was answered alike"),
        by.estimate("acceptance_brier", by.mean((chance - yes) ** 2)),
        by.estimate("expected_reward_error", np.sqrt(by.mean(error**2))),
        by.estimate("expected_reward_bias", by.mean(error)),
    )


def _skills(
    spec: LoopSpec, model: UserModel, rows: EncodedEpisodes, by: Resampler
) -> tuple[Estimate, tuple[Estimate, ...]]:
    expected = model.expected_signals(rows.context, rows.action)
    skills: list[tuple[str, float, Float, Bool]] = []
    errors: list[Estimate] = []
    for index, signal in enumerate(spec.signals):
        found = rows.signals[:, index]
        known: Bool = np.isfinite(found)
        if not known.any():
            continue
        error = by.mean((found - expected[:, index]) ** 2, known)
        baseline = np.maximum(by.mean(found**2, known) - by.mean(found, known) ** 2, 0.0)
        scaled = np.sqrt(error) * _own_range(signal)
        errors.append(by.estimate(f"rmse_{signal.name}", scaled, known))
        with np.errstate(divide="ignore", invalid="ignore"):
            skill = np.where(baseline > 0.0, 1.0 - error / baseline, math.nan)
        if np.isfinite(skill[0]):
            skills.append((signal.name, signal.weight, skill, known))
    if not skills:
        return nothing("user_model_skill"), tuple(errors)
    overall = np.average(
        np.stack([skill for _, _, skill, _ in skills]), axis=0, weights=[w for _, w, _, _ in skills]
    )
    single = [by.estimate(f"skill_{name}", skill, known) for name, _, skill, known in skills]
    return by.estimate("user_model_skill", overall), (*single, *errors)


def _own_range(signal: SignalSpec) -> float:
    """Length of the signal's own range per unit of its mean's range: 1/2 for a two-sided one."""
    return (signal.high - signal.low) / 2.0 if signal.two_sided else 1.0
