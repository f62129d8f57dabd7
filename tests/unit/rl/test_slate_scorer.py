"""Pairing models as files: what they answer, what they belong to, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from rl.encoders.context import layout
from rl.runtime import LOOP_KEY
from rl.slates.scorer import OnnxScorer, load_scorer
from tests.made_pairings import made_pairing

SPEC = load("companion")
WIDTH = layout(SPEC).width
BASE = np.array([0.5, -1.25])
CROSSED = np.random.default_rng(1).normal(size=(2, WIDTH))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("pairing") / "pairing.onnx"
    return made_pairing(SPEC, "companion-pairing-1", found, BASE, CROSSED)


@pytest.fixture(scope="module")
def scorer(path: Path) -> OnnxScorer:
    return load_scorer(path, sha256(path), SPEC)


def test_a_score_is_what_the_weights_say_by_hand(scorer: OnnxScorer) -> None:
    state = np.zeros(WIDTH, dtype=np.float32)
    state[3] = 0.5
    people = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, -1.0]])
    first, second = BASE + CROSSED[:, 3] * 0.5
    expected = [first, second, 0.5 * first - second]
    np.testing.assert_allclose(scorer.scores(state, people), expected, rtol=1e-5)
    assert scorer.scores(state, np.zeros((0, 2))).shape == (0,)


NUMBERS = st.floats(-1, 1, width=32)


@given(
    arrays(np.float32, WIDTH, elements=NUMBERS),
    arrays(np.float64, st.tuples(st.integers(1, 200), st.just(2)), elements=NUMBERS),
    st.data(),
)
@settings(deadline=None, max_examples=40)
def test_who_else_is_there_and_in_which_order_changes_nobodys_score(
    scorer: OnnxScorer, state: Any, people: Any, data: st.DataObject
) -> None:
    together = scorer.scores(state, people)
    order = data.draw(st.permutations(range(len(people))))
    np.testing.assert_allclose(scorer.scores(state, people[order]), together[order], atol=1e-5)
    alone = np.concatenate([scorer.scores(state, person[None]) for person in people[:5]])
    np.testing.assert_allclose(alone, together[:5], atol=1e-5)
    np.testing.assert_allclose(together, people @ (BASE + CROSSED @ state), atol=1e-3)


def _renamed(spec: LoopSpec) -> LoopSpec:
    return spec.model_copy(update={"name": "other"})


def _other_context(spec: LoopSpec) -> LoopSpec:
    return spec.model_copy(update={"context": spec.context[1:]})


def _other_descriptors(spec: LoopSpec) -> LoopSpec:
    assert spec.candidates is not None
    swapped = spec.candidates.model_copy(update={"descriptors": ("novelty", "sociability")})
    return spec.model_copy(update={"candidates": swapped})


def _none_declared(spec: LoopSpec) -> LoopSpec:
    return spec.model_copy(update={"candidates": None})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_renamed, "loop"),
        (_other_context, "encoder"),
        (_other_descriptors, "descriptors"),
        (_none_declared, "descriptors"),
    ],
)
def test_a_model_of_another_loop_encoder_or_description_is_refused(
    path: Path, change: Callable[[LoopSpec], LoopSpec], what: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=f"was made for {what}"):
        load_scorer(path, sha256(path), change(SPEC))


def test_a_damaged_missing_or_foreign_file_is_refused(path: Path, tmp_path: Path) -> None:
    whole = sha256(path)
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ShouldRestoreArtefact, match=f"not {whole}"):
        load_scorer(bad, whole, SPEC)
    with pytest.raises(ShouldRestoreArtefact, match="cannot be read"):
        load_scorer(tmp_path / "absent.onnx", whole, SPEC)
    bad.write_bytes(b"no model")
    with pytest.raises(ShouldRestoreArtefact, match="is no ONNX model"):
        load_scorer(bad, sha256(bad), SPEC)
    made_pairing(SPEC, "v", bad, BASE, metadata={LOOP_KEY: SPEC.name})
    with pytest.raises(ShouldRestoreArtefact, match="is no exported pairing model"):
        load_scorer(bad, sha256(bad), SPEC)


def test_weights_that_answer_no_number_are_never_served(tmp_path: Path) -> None:
    bad = made_pairing(SPEC, "v", tmp_path / "nan.onnx", np.full(2, np.nan))
    poisoned = load_scorer(bad, sha256(bad), SPEC)
    with pytest.raises(ShouldRestoreArtefact, match="NaN or infinity"):
        poisoned.scores(np.zeros(WIDTH, dtype=np.float32), np.ones((2, 2)))


def test_a_wrong_shape_is_refused_before_the_runtime_sees_it(scorer: OnnxScorer) -> None:
    state = np.zeros(WIDTH, dtype=np.float32)
    with pytest.raises(ShouldFixArgument, match="A state of shape"):
        scorer.scores(state[None], np.zeros((1, 2)))
    with pytest.raises(ShouldFixArgument, match=r"Descriptors of shape \(1, 3\)"):
        scorer.scores(state, np.zeros((1, 3)))
    assert json.loads(json.dumps(scorer.descriptors)) == ["sociability", "novelty"]
