"""Context encoders: bounds, projection, layout, and what is refused."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.datasets import Float32
from everloop.contracts.errors import ShouldFixArgument, ShouldFixEpisode
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from rl.encoders import encode_context, in_holdout, layout, public_projection
from rl.encoders.context import encoder_of

ACTIONS = (
    {"id": "no_action", "kind": "no_action"},
    {"id": "pair-one", "kind": "suggest_pairing", "people": 1},
    {"id": "walk", "kind": "recommend_hive", "event_id": "walk"},
    {"id": "calm", "kind": "intervention", "tone": "calm", "message": "Breathe?"},
)


def spec_of(*context: dict[str, Any], **changes: Any) -> LoopSpec:
    return LoopSpec.model_validate(
        {
            "name": "small",
            "version": 1,
            "context": context,
            "actions": ACTIONS,
            "signals": ({"name": "click", "weight": 1, "silence": "zero"},),
            "reward": {
                "attainable_low": 0,
                "attainable_high": 1,
                "half_life_seconds": 60,
                "closes_after_seconds": 60,
                "success_at": 0.5,
                "failure_at": -0.5,
            },
        }
        | changes
    )


NUMBER = {"name": "pulse", "kind": "number", "low": 40, "high": 180}
VECTOR = {"name": "mood", "kind": "vector", "width": 3, "low": -2, "high": 2, "interacts": True}
CATEGORY = {"name": "group", "kind": "category", "choices": ("a", "b", "7")}
CYCLE = {"name": "hour", "kind": "cycle", "period": 24}
HISTORY = {"name": "recent", "kind": "history", "width": 4}


def test_layout_covers_every_dimension_in_the_specification_order() -> None:
    encoding = layout(spec_of(NUMBER, VECTOR, CATEGORY, CYCLE, HISTORY))
    assert [(b.field, b.kind, b.start, b.width) for b in encoding.blocks] == [
        ("pulse", "number", 0, 1),
        ("pulse", "missing", 1, 1),
        ("mood", "vector", 2, 3),
        ("mood", "missing", 5, 1),
        ("group", "category", 6, 3),
        ("group", "missing", 9, 1),
        ("hour", "cycle", 10, 2),
        ("hour", "missing", 12, 1),
        ("recent", "history", 13, 7),
        ("recent", "missing", 20, 1),
    ]
    assert encoding.width == 21


def test_known_values() -> None:
    states = encode_context(
        spec_of(NUMBER, VECTOR, CATEGORY, CYCLE),
        [{"pulse": 75, "mood": [-2, 0, 1.0], "group": "b", "hour": 6, "unnamed": "ignored"}],
    )
    expected = [-0.5, 0, -1, 0, 0.5, 0, 0, 1, 0, 0, 1, 0, 0]
    np.testing.assert_allclose(states, [expected], atol=1e-7)
    assert states.dtype == np.float32


def test_history_summary_by_hand() -> None:
    recent = [
        {"action": "calm", "reward": -1.0},  # older than the last four
        {"action": "no_action", "reward": None},
        {"action": "walk", "reward": 0.5},
        {"action": "walk"},
        {"action": "retired", "reward": -0.1},
    ]
    (state,) = encode_context(spec_of(HISTORY), [{"recent": recent}])
    # pairing, hive, intervention, none; mean of .5 and -.1; two of four rewarded; four of four
    np.testing.assert_allclose(state, [0, 0.5, 0, 0.25, 0.2, 0.5, 1, 0], atol=1e-7)
    (short,) = encode_context(spec_of(HISTORY), [{"recent": recent[:1]}])
    np.testing.assert_allclose(short, [0, 0, 1, 0, -1, 1, 0.25, 0], atol=1e-7)
    (empty,) = encode_context(spec_of(HISTORY), [{"recent": []}])
    assert not empty.any()


@pytest.mark.parametrize(
    "field", [NUMBER, VECTOR, CATEGORY, CYCLE, HISTORY], ids=lambda f: f["kind"]
)
@pytest.mark.parametrize("context", [{}, {"null": True}], ids=["absent", "null"])
def test_missing_is_zeros_and_an_indicator(field: dict[str, Any], context: dict[str, Any]) -> None:
    given_context = {field["name"]: None} if context else {}
    (state,) = encode_context(spec_of(field), [given_context])
    assert state[-1] == 1.0
    assert not state[:-1].any()


def test_an_unknown_category_counts_as_missing_and_integers_are_digits() -> None:
    states = encode_context(spec_of(CATEGORY), [{"group": "z"}, {"group": 7}])
    np.testing.assert_array_equal(states, [[0, 0, 0, 1], [0, 0, 1, 0]])


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        (NUMBER, 181, "outside 40..180"),
        (NUMBER, 39.9, "outside 40..180"),
        (NUMBER, math.nan, "not finite"),
        (NUMBER, math.inf, "not finite"),
        (NUMBER, 10**400, "too large"),
        (NUMBER, "75", "not a number"),
        (NUMBER, True, "not a number"),
        (VECTOR, [0, 0], "not a list of 3 numbers"),
        (VECTOR, 1.0, "not a list of 3 numbers"),
        (VECTOR, [0, None, 0], "not a number"),
        (VECTOR, [0, True, 0], "not a number"),
        (VECTOR, [0, math.nan, 0], "NaN or infinity"),
        (VECTOR, [0, 10**400, 0], "too large"),
        (VECTOR, [0, 2.1, 0], "outside -2..2"),
        (CATEGORY, 1.5, "not a category"),
        (CATEGORY, ["a"], "not a category"),
        (CATEGORY, True, "not a category"),
        (CYCLE, "noon", "not a number"),
        (HISTORY, "walk", "not a list of interactions"),
        (HISTORY, {"action": "walk"}, "not a list of interactions"),
        (HISTORY, ["walk"], "not an interaction"),
        (HISTORY, [{"action": 3}], "not an interaction"),
        (HISTORY, [{"action": "walk", "reward": 1.5}], "outside -1..1"),
        (HISTORY, [{"action": "walk", "reward": math.nan}], "outside -1..1"),
        (HISTORY, [{"action": "walk", "reward": "good"}], "outside -1..1"),
    ],
)
def test_what_does_not_fit_is_refused_by_row_and_field(
    field: dict[str, Any], value: Any, problem: str
) -> None:
    with pytest.raises(ShouldFixEpisode, match=problem) as refused:
        encode_context(spec_of(field), [{}, {field["name"]: value}])
    assert "row 1" in str(refused.value)
    assert field["name"] in str(refused.value)


def test_a_snapshot_must_be_an_object_and_snapshots_a_list() -> None:
    with pytest.raises(ShouldFixEpisode, match="is not an object"):
        encode_context(spec_of(NUMBER), [[75]])  # type: ignore[list-item]
    with pytest.raises(ShouldFixArgument, match="list of snapshots"):
        encode_context(spec_of(NUMBER), {"pulse": 75})  # type: ignore[arg-type]


def test_a_value_within_rounding_of_its_bound_is_clipped() -> None:
    (state,) = encode_context(spec_of(NUMBER), [{"pulse": 180 + 1e-8}])
    assert state[0] == 1.0
    with pytest.raises(ShouldFixEpisode):
        encode_context(spec_of(NUMBER), [{"pulse": 180 + 1e-6}])


def test_no_snapshots_are_no_states() -> None:
    assert encode_context(spec_of(NUMBER, HISTORY, VECTOR), []).shape == (0, 14)


@given(
    low=st.floats(-1e6, 1e6),
    span=st.floats(1e-3, 1e6),
    share=st.floats(0, 1),
)
def test_numbers_round_trip_through_their_bounds(low: float, span: float, share: float) -> None:
    high = low + span
    value = min(high, low + share * span)
    field = {"name": "pulse", "kind": "number", "low": low, "high": high}
    (state,) = encode_context(spec_of(field), [{"pulse": value}])
    assert -1.0 <= state[0] <= 1.0
    back = (float(state[0]) + 1.0) / 2.0 * (high - low) + low
    assert back == pytest.approx(value, abs=1e-6 * (high - low))


_JSON = st.fixed_dictionaries(
    {},
    optional={
        "pulse": st.one_of(st.none(), st.floats(40, 180)),
        "mood": st.one_of(st.none(), st.lists(st.floats(-2, 2), min_size=3, max_size=3)),
        "group": st.sampled_from([None, "a", "b", "7", "", "z", "\u00e9"]),
        "hour": st.one_of(st.none(), st.floats(-1e6, 1e6)),
        "recent": st.lists(
            st.fixed_dictionaries(
                {"action": st.sampled_from(["no_action", "walk", "gone"])},
                optional={"reward": st.one_of(st.none(), st.floats(-1, 1))},
            ),
            max_size=9,
        ),
    },
)


@given(st.lists(_JSON, max_size=4), st.permutations(ACTIONS))
def test_every_dimension_stays_within_one_and_ignores_the_catalogue_order(
    contexts: list[dict[str, Any]], actions: list[dict[str, Any]]
) -> None:
    fields = (NUMBER, VECTOR | {"project_to": 2}, CATEGORY, CYCLE, HISTORY)
    spec = spec_of(*fields)
    states = encode_context(spec, contexts)
    assert np.abs(states).max(initial=0.0) <= 1.0
    permuted = spec_of(*fields, actions=tuple(actions))
    assert layout(permuted).encoder == layout(spec).encoder
    np.testing.assert_array_equal(encode_context(permuted, contexts), states)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (NUMBER, NUMBER | {"high": 181}),
        (NUMBER, NUMBER | {"name": "pulse2"}),
        (CATEGORY, CATEGORY | {"choices": ("b", "a", "7")}),
        (CYCLE, CYCLE | {"period": 12}),
        (VECTOR, VECTOR | {"project_to": 2}),
        (HISTORY, HISTORY | {"width": 5}),
    ],
)
def test_the_encoder_version_follows_the_declaration(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert layout(spec_of(before)).encoder != layout(spec_of(after)).encoder


def test_the_encoder_version_ignores_what_does_not_change_states() -> None:
    described = NUMBER | {"description": "beats a minute", "interacts": True}
    assert layout(spec_of(NUMBER)).encoder == layout(spec_of(described)).encoder
    other = spec_of(NUMBER, actions=ACTIONS[:2])
    assert layout(other).encoder == layout(spec_of(NUMBER)).encoder
    assert layout(spec_of(HISTORY)).encoder != layout(spec_of(HISTORY, actions=ACTIONS[:2])).encoder
    assert layout(spec_of(NUMBER)).encoder.startswith("small-")


@pytest.mark.parametrize(
    ("width", "project_to"), [(128, 6), (3, 2), (17, 16), (64, 64), (512, 32), (2, 1)]
)
def test_the_projection_has_orthonormal_rows(width: int, project_to: int) -> None:
    matrix = public_projection(width, project_to)
    assert matrix.shape == (project_to, width)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(project_to), atol=1e-6)


def test_the_projection_is_the_same_for_ever() -> None:
    digest = hashlib.sha256(public_projection(128, 6).astype("<f8").tobytes()).hexdigest()
    assert digest == "4757b43c16aed3d8994fb6992315322b53bcdd739d0031c8e8cb409f318980f2"
    every = spec_of(NUMBER, VECTOR | {"project_to": 2}, CATEGORY, CYCLE, HISTORY)
    assert layout(every).encoder == "small-83d7efb68ebe486a"


def test_a_projected_vector_keeps_inner_products_and_is_rarely_clipped() -> None:
    spec = spec_of({"name": "mood", "kind": "vector", "width": 128, "low": -1, "project_to": 64})
    rng = np.random.default_rng(3)
    moods = rng.uniform(-1, 1, size=(500, 128))
    states = encode_context(spec, [{"mood": mood.tolist()} for mood in moods])[:, :-1]
    assert (np.abs(states) == 1.0).mean() < 0.01
    # half of the dimensions, halved: squared lengths shrink to an eighth on average
    ratio = (states**2).sum(axis=1) / (moods**2).sum(axis=1)
    assert ratio.mean() == pytest.approx(0.125, rel=0.02)


def test_a_single_snapshot_is_encoded_as_in_a_batch() -> None:
    spec = load("companion")
    rng = np.random.default_rng(5)
    contexts = [
        {"emotion": rng.uniform(-1, 1, 128).tolist(), "heart_rate": 70, "age_group": "over_64"}
        for _ in range(20)
    ]
    together = encode_context(spec, contexts)
    alone = np.concatenate([encode_context(spec, [context]) for context in contexts])
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_holdout_is_decided_by_the_digits_of_the_pseudonym() -> None:
    assert in_holdout("00000000" + "f" * 56, 0.5)
    assert not in_holdout(f"{5000:08x}" + "0" * 56, 0.5)
    assert in_holdout(f"{4999:08x}" + "0" * 56, 0.5)
    people = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(4000)]
    share = np.mean([in_holdout(person, 0.3) for person in people])
    assert share == pytest.approx(0.3, abs=0.03)


EVERY_KIND = spec_of(
    {"name": "n", "kind": "number", "low": -3, "high": 7.5},
    {"name": "v", "kind": "vector", "width": 5, "low": -2, "high": 1},
    {"name": "w", "kind": "vector", "width": 32, "low": -1, "high": 1, "project_to": 6},
    {"name": "c", "kind": "category", "choices": ["a", "b", "3"]},
    {"name": "o", "kind": "cycle", "period": 53},
    {"name": "h", "kind": "history", "width": 3},
)
_NUMBER = st.one_of(
    st.floats(-3, 7.5),
    st.integers(-4, 9),
    st.sampled_from([None, "x", True, float("nan"), 1e300, 10**400, 7.5 + 1e-10]),
)
_ITEM = st.one_of(
    st.fixed_dictionaries(
        {
            "action": st.sampled_from(["walk", "calm", "gone"]),
            "reward": st.one_of(st.none(), st.floats(-1, 1), st.sampled_from([1, 2.0, "x"])),
        }
    ),
    st.sampled_from([3, {"action": 4}]),
)
_SNAPSHOT = st.fixed_dictionaries(
    {},
    optional={
        "n": _NUMBER,
        "v": st.one_of(st.none(), st.lists(st.floats(-2, 1), min_size=4, max_size=5)),
        "w": st.lists(st.one_of(st.floats(-1, 1), st.integers(-1, 1)), min_size=32, max_size=32),
        "c": st.sampled_from(["a", "b", "3", 3, "z", None, 1.5, True]),
        "o": st.one_of(st.floats(0, 53), st.integers(-60, 60), st.none()),
        "h": st.one_of(st.none(), st.lists(_ITEM, max_size=5), st.just("x")),
    },
)


@given(_SNAPSHOT)
def test_one_snapshot_alone_is_encoded_and_refused_as_among_others(
    snapshot: dict[str, Any],
) -> None:
    encoder = encoder_of(EVERY_KIND)

    def outcome(encode: Callable[[], Float32]) -> tuple[str, list[list[float]]]:
        try:
            state = encode()
        except ShouldFixEpisode as refused:
            return str(refused), []
        assert state.dtype == np.float32
        return "", state.tolist()

    alone = outcome(lambda: encoder.encode_one(snapshot))
    assert alone == outcome(lambda: encoder.encode([snapshot]))


def test_one_snapshot_of_the_companion_is_encoded_to_the_last_bit_as_among_others() -> None:
    spec = load("companion")
    encoder, rng = encoder_of(spec), np.random.default_rng(3)
    for _ in range(300):
        snapshot = {
            "emotion": rng.uniform(-1, 1, 128).tolist(),
            "recent_interactions": [
                {"action": a, "reward": float(r)}
                for a, r in zip(
                    rng.choice(spec.action_ids, 10), rng.uniform(-1, 1, 10), strict=True
                )
            ],
            "heart_rate": float(rng.uniform(40, 180)),
            "pulse_variability": float(rng.uniform(0, 200)),
            "hour": float(rng.uniform(0, 24)),
            "weekday": int(rng.integers(7)),
            "week": int(rng.integers(1, 54)),
            "connections": int(rng.integers(51)),
            "active_connections": int(rng.integers(51)),
            "age_group": "25_to_44",
        }
        np.testing.assert_array_equal(encoder.encode_one(snapshot), encoder.encode([snapshot]))
