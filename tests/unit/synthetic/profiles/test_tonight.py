"""Synthetic people: bounded releases, honest sampling, rows, files and the nights' average."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from everloop.contracts.datasets import EncodedEpisodes, Float
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldFixInput,
    ShouldRestoreArtefact,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ProfileSource
from everloop.contracts.privacy import GaussianMechanism, ReleaseNote
from everloop.contracts.simulation import ProfileBatch
from synthetic.noise import SealedNoise
from synthetic.people import gather, people_of
from synthetic.profiles import (
    draw_profiles,
    load_profiles,
    persona_projection,
    release_profiles,
    save_profiles,
    to_rows,
)
from synthetic.profiles.marginals import bins_of, total_bins, variables
from synthetic.profiles.sampling import EDGE_WEIGHT, bin_shares, sample_contexts
from synthetic.profiles.simplex import to_simplex
from synthetic.profiles.statistics import (
    ProfileFacts,
    ProfileStatistics,
    averaged,
    load_statistics,
    noisy_sums,
    restated,
    save_statistics,
    shares_alone,
)
from tests.unit.synthetic.world import LAYOUT, SPEC, Place, contexts, make

DAY = date(2026, 3, 1)
LATER_IN_FIRST_FITS = 0.75 * 90 / 365 / 0.25
"""A later release gets what 90 days of the period's three quarters add up to."""
FACTS = ProfileFacts("a" * 32, "small", LAYOUT.encoder, 1.0, 0.01, 0.001, 600, 10.0, "")


def spec_with(section: str, **changes: object) -> LoopSpec:
    changed = SPEC.model_dump()
    changed[section] |= changes
    return LoopSpec.model_validate(changed)


def night(
    place: Place, episodes: EncodedEpisodes, days: int = 0, spec: LoopSpec = SPEC
) -> tuple[Path, ReleaseNote]:
    return release_profiles(
        spec,
        LAYOUT,
        episodes,
        place.ledger,
        place.blobs,
        DAY + timedelta(days=days),
        "d" * 64,
        "small/default",
        place.folder / "out",
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.at(tmp_path)


BLOCKS = shares_alone(LAYOUT)


def vectors_of(episodes: EncodedEpisodes) -> Float:
    return BLOCKS.vectors(gather(episodes, people_of(episodes), 20))


def exact(episodes: EncodedEpisodes) -> ProfileStatistics:
    """Statistics without noise, of everyone."""
    sums = vectors_of(episodes).sum(axis=0) / 600
    return ProfileStatistics(sums, dataclasses.replace(FACTS, deviation=1e-9))


# The released statistics.


def test_a_persons_vector_by_hand() -> None:
    episodes = make(1, each=2, seed=4)
    vector = vectors_of(episodes)[0]
    expected = np.zeros(total_bins(LAYOUT))
    for row in bins_of(LAYOUT, episodes.context):
        expected[row] += 0.5
    expected /= BLOCKS.plan.shares_scale
    expected /= max(1.0, float(np.linalg.norm(expected)))
    np.testing.assert_allclose(vector, expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_one_person_moves_the_sum_by_at_most_one(seed: int, each: int) -> None:
    episodes = make(5, each=each, seed=seed)
    vectors = vectors_of(episodes)
    assert np.linalg.norm(vectors, axis=1).max() <= 1.0 + 1e-12
    assert vectors.shape == (5, total_bins(LAYOUT))


def test_neighbours_differ_by_the_clip_alone_under_the_same_noise() -> None:
    episodes = make(12, seed=2)
    mechanism = GaussianMechanism(sigma=5.0, clip=1.0, steps=1)

    def released(of: EncodedEpisodes) -> Float:
        people = gather(of, people_of(of), 20)
        return noisy_sums(BLOCKS, people, mechanism, 600, SealedNoise(bytes(32), "a"))

    for person in range(12):
        moved = released(episodes) - released(episodes.where(episodes.person != person))
        assert np.linalg.norm(moved) <= 1.0 / 600 * (1 + 1e-9)


def test_noise_has_the_deviation_that_was_paid_for() -> None:
    mechanism = GaussianMechanism(sigma=7.0, clip=1.0, steps=1)
    episodes = make(3)
    people = gather(episodes, people_of(episodes), 20)
    drawn = [
        noisy_sums(BLOCKS, people, mechanism, 600, SealedNoise(bytes([i]) * 32, "a")) * 600
        - vectors_of(episodes).sum(axis=0)
        for i in range(60)
    ]
    assert np.std(drawn) == pytest.approx(7.0, rel=0.05)


def test_nights_are_averaged_by_precision() -> None:
    before = ProfileStatistics(np.array([1.0, 2.0]), dataclasses.replace(FACTS, precision=0.03))
    sums, precision = averaged(np.array([5.0, 2.0]), 0.01, before, kept=1.0)
    np.testing.assert_allclose(sums, [2.0, 2.0])
    assert precision == pytest.approx(0.04)
    _, faded = averaged(np.array([5.0, 2.0]), 0.01, before, kept=0.5)
    assert faded == pytest.approx(0.025)
    alone, of_one = averaged(np.array([5.0, 2.0]), 0.01, None, kept=1.0)
    assert (alone.tolist(), of_one) == ([5.0, 2.0], 0.01)


# Sampling.


def test_the_simplex_projection_by_hand() -> None:
    np.testing.assert_allclose(to_simplex(np.array([0.6, 0.4])), [0.6, 0.4])
    np.testing.assert_allclose(to_simplex(np.array([1.2, 0.6, -0.5])), [0.8, 0.2, 0.0])
    np.testing.assert_allclose(to_simplex(np.array([5.0, 0.0])), [1.0, 0.0])
    np.testing.assert_allclose(to_simplex(np.array([-3.0, -3.0])), [0.5, 0.5])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_projections_are_probabilities(values: list[float]) -> None:
    shares = to_simplex(np.array(values))
    assert shares.sum() == pytest.approx(1.0)
    assert (shares >= 0).all()
    order = np.argsort(values)
    assert (np.diff(shares[order]) >= -1e-12).all()


def test_drawn_people_are_like_the_statistics() -> None:
    episodes = make(2_000, each=1)
    rng = np.random.default_rng(5)
    context, weight = sample_contexts(LAYOUT, exact(episodes), 4_000, rng)
    body = context[weight == 1.0]
    assert len(body) == 3_800
    assert (weight[-200:] == EDGE_WEIGHT).all()
    np.testing.assert_allclose(body.mean(axis=0), episodes.context.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(body.std(axis=0), episodes.context.std(axis=0), atol=0.07)
    assert np.abs(context).max() <= 1.0
    assert set(np.unique(body[:, 9:12].sum(axis=1))) == {1.0}
    np.testing.assert_allclose((body[:, 6:8] ** 2).sum(axis=1), 1.0)
    missing = context[:, 5] == 1.0
    assert missing[:3_800].mean() == pytest.approx(0.2, abs=0.03)
    assert not context[missing, 4].any()
    assert not body[:, [3, 8, 12]].any()


def test_shares_stay_defined_under_any_noise() -> None:
    for sums in (np.zeros(57), np.full(57, -1.0), np.random.default_rng(1).normal(0, 9, 57)):
        statistics = ProfileStatistics(sums, dataclasses.replace(FACTS, deviation=9.0))
        for variable, shares in zip(variables(LAYOUT), bin_shares(LAYOUT, statistics), strict=True):
            assert shares.shape == (variable.bins,)
            assert shares.sum() == pytest.approx(1.0)
        context, _ = sample_contexts(LAYOUT, statistics, 100, np.random.default_rng(2))
        assert np.isfinite(context).all()
        assert np.abs(context).max() <= 1.0


def test_fields_that_everyone_lacks_can_be_drawn() -> None:
    sums = np.zeros(57)
    for variable in variables(LAYOUT):
        sums[variable.part.stop - 1] = 1.0
    statistics = ProfileStatistics(sums, dataclasses.replace(FACTS, deviation=1e-9))
    context, weight = sample_contexts(LAYOUT, statistics, 100, np.random.default_rng(2))
    assert (context[weight == 1.0][:, [3, 5, 8, 12]] == 1.0).all()


def test_fields_without_an_indicator_are_never_missing() -> None:
    bare = dataclasses.replace(LAYOUT, width=3, blocks=LAYOUT.blocks[:1])
    sums = np.zeros(33)
    sums[[10, 21, 32]] = 1.0  # noise in bins that cannot happen
    statistics = ProfileStatistics(sums, FACTS)
    context, _ = sample_contexts(bare, statistics, 50, np.random.default_rng(2))
    assert np.isfinite(context).all()
    assert context.shape == (50, 3)


# The release of a night.


def test_a_nights_profiles(place: Place) -> None:
    path, note = night(place, make(600))
    profiles = load_profiles(path)
    assert len(profiles) == 400
    assert profiles.context.shape == (400, 13)
    assert profiles.context.dtype == np.float32
    assert profiles.mask.all()
    assert profiles.mask.shape == (400, 4)
    assert profiles.encoder == LAYOUT.encoder
    assert profiles.release_id == note.release_id
    assert note.stage == "profiles"
    assert note.metrics["profiles"] == 400.0
    assert note.metrics["precision_in_first_fits"] == pytest.approx(1.0)
    # 57 bins, and 1 + 12 + 78 moments of the 12 coordinates that contexts of 13 dimensions fill
    assert note.parameters == 57 + 91
    assert profiles.persona is not None
    assert profiles.persona.shape == (400, 512)
    assert profiles.edge is not None
    assert profiles.edge.tolist() == [False] * 380 + [True] * 20
    assert (note.mechanism["steps"], note.mechanism["clip"]) == (1, 1.0)


def test_another_number_of_people_spends_nothing(place: Place) -> None:
    episodes = make(100)
    path, note = night(place, episodes)
    first = path.read_bytes()
    more_path, more = night(place, episodes, spec=spec_with("training", profiles=500, seed=9))
    assert len(load_profiles(more_path)) == 500
    assert (more.release_id, more.reused) == (note.release_id, "")
    assert len(place.ledger.history()) == 2
    assert night(place, episodes)[0].read_bytes() == first


def test_nights_add_precision(place: Place) -> None:
    episodes = make(100)
    night(place, episodes)
    _, early = night(place, episodes, days=89)
    assert "not due" in early.reused
    _, second = night(place, episodes, days=90)
    kept = (1 - 1 / 365) ** 90
    assert second.metrics["precision_in_first_fits"] == pytest.approx(kept + LATER_IN_FIRST_FITS)


def test_other_expected_people_leave_the_counts_as_they_were(place: Place) -> None:
    """Two nights of 200 people: their number is told within its noise, whatever N divides."""
    episodes = make(200)
    for days, expected in ((0, 200), (90, 4000)):
        spec = spec_with("privacy", people_expected=expected, min_people=50)
        path, _ = night(place, episodes, days, spec)
    statistics = load_statistics(path.parent / "profiles.safetensors", LAYOUT)
    facts = statistics.facts
    scale = facts.people_expected * facts.scale
    told = np.array([statistics.sums[v.part].sum() * scale for v in variables(LAYOUT)])
    bins = np.array([v.bins for v in variables(LAYOUT)])
    assert facts.people_expected == 4000
    assert facts.averaged_with
    assert (np.abs(told - 200) <= 4.5 * facts.deviation * scale * np.sqrt(bins)).all()


def test_a_restated_release_has_the_same_counts_and_noise(place: Place) -> None:
    path, _ = night(place, make(100))
    found = load_statistics(path.parent / "profiles.safetensors", LAYOUT)
    other = restated(found, 6000)
    np.testing.assert_allclose(other.vector * 6000, found.vector * 600)
    for name in ("deviation", "pair_deviation", "persona_deviation"):
        assert getattr(other.facts, name) * 6000 == pytest.approx(getattr(found.facts, name) * 600)


def test_a_dull_first_night_after_a_new_encoding_starts_anew(place: Place) -> None:
    night(place, make(100))
    other = dataclasses.replace(LAYOUT, encoder="small-2")
    path, note = release_profiles(
        SPEC,
        other,
        dataclasses.replace(make(100), encoder="small-2"),
        place.ledger,
        place.blobs,
        DAY + timedelta(days=1),
        "d" * 64,
        "small/default",
        place.folder / "out",
    )
    assert note.metrics["precision_in_first_fits"] == pytest.approx(LATER_IN_FIRST_FITS)
    assert load_profiles(path).encoder == "small-2"


def test_other_layouts_are_refused(place: Place) -> None:
    with pytest.raises(ShouldFixArgument, match="small-1"):
        night(place, dataclasses.replace(make(100), encoder="small-2"))


def test_refusals_cost_nothing(place: Place) -> None:
    with pytest.raises(ShouldCollectMoreData, match="10 people"):
        night(place, make(10))
    spoilt = make(100)
    spoilt.context[3, 1] = 1.2
    with pytest.raises(ShouldFixInput, match="Episode e3"):
        night(place, spoilt)
    assert place.ledger.history() == ()


def test_progress_is_told(place: Place) -> None:
    seen: list[tuple[int, int]] = []
    release_profiles(
        SPEC,
        LAYOUT,
        make(100),
        place.ledger,
        place.blobs,
        DAY,
        "d" * 64,
        "small/default",
        place.folder / "out",
        lambda done, of: seen.append((done, of)),
    )
    assert seen == [(1, 1)]


# Rows and files.


def batch(count: int = 5) -> ProfileBatch:
    return ProfileBatch(
        context=contexts(count, np.random.default_rng(1)),
        mask=np.ones((count, 4), dtype=np.bool_),
        weight=np.ones(count),
        encoder=LAYOUT.encoder,
        release_id="a" * 32,
    )


def test_rows_hold_what_the_profile_holds() -> None:
    people = batch()
    people.context[4, 9:12] = 0.0
    rows = list(to_rows(people, LAYOUT, SPEC))
    assert len({row.profile_id for row in rows}) == 5
    assert [row.profile_id for row in rows] == [
        row.profile_id for row in to_rows(people, LAYOUT, SPEC)
    ]
    assert rows[4].traits["group"] is None
    assert rows[0].traits["group"] == "abc"[int(people.context[0, 9:12].argmax())]
    assert rows[0].source is ProfileSource.GENERATED
    assert rows[0].release_id == "a" * 32
    assert rows[0].interaction_history == ()
    vector = np.array(rows[0].persona_vector)
    assert vector.shape == (512,)
    np.testing.assert_allclose(vector, people.context[0] @ persona_projection(13), rtol=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(np.linalg.norm(people.context[0]), rel=0.2)


def test_profiles_round_trip(tmp_path: Path) -> None:
    people = batch()
    again = load_profiles(save_profiles(tmp_path / "p", people))
    for name in ("context", "mask", "weight"):
        assert np.array_equal(getattr(again, name), getattr(people, name))
    assert (again.encoder, again.release_id) == (people.encoder, people.release_id)


@pytest.mark.parametrize("damage", ["absent", "cut", "fields"])
def test_damaged_profiles_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "p"
    if damage == "cut":
        path.write_bytes(save_profiles(path, batch()).read_bytes()[:50])
    if damage == "fields":
        save_file({"context": np.zeros(2)}, path, metadata={"everloop": "a\nb"})
    with pytest.raises(ShouldRestoreArtefact, match="holds no profiles"):
        load_profiles(path)


def test_statistics_round_trip_and_refuse_damage(tmp_path: Path) -> None:
    statistics = ProfileStatistics(np.arange(57.0), FACTS)
    path = save_statistics(tmp_path / "s", statistics)
    again = load_statistics(path, LAYOUT)
    assert (again.sums.tolist(), again.facts) == (statistics.sums.tolist(), FACTS)
    bad = {
        "width": ProfileStatistics(np.zeros(56), FACTS),
        "nan": ProfileStatistics(np.full(57, np.nan), FACTS),
        "encoder": ProfileStatistics(np.zeros(57), dataclasses.replace(FACTS, encoder="x")),
        "format": ProfileStatistics(np.zeros(57), dataclasses.replace(FACTS, format=1)),
    }
    for name, value in bad.items():
        with pytest.raises(ShouldRestoreArtefact, match=r"of encoder|of format|holds no"):
            load_statistics(save_statistics(tmp_path / name, value), LAYOUT)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ShouldRestoreArtefact, match="holds no profile statistics"):
        load_statistics(path, LAYOUT)


# What is asked of the drawing.


def drawn_with(**asked: Any) -> ProfileBatch:
    statistics = exact(make(1_000, each=1))
    return draw_profiles(SPEC, LAYOUT, statistics, count=4_000, seed=3, **asked)


def test_variance_is_controlled() -> None:
    narrow, plain, wide = (drawn_with(variance=v, edge_share=0.0) for v in (0.25, 1.0, 4.0))
    for dimension in (0, 1, 2):
        middle = plain.context[:, dimension]
        assert narrow.context[:, dimension].var() == pytest.approx(0.25 * middle.var(), rel=0.15)
        assert wide.context[:, dimension].var() > 1.5 * middle.var()
    common = [float(p.context[:, 9].mean()) for p in (narrow, plain, wide)]
    assert common[0] > common[1] > common[2]
    assert plain.persona is not None
    assert narrow.persona is not None
    assert narrow.persona.var(axis=0).sum() < plain.persona.var(axis=0).sum()


def test_edge_cases_are_made_on_request_and_marked() -> None:
    none, half, every = (drawn_with(edge_share=share) for share in (0.0, 0.5, 1.0))
    for people, count in ((none, 0), (half, 2_000), (every, 4_000)):
        assert people.edge is not None
        assert people.edge.sum() == count
        assert (people.weight[people.edge] == EDGE_WEIGHT).all()
        assert (people.weight[~people.edge] == 1.0).all()
        assert np.abs(people.context).max() <= 1.0
    rare = [float(p.context[:, 11].mean()) for p in (none, every)]
    assert rare[1] == pytest.approx(0.25, abs=0.03), "evenly over three choices and absence"
    assert rare[0] < 0.15


def test_a_draw_is_the_same_again_and_another_with_another_seed() -> None:
    statistics = exact(make(300, each=1))
    one, again = (draw_profiles(SPEC, LAYOUT, statistics, 50, 1) for _ in range(2))
    other = draw_profiles(SPEC, LAYOUT, statistics, 50, 2)
    assert np.array_equal(one.context, again.context)
    assert not np.array_equal(one.context, other.context)
    assert len(draw_profiles(SPEC, LAYOUT, statistics, 1, 1)) == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"count": 0},
        {"seed": -1},
        {"variance": 0.0},
        {"variance": float("nan")},
        {"variance": 11.0},
        {"edge_share": 1.5},
        {"edge_share": float("nan")},
    ],
)
def test_what_cannot_be_drawn_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ShouldFixArgument):
        draw_profiles(SPEC, LAYOUT, exact(make(50)), **asked)


def test_identical_people_give_a_valid_answer(place: Place) -> None:
    episodes = make(100)
    episodes.context[:] = episodes.context[0]
    path, note = night(place, episodes)
    profiles = load_profiles(path)
    assert note.released
    assert np.isfinite(profiles.context).all()
    assert profiles.persona is not None
    assert np.isfinite(profiles.persona).all()


def test_an_unusable_release_is_replaced_early_or_refused(place: Place) -> None:
    night(place, make(100))
    few = dataclasses.replace(make(10), encoder="small-2")
    other = dataclasses.replace(LAYOUT, encoder="small-2")
    with pytest.raises(ShouldCollectMoreData, match="10 people"):
        release_profiles(
            SPEC, other, few, place.ledger, place.blobs, DAY + timedelta(days=1), "d" * 64,
            "small/default", place.folder / "out",
        )  # fmt: skip
    assert len(place.ledger.history()) == 2


def test_profiles_keep_marks_and_vectors(tmp_path: Path) -> None:
    people = drawn_with()
    again = load_profiles(save_profiles(tmp_path / "p", people))
    assert people.edge is not None
    assert again.edge is not None
    assert np.array_equal(again.edge, people.edge)
    assert people.persona is not None
    assert again.persona is not None
    assert np.array_equal(again.persona, people.persona)
    (row,) = list(to_rows(draw_profiles(SPEC, LAYOUT, exact(make(50)), 1), LAYOUT, SPEC))
    assert len(row.persona_vector) == 512
