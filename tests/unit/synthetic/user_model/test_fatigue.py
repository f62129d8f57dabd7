"""Journeys over a user model that was fitted on people who wear out show fatigue, and rest ends it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.loop_spec import JourneySpec
from everloop.contracts.simulation import ProfileBatch
from everloop.loops import load
from rl.encoders import layout
from rl.encoders.context import encoder_of
from synthetic.journeys import Journeys, roll_out
from synthetic.people import gather, people_of
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.reference_fit import reference_fit
from synthetic.user_model.widest import feature_map
from tests.made_releases import made_episodes
from tests.unit.synthetic.releases import FACTS

KINDS = tuple(ActionKind)
SPEC = load("companion").model_copy(
    update={"journeys": JourneySpec(decisions_per_day=2.0, ends_after_hours=168.0)}
)
LAYOUT = layout(SPEC)
HISTORY = LAYOUT.of_kind("history")[0]
KIND_OF = np.array([KINDS.index(action.kind) for action in SPEC.actions])
NOTHING, PAIR = (SPEC.action_index[name] for name in ("no_action", "pair-one"))
PEOPLE = 400


@pytest.fixture(scope="module")
def model() -> LinearUserModel:
    """Engagement falls with the share of the last interactions that were of the action's kind."""
    episodes = made_episodes(SPEC, people=600, each=6)
    rng = np.random.default_rng(11)
    context = episodes.context.copy()
    shares = rng.dirichlet(np.full(len(KINDS), 0.7), len(context))
    context[:, HISTORY.start : HISTORY.start + len(KINDS)] = shares
    context[:, HISTORY.start + HISTORY.width - 1] = 1.0
    own = shares[np.arange(len(context)), KIND_OF[episodes.action]]
    signals = episodes.signals.copy()
    signals[:, 0] = 1 / (1 + np.exp(-(1.5 - 4.0 * own)))
    worn = replace(episodes, context=context, signals=signals)
    features = feature_map(SPEC, encoder_of(SPEC).interacting, LAYOUT)
    people = gather(worn, people_of(worn), 20)
    facts = replace(
        FACTS,
        loop=SPEC.name,
        encoder=LAYOUT.encoder,
        actions=SPEC.action_ids,
        signals=SPEC.signal_names,
    )
    return LinearUserModel(SPEC, features, reference_fit(SPEC, features, people), facts)


def rested(people: int = PEOPLE) -> ProfileBatch:
    """People of average context without any interaction so far."""
    return ProfileBatch(
        context=np.zeros((people, LAYOUT.width), np.float32),
        mask=np.ones((people, len(SPEC.actions)), dtype=np.bool_),
        weight=np.ones(people),
        encoder=LAYOUT.encoder,
        release_id="made",
    )


def engagement(made: Journeys, place: slice) -> float:
    """Mean engagement of those decisions of a journey that were pairings."""
    value: Float = made.value[:, place, 0][made.action[:, place] == PAIR]
    return float(np.nanmean(value))


def always(_: Float32, mask: Bool, __: np.random.Generator) -> Int:
    return np.full(len(mask), PAIR, dtype=np.int64)


def seldom(_: Float32, mask: Bool, rng: np.random.Generator) -> Int:
    return np.where(rng.random(len(mask)) < 0.2, PAIR, NOTHING).astype(np.int64)


def test_the_same_again_and_again_wears_people_out(model: LinearUserModel) -> None:
    worn = roll_out(SPEC, LAYOUT, model, rested(), 20, 1, chooser=always)
    varied = roll_out(SPEC, LAYOUT, model, rested(), 20, 1, chooser=seldom)
    start, late = slice(0, 1), slice(4, 12)
    assert engagement(worn, start) > engagement(worn, late) + 0.2
    assert engagement(varied, late) > engagement(worn, late) + 0.15
