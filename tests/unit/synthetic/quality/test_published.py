"""Published quality figures: one bounded vector per held-out person, paid for, and what noise leaves."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.datasets import EncodedEpisodes, Float
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldRestoreArtefact,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import ReleaseNote
from synthetic.people import gather, people_of
from synthetic.quality.auc import auc
from synthetic.quality.published import (
    PublishedQuality,
    load_published,
    people_expected,
    release_quality,
)
from synthetic.quality.published_figures import CLASSES, Sums, figures_of
from synthetic.quality.published_vectors import (
    block_weights,
    noisy_sums,
    person_vectors,
    ruler_of,
)
from synthetic.user_model.nights import MEMORY_NIGHTS
from tests.unit.synthetic.quality.test_quality_check import GOOD, Model
from tests.unit.synthetic.world import LAYOUT, SPEC, Place, make

EPISODES = make(600, each=3, holdout_share=0.5)
DAY = date(2026, 3, 1)
RULER = ruler_of(LAYOUT, Model(), GOOD)


def asked(episodes: EncodedEpisodes = EPISODES) -> EncodedEpisodes:
    return episodes.where(episodes.holdout & np.isfinite(episodes.reward))


def no_noise(shape: tuple[int, ...]) -> Float:
    return np.zeros(shape)


def sums_of(episodes: EncodedEpisodes, deviation: float = 0.0, expected: float = 300.0) -> Sums:
    people = gather(episodes, people_of(episodes), 20)
    return noisy_sums(SPEC, LAYOUT, Model(), RULER, people, (deviation, expected), no_noise)


def released(
    place: Place,
    day: date = DAY,
    episodes: EncodedEpisodes = EPISODES,
    spec: LoopSpec = SPEC,
    model: Model | None = None,
) -> tuple[PublishedQuality, ReleaseNote]:
    path, note = release_quality(
        spec,
        LAYOUT,
        model or Model(),
        GOOD,
        episodes,
        place.ledger,
        place.blobs,
        day,
        "d" * 64,
        "small/default",
        place.folder,
    )
    return load_published(path), note


def test_without_noise_the_figures_are_those_of_the_people() -> None:
    held = asked()
    told = {e.name: e for e in figures_of(sums_of(held), 0.0, "0" * 64)}
    by_person = np.array([(held.person == p).sum() for p in held.person])
    weight = 1.0 / by_person
    yes = held.reward >= SPEC.reward.success_at
    chance = Model().acceptance(held.context, held.action)
    missed = Model().expected_reward(held.context, held.action) - held.reward
    classes = np.searchsorted(RULER.edges, chance, side="right")
    assert told["acceptance_auc"].value == pytest.approx(auc(yes, classes.astype(float), weight))
    assert told["acceptance_auc"].value == pytest.approx(auc(yes, chance, weight), abs=0.05)
    mean = lambda values: np.average(values, weights=weight)  # noqa: E731
    assert told["acceptance_accuracy"].value == pytest.approx(mean(yes == (chance >= 0.5)))
    assert told["acceptance_brier"].value == pytest.approx(mean((chance - yes) ** 2))
    assert told["expected_reward_absolute_error"].value == pytest.approx(mean(np.abs(missed)))
    assert told["marginal_gap"].value < 0.08
    assert all(e.n == 0 and e.clusters == 0 for e in told.values())


def test_classes_are_equal_parts_of_synthetic_decisions() -> None:
    assert len(RULER.edges) == CLASSES - 1
    assert (np.diff(RULER.edges) > 0).all()
    assert ((RULER.shares >= 0.5) & (RULER.shares <= 1.0)).all()


@given(st.integers(0, 299))
def test_one_person_moves_the_sum_by_at_most_one(index: int) -> None:
    held = asked()
    person = np.unique(held.person)[index]
    with_them, without = sums_of(held), sums_of(held.where(held.person != person))
    assert np.linalg.norm(with_them.sums - without.sums) <= 1.0 / 300.0 + 1e-12


@given(st.integers(1, 9), st.integers(0, 1000))
def test_no_vector_is_longer_than_one(marginals: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(2 * CLASSES, 0.2))
    longest = np.concatenate([shares, rng.random(3 + marginals)])
    assert np.linalg.norm(longest * block_weights(marginals)) <= 1.0 + 1e-12
    assert np.linalg.norm(
        np.r_[1.0, np.zeros(2 * CLASSES - 1), np.ones(3 + marginals)] * block_weights(marginals)
    ) == pytest.approx(1.0)


def test_a_person_with_many_decisions_counts_once() -> None:
    held = asked()
    person = held.person[0]
    rows = np.flatnonzero(held.person == person)
    often = np.concatenate([np.arange(len(held)), np.repeat(rows, 3_000)])
    many = held.where(np.ones(len(held), dtype=np.bool_))
    many = EncodedEpisodes(
        **{
            f.name: getattr(held, f.name)
            if f.name in ("people", "interacting", "encoder", "slate")
            else getattr(held, f.name)[often]
            for f in dataclasses.fields(held)
        }
    )
    assert np.linalg.norm(sums_of(many).sums - sums_of(held).sums) <= 1.0 / 300.0
    vectors = person_vectors(SPEC, LAYOUT, Model(), RULER, gather(many, people_of(many), 20))
    assert np.allclose(vectors[:, : 2 * CLASSES].sum(axis=1), 1.0)


@pytest.mark.parametrize("deviation", [0.002, 0.01, 0.03])
def test_intervals_hold_what_noise_does(deviation: float) -> None:
    held, rng = asked(), np.random.default_rng(3)
    clean = sums_of(held)
    truth = {e.name: e.value for e in figures_of(clean, 0.0, "0" * 64)}
    told: dict[str, list[bool]] = {name: [] for name in truth}
    for _ in range(200):
        noisy = dataclasses.replace(
            clean, sums=clean.sums + deviation * rng.standard_normal(len(clean.sums))
        )
        for e in figures_of(noisy, deviation, "1" * 64):
            if np.isfinite(e.value):
                told[e.name].append(e.low <= truth[e.name] <= e.high)
    assert all(len(hits) > 100 and np.mean(hits) >= 0.92 for hits in told.values())


def test_figures_that_noise_hides_are_not_told() -> None:
    clean = sums_of(asked())
    told = figures_of(clean, 0.5, "0" * 64)
    assert all(np.isnan(e.value) and "noise hides" in e.method for e in told)


def test_a_rerun_returns_the_release_and_other_terms_do_not_replace_it(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    first, note = released(place)
    again, repeated = released(place)
    assert np.array_equal(first.sums.sums, again.sums.sums)
    assert note.release_id == repeated.release_id == first.facts.release_id
    assert note.released
    assert repeated.released
    assert note.people == 300
    other, kept = released(place, model=Model(0.3), episodes=make(500, each=3, holdout_share=0.5))
    assert np.array_equal(other.sums.sums, first.sums.sums)
    assert kept.reused
    spent = [row for row in place.ledger.history() if row.stage == "quality"]
    assert {row.release_id for row in spent} == {note.release_id}


def test_nights_are_averaged_by_what_they_cost(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    first, note = released(place)
    second, later = released(place, DAY + timedelta(days=1))
    assert later.released
    assert later.mu_squared < note.mu_squared
    kept = 1.0 - 1.0 / MEMORY_NIGHTS
    assert second.facts.precision == pytest.approx(kept * note.mu_squared + later.mu_squared)
    assert second.facts.averaged_with == first.facts.release_id
    assert second.facts.deviation < first.facts.deviation * 1.01
    expected = 1.0 / people_expected(SPEC) / np.sqrt(second.facts.precision)
    assert second.facts.deviation == pytest.approx(expected, rel=0.01)


def test_more_nights_make_figures_more_certain(tmp_path: Path) -> None:
    cheap = {"period_days": 4, "first_fit_share": 0.2}
    spec = SPEC.model_copy(update={"privacy": SPEC.privacy.model_copy(update=cheap)})
    place = Place.at(tmp_path)
    nights = [
        released(place, DAY + timedelta(days=n), spec=spec)[0].facts.deviation for n in range(3)
    ]
    assert nights[2] < nights[1] < nights[0]


def test_figures_fade_as_fast_as_the_user_model_and_say_whose_they_are(tmp_path: Path) -> None:
    """A first night under 60 later days keeps (1 - 1/60)^60 of its weight, as the user model's own does."""
    place = Place.at(tmp_path)
    first, note = released(place)
    later = DAY + timedelta(days=60)
    second, cost = released(place, later, model=Model(-1.0))
    older = note.mu_squared * (1.0 - 1.0 / MEMORY_NIGHTS) ** 60
    facts = second.facts
    assert facts.precision == pytest.approx(older + cost.mu_squared)
    assert facts.age_days == pytest.approx(60 * older / facts.precision)
    assert (facts.first_date, facts.last_date) == (DAY.isoformat(), later.isoformat())
    assert all(DAY.isoformat() in e.method and "alone" in e.method for e in first.figures)
    for method in (e.method for e in second.figures):
        assert f"nights {DAY} to {later}" in method
        assert f"{facts.age_days:.1f} days old" in method
        assert "of the noise, not of change" in method


def test_nights_out_of_order_are_no_facts(tmp_path: Path) -> None:
    facts = released(Place.at(tmp_path))[0].facts
    with pytest.raises(ShouldFixArgument, match="in no order"):
        dataclasses.replace(facts, first_date="2026-03-02")
    with pytest.raises(ShouldFixArgument, match="in no order"):
        dataclasses.replace(facts, age_days=-1.0)


def test_other_expected_people_leave_counts_as_they_were(tmp_path: Path) -> None:
    """300 held-out people on both nights: their number is told within its noise, whatever divides."""
    place = Place.at(tmp_path)
    many = SPEC.model_copy(
        update={"privacy": SPEC.privacy.model_copy(update={"people_expected": 6000})}
    )
    released(place)
    second, _ = released(place, DAY + timedelta(days=1), spec=many)
    facts, plain = second.facts, second.sums.sums / second.sums.weights
    told = plain[: 2 * CLASSES].sum() * facts.people_expected
    noise = facts.deviation * facts.people_expected / second.sums.weights[0]
    assert facts.averaged_with
    assert facts.people_expected == people_expected(many)
    assert abs(told - 300) <= 4.5 * noise * np.sqrt(2 * CLASSES)


def test_a_spent_budget_reuses_the_last_release_and_says_so(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    tiny = {"period_days": 2, "first_fit_share": 0.9}
    spec = SPEC.model_copy(update={"privacy": SPEC.privacy.model_copy(update=tiny)})
    first, _ = released(place, spec=spec)
    less = {"epsilon": spec.privacy.epsilon / 20}
    spent = spec.model_copy(update={"privacy": spec.privacy.model_copy(update=less)})
    again, note = released(place, DAY + timedelta(days=1), spec=spent)
    assert not note.released
    assert "serves instead" in note.reused
    assert np.array_equal(again.sums.sums, first.sums.sums)


def test_too_few_people_spend_nothing(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    with pytest.raises(ShouldCollectMoreData, match="people have episodes"):
        released(place, episodes=make(80, holdout_share=0.5))
    assert not place.ledger.history()


def test_a_damaged_release_is_named(tmp_path: Path) -> None:
    path = tmp_path / "quality.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ShouldRestoreArtefact, match=r"quality\.safetensors"):
        load_published(path)
    with pytest.raises(ShouldFixArgument, match="finite numbers"):
        Sums(np.array([np.nan] * 12), np.ones(12), np.ones(1))
