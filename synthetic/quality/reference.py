"""The user model without noise, to be compared with; it never leaves the trust boundary."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.loop_spec import LoopSpec
from synthetic.people import following, gather, people_of
from synthetic.quality.yardstick import limited
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.reference_fit import reference_fit
from synthetic.user_model.released import ReleasedUserModel


def reference_model(
    spec: LoopSpec, model: ReleasedUserModel, episodes: EncodedEpisodes, known_until: datetime
) -> LinearUserModel | None:
    """``model``'s features fitted to the same people without clipping and noise; None without people.

    Args:
        spec: the loop.
        model: the private release; it lends its features, and the facts that a model must have.
        episodes: every encoded episode; at most ``yardstick.MOST_PEOPLE`` training people are fitted.
        known_until: public end of the data, UTC.
    """
    last = spec.privacy.episodes_per_person
    learned = ~episodes.holdout & ~episodes.comparison & np.isfinite(episodes.reward)
    if not learned.any():
        return None
    chosen = np.unique(limited(episodes.training, last).person)
    rows = learned & np.isin(episodes.person, chosen)
    followed = following(episodes, known_until.timestamp()).at(np.flatnonzero(rows))
    training = episodes.where(rows)
    people = gather(training, people_of(training), last, followed)
    weights = reference_fit(spec, model.features, people)
    return LinearUserModel(spec, model.features, weights, model.facts)
