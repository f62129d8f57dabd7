"""What the noise cost: the private user model beside the same model without noise, on held-out people.

The reference is a function of the raw log. Neither it nor the figures leave the trust boundary.
"""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import UserModel
from synthetic.quality.auc import auc_by_resample
from synthetic.quality.prediction import accepted
from synthetic.quality.resampling import Resampler, nothing

NAMES = ("auc_private", "auc_without_noise", "auc_lost_to_noise", "auc_share_of_noiseless")


def noise_cost(
    spec: LoopSpec, model: UserModel, reference: UserModel, held_out: EncodedEpisodes
) -> tuple[Estimate, ...]:
    """AUC of acceptance by both models, their difference and ratio, on the same held-out decisions.

    Args:
        spec: says what acceptance is.
        model: the private release.
        reference: the same features fitted without clipping and noise.
        held_out: rewarded decisions of held-out people; others are left out here.
    """
    rows = held_out.where(np.isfinite(held_out.reward))
    yes = accepted(spec, rows.reward)
    if not yes.any() or yes.all():
        return tuple(nothing(name, "every decision was answered alike") for name in NAMES)
    by = Resampler(rows.person)
    private, plain = (
        auc_by_resample(yes, m.acceptance(rows.context, rows.action), by.owner, by.weights)
        for m in (model, reference)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(plain > 0.0, private / plain, math.nan)
    figures = (private, plain, plain - private, share)
    return tuple(by.estimate(name, f) for name, f in zip(NAMES, figures, strict=True))
