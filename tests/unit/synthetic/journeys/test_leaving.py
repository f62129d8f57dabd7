"""Journeys over a user model last as long as those of the people it was learned from."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes, Int
from everloop.contracts.simulation import ProfileBatch
from synthetic.journeys import roll_out
from synthetic.people import following, gather, people_of
from synthetic.user_model.reference_fit import reference_fit
from tests.unit.synthetic.releases import FEATURES, model_of
from tests.unit.synthetic.world import LAYOUT, SPEC, contexts, make

DAY_S = 86_400.0
UNTIL = 20_000 * DAY_S
PEOPLE = 600


def lived(leaves: float) -> EncodedEpisodes:
    """People who come every two days and leave after any decision by chance; all long before the end."""
    rng = np.random.default_rng([1, int(100 * leaves)])
    whole = make(PEOPLE, each=20, seed=2)
    count = np.minimum(rng.geometric(leaves, PEOPLE), 20)
    place = np.arange(len(whole)) % 20
    first = rng.uniform(0.0, 15.0, PEOPLE)
    at = UNTIL - 80 * DAY_S + (first[whole.person] + 2.0 * place) * DAY_S
    return replace(whole, timestamp=at).where(place < count[whole.person])


def simulated(episodes: EncodedEpisodes) -> Int:
    """(3600,) decisions of people who were simulated for two months, without any noise."""
    followed = following(episodes, UNTIL)
    taught = gather(episodes, people_of(episodes), SPEC.privacy.episodes_per_person, followed)
    model = model_of(reference_fit(SPEC, FEATURES, taught))
    people = ProfileBatch(
        context=contexts(3_600, np.random.default_rng(5)),
        mask=np.ones((3_600, len(SPEC.actions)), dtype=np.bool_),
        weight=np.ones(3_600),
        encoder=LAYOUT.encoder,
        release_id="a" * 32,
    )
    return roll_out(SPEC, LAYOUT, model, people, 60, 3).count


@pytest.mark.parametrize("leaves", [0.15, 0.45])
def test_people_leave_as_often_as_in_the_data(leaves: float) -> None:
    episodes = lived(leaves)
    after = following(episodes, UNTIL)
    assert np.isinf(after.wait).mean() == pytest.approx(leaves, abs=0.04)
    count = simulated(episodes)
    decided = [(count >= k).sum() for k in (1, 2, 3, 4)]
    stays = [after / before for before, after in itertools.pairwise(decided)]
    assert 1.0 - np.array(stays) == pytest.approx(leaves, abs=0.08), "at every step"
    assert count.mean() == pytest.approx(1.0 / leaves, rel=0.3)
