"""How good the pairing and the emotion model are on held-out people: exact figures, for inside alone."""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float, Int
from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec
from synthetic.heads.export import pairing_actions
from synthetic.heads.intervals import ratio_of, root_mean_square_of, share_of
from synthetic.people import following
from synthetic.user_model.responses import ResponseModel

ACCEPTED_ABOVE = 0.5
"""Predicted acceptance above which a pairing counts as predicted to be accepted."""


def head_figures(
    spec: LoopSpec, model: ResponseModel, episodes: EncodedEpisodes
) -> tuple[Estimate, ...]:
    """What the exported heads say of held-out decisions against what became of them.

    - ``pairing_accuracy``, ``pairing_f1``, ``pairing_balanced_accuracy``: acceptance predicted above .5
      against a reward of at least ``reward.success_at``, over pairing decisions with the partners that
      they had; ``pairing_majority_share`` is what always giving the more frequent answer would reach.
      F1 = 2 TP / (2 TP + FP + FN); balanced accuracy is the mean of the two classes' shares.
    - ``<signal>_rmse`` of each signal that a success metric of unit rmse names (every signal where none
      does), in its declared units (a two-sided one has half the error that it has on [-1, 1]), and
      ``<signal>_constant_rmse``, what its held-out mean would reach.
    - ``next_emotion_rmse`` over the moving dimensions, within [-1, 1], where the person's next held-out
      decision is known, and ``next_emotion_unchanged_rmse``, what predicting no change would reach. People
      are taken to rest at the mean of their held-out contexts up to the decision, as a product knows them.

    A figure of which nothing was seen is left out. Intervals are 95 %, clustered by person.

    Args:
        spec: the loop.
        model: a release; the figures are exact and stay inside the trust boundary.
        episodes: all of a dataset, or its ``evaluation`` alone.
    """
    held = np.flatnonzero(
        episodes.holdout
        & ~episodes.comparison
        & np.isfinite(episodes.reward)
        & np.isfinite(episodes.propensity)
    )
    return (
        *_pairing(spec, model, episodes, held),
        *_signals(spec, model, episodes, held),
        *_next_contexts(model, episodes, held),
    )


def _pairing(
    spec: LoopSpec, model: ResponseModel, episodes: EncodedEpisodes, held: Int
) -> tuple[Estimate, ...]:
    rows = held[np.isin(episodes.action[held], pairing_actions(spec))]
    if not len(rows):
        return ()
    slate = None if episodes.slate is None else episodes.slate[rows]
    chance = model.acceptance(episodes.context[rows], episodes.action[rows], slate)
    true, said = episodes.reward[rows] >= spec.reward.success_at, chance > ACCEPTED_ABOVE
    person = episodes.person[rows]
    right = (true == said).astype(np.float64)
    majority = (true == (2 * true.sum() > len(true))).astype(np.float64)
    found = [
        share_of("pairing_accuracy", right, person),
        share_of("pairing_majority_share", majority, person),
    ]
    both, either = 2.0 * (true & said), true.astype(np.float64) + said
    if either.any():
        value = float(both.sum() / either.sum())
        found.append(ratio_of("pairing_f1", value, (both - value * either) / either.sum(), person))
    if true.any() and not true.all():
        found.append(_balanced(right, true, person))
    return tuple(found)


def _balanced(right: Float, true: Bool, person: Int) -> Estimate:
    value, influence = 0.0, np.zeros(len(right))
    for side in (true, ~true):
        share = float(right[side].mean())
        value += share / 2.0
        influence[side] = (right[side] - share) / side.sum() / 2.0
    return ratio_of("pairing_balanced_accuracy", value, influence, person)


def _signals(
    spec: LoopSpec, model: ResponseModel, episodes: EncodedEpisodes, held: Int
) -> tuple[Estimate, ...]:
    named = [m.signal for m in spec.success_metrics if m.unit == "rmse"]
    slate = None if episodes.slate is None else episodes.slate[held]
    said = model.expected_signals(episodes.context[held], episodes.action[held], slate)
    found: list[Estimate] = []
    for place, signal in enumerate(spec.signals):
        true = episodes.signals[held, place]
        known = np.isfinite(true)
        if (named and signal.name not in named) or not known.any():
            continue
        unit, person = 0.5 if signal.two_sided else 1.0, episodes.person[held][known]
        away = unit * (said[known, place] - true[known])
        constant = unit * (true[known].mean() - true[known])
        found.append(root_mean_square_of(f"{signal.name}_rmse", away**2, person))
        found.append(root_mean_square_of(f"{signal.name}_constant_rmse", constant**2, person))
    return tuple(found)


def _next_contexts(
    model: ResponseModel, episodes: EncodedEpisodes, held: Int
) -> tuple[Estimate, ...]:
    after = following(episodes)
    rows, moving = held[after.row[held] >= 0], model.features.moving
    if not len(rows) or not len(moving):
        return ()
    context, person = episodes.context[rows], episodes.person[rows]
    true = after.context[after.row[rows]][:, moving].astype(np.float64)
    resting = context.copy()
    resting[:, moving] = _so_far(episodes, held, moving)[after.row[held] >= 0]
    said = model.next_context(context, episodes.action[rows], resting)
    stays = context[:, moving].astype(np.float64)
    return (
        root_mean_square_of("next_emotion_rmse", ((said - true) ** 2).mean(axis=1), person),
        root_mean_square_of(
            "next_emotion_unchanged_rmse", ((stays - true) ** 2).mean(axis=1), person
        ),
    )


def _so_far(episodes: EncodedEpisodes, held: Int, moving: Int) -> Float:
    """(h, m) mean of the moving dimensions over the person's held-out contexts up to each of them."""
    order = held[np.lexsort((episodes.timestamp[held], episodes.person[held]))]
    person, values = episodes.person[order], episodes.context[order][:, moving].astype(np.float64)
    first = np.r_[True, person[1:] != person[:-1]]
    start = np.flatnonzero(first)[np.cumsum(first) - 1]
    total = np.cumsum(values, axis=0)
    mean = total - total[start] + values[start]
    mean /= (np.arange(len(order)) - start + 1)[:, None]
    found = np.zeros((len(episodes), len(moving)))
    found[order] = mean
    return np.asarray(found[held])
