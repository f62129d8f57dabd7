"""Train on synthetic, test on real: is what synthetic journeys teach true of real people?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float, Float32, Int
from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from synthetic.quality.auc import auc_by_resample
from synthetic.quality.logistic import fit_logistic
from synthetic.quality.prediction import accepted
from synthetic.quality.resampling import Resampler, nothing
from synthetic.user_model.widest import public_projection

MOST_ROWS = 10_000
_MOST_INTERACTIONS = 160


@dataclass(frozen=True, slots=True)
class Transfer:
    """AUC on held-out people of a classifier taught by ``synthetic`` or by ``real`` decisions, and
    the ``share`` of the second that the first reaches."""

    synthetic: Estimate
    real: Estimate
    share: Estimate


def transfer(
    spec: LoopSpec,
    profiles: ProfileBatch,
    model: UserModel,
    training: EncodedEpisodes,
    held_out: EncodedEpisodes,
    rng: np.random.Generator,
) -> Transfer:
    """Teach the same classifier by both, and compare them on held-out people.

    Logistic regression on context, action and their interactions predicts whether a decision is accepted.
    One is taught by people's own decisions, the other by as many synthetic ones: a profile's context,
    a valid action at random, and a response of the user model. The interval is a bootstrap over the
    held-out people; it says nothing of how the teachers were drawn.
    """
    names = ("tstr_auc", "trtr_auc", "tstr_share")
    asked = held_out.where(np.isfinite(held_out.reward))
    taught = training.where(np.isfinite(training.reward))
    if len(taught) > MOST_ROWS:
        chosen = np.zeros(len(taught), dtype=np.bool_)
        chosen[rng.choice(len(taught), MOST_ROWS, replace=False)] = True
        taught = taught.where(chosen)
    features = _Features(len(spec.actions), held_out.interacting)

    def scores(context: Float32, action: Int, yes: Bool) -> Float | None:
        if yes.all() or not yes.any():
            return None
        fitted = fit_logistic(features(context, action), yes)
        return fitted.scores(features(asked.context, asked.action))

    yes = accepted(spec, asked.reward)
    real = scores(taught.context, taught.action, accepted(spec, taught.reward))
    made = scores(*_synthetic(spec, profiles, model, max(len(taught), 1), rng))
    if real is None or made is None or yes.all() or not yes.any():
        return Transfer(*(nothing(name, "every decision was answered alike") for name in names))
    by = Resampler(asked.person)
    first, second = (auc_by_resample(yes, s, by.owner, by.weights) for s in (made, real))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(second > 0.0, first / second, math.nan)
    return Transfer(
        *(by.estimate(n, f) for n, f in zip(names, (first, second, share), strict=True))
    )


class _Features:
    """Context, action, and the interacting dimensions by action: projected where they are too many."""

    def __init__(self, actions: int, interacting: Bool) -> None:
        inner = int(interacting.sum())
        kept = min(inner, _MOST_INTERACTIONS // actions)
        self._actions = actions
        self._crossed = public_projection(inner, kept) @ np.eye(len(interacting))[interacting]

    def __call__(self, context: Float32, action: Int) -> Float:
        whole = context.astype(np.float64)
        chosen = np.eye(self._actions)[action]
        crossed = chosen[:, :, None] * (whole @ self._crossed.T)[:, None, :]
        return np.column_stack(
            [whole, chosen, crossed.reshape(len(whole), chosen.shape[1] * len(self._crossed))]
        )


def _synthetic(
    spec: LoopSpec, profiles: ProfileBatch, model: UserModel, rows: int, rng: np.random.Generator
) -> tuple[Float32, Int, Bool]:
    drawn = rng.choice(len(profiles), rows, p=profiles.weight / profiles.weight.sum())
    context, mask = profiles.context[drawn], profiles.mask[drawn]
    action = np.where(mask, rng.random(mask.shape), -1.0).argmax(axis=1).astype(np.int64)
    reward = model.respond(context, context, action, rng).reward
    known = np.isfinite(reward)
    return context[known], action[known], accepted(spec, reward[known])
