"""A release under a loop with further signals: known heads stay, new ones are the mean of known ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.facts import ReleaseFacts
from synthetic.user_model.features import missing_types
from synthetic.user_model.file import StoredRelease
from synthetic.user_model.further_signals import with_further_signals
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import Weights, unflatten
from synthetic.user_model.widest import feature_map
from tests.unit.synthetic.world import INTERACTING, LAYOUT, SPEC

FEATURES = feature_map(SPEC, INTERACTING, LAYOUT)
NAMES = SPEC.signal_names


def release() -> StoredRelease:
    rng = np.random.default_rng(3)
    p = FEATURES.parameters
    root = rng.normal(size=(p, p)) / p
    facts = ReleaseFacts(
        release_id="r", loop=SPEC.name, encoder="e", actions=SPEC.action_ids, signals=NAMES,
        interacting=(), sigma=1.0, clip=1.0, steps=1, sampling_rate=1.0, mu_squared=0.1,
        learning_rate=1.0, precision=0.6, people_expected=100, noise_deviation=0.1, noise_share=0.1,
        warm_start="",
    )  # fmt: skip
    known = Uncertainty(root @ root.T, np.diag(rng.random(p)))
    return StoredRelease(FEATURES, unflatten(FEATURES, rng.normal(size=p)), facts, known)


def spec_with(*signals: dict[str, object], first: bool = False) -> LoopSpec:
    document = SPEC.model_dump()
    own = list(document["signals"])
    document["signals"] = [*signals, *own] if first else [*own, *signals]
    return LoopSpec.model_validate(document)


NEW = {"name": "calm", "low": 0, "high": 1, "two_sided": True, "weight": 1.0, "silence": "missing"}


@pytest.mark.parametrize("first", [False, True])
def test_known_heads_stay_by_name_and_a_new_one_is_their_mean(first: bool) -> None:
    old, spec = release(), spec_with(NEW, first=first)
    found = with_further_signals(old, spec)
    assert found is not None
    before, after = old.weights, found.weights
    assert isinstance(before, Weights)
    assert isinstance(after, Weights)
    assert found.facts.signals == spec.signal_names
    for place, name in enumerate(NAMES):
        np.testing.assert_allclose(
            after.values[spec.signal_names.index(name)], before.values[place]
        )
    new = spec.signal_names.index("calm")
    np.testing.assert_allclose(after.values[new], before.values.mean(axis=0))
    missing = [spec.signals[p].name for p in missing_types(spec)]
    was = [SPEC.signals[p].name for p in missing_types(SPEC)]
    assert len(after.presences) == len(was) + 1
    for place, name in enumerate(was):
        np.testing.assert_allclose(after.presences[missing.index(name)], before.presences[place])
    if was:
        expected = before.presences.mean(axis=0)
        np.testing.assert_allclose(after.presences[missing.index("calm")], expected)
    for name in ("acceptance", "shared", "end", "motions"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_a_new_signal_whose_silence_counts_has_no_presence_head() -> None:
    old = release()
    found = with_further_signals(old, spec_with(NEW | {"silence": "zero"}))
    assert found is not None
    assert found.features.presences == old.features.presences
    assert found.features.signals == len(NAMES) + 1


def test_doubt_is_carried_as_the_weights_are_and_precision_by_the_share_of_heads() -> None:
    old = release()
    found = with_further_signals(old, spec_with(NEW))
    assert found is not None
    assert old.uncertainty is not None
    assert found.uncertainty is not None
    # the mean of known heads: its variance by hand, in the first column of the wide features
    width = FEATURES.width
    places = [head * width for head in range(len(NAMES))]
    block = old.uncertainty.noise[np.ix_(places, places)]
    new = len(NAMES) * width
    assert found.uncertainty.noise[new, new] == pytest.approx(block.mean())
    assert found.uncertainty.noise.shape == (found.features.parameters,) * 2
    share = (len(NAMES) + 1) / (len(NAMES) + 2)
    assert found.facts.precision == pytest.approx(0.6 * share)


def test_a_signal_that_is_gone_or_another_count_of_presences_starts_anew() -> None:
    old = release()
    document = SPEC.model_dump()
    document["signals"] = [document["signals"][0] | {"name": "clicks"}, *document["signals"][1:]]
    assert with_further_signals(old, LoopSpec.model_validate(document)) is None
    features = replace(FEATURES, presences=FEATURES.presences + 1)
    assert with_further_signals(replace(old, features=features), spec_with(NEW)) is None
