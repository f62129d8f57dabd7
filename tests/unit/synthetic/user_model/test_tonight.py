"""A night's user model, end to end: learns under the noise it paid for, resumes, is reused."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import (
    EverloopError,
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldFixInput,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import ReleaseNote
from synthetic.user_model import load_user_model, release_user_model
from synthetic.user_model.carrying import known_share
from synthetic.user_model.nights import MEMORY_NIGHTS
from tests.unit.synthetic.world import SPEC, Place, contexts, make, truth

DAY = date(2026, 3, 1)


def spec_with(**privacy: object) -> LoopSpec:
    changed = SPEC.model_dump()
    changed["privacy"] |= privacy
    return LoopSpec.model_validate(changed)


def night(
    place: Place, episodes: EncodedEpisodes, days: int = 0, spec: LoopSpec = SPEC
) -> tuple[Path, ReleaseNote]:
    return release_user_model(
        spec,
        episodes,
        place.ledger,
        place.blobs,
        DAY + timedelta(days=days),
        "d" * 64,
        "small/default",
        place.folder / "out",
    )


def ranked_well(path: Path, spec: LoopSpec = SPEC) -> float:
    """Gain of the model's best actions as a share of the attainable one over uniform ones."""
    context = contexts(4_000, np.random.default_rng(99))
    model = load_user_model(path, spec)
    # With the best expected engagement rather than reward: presence does not enter.
    expected = np.stack(
        [model.expected_signals(context, np.full(4_000, a))[:, 0] for a in range(4)], axis=1
    )
    true = truth(context)
    chosen = true[np.arange(4_000), expected.argmax(axis=1)].mean()
    return float((chosen - true.mean()) / (true.max(axis=1).mean() - true.mean()))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.at(tmp_path)


def test_it_ranks_actions_well_under_a_first_nights_noise(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.privacy.ledger.secrets.token_bytes", bytes)
    spec = spec_with(people_expected=3_000, steps=16)
    path, note = night(place, make(3_000), spec=spec)
    assert ranked_well(path, spec) > 0.6
    assert note.released
    assert note.people == 3_000
    assert note.parameters == 115
    assert note.epsilon == pytest.approx(0.386, abs=0.01)
    assert note.metrics["learning_rate"] == pytest.approx(spec.privacy.learning_rate)
    assert note.mechanism["steps"] == 16


def test_a_rerun_is_the_same_file_and_free(place: Place) -> None:
    episodes = make(100)
    path, note = night(place, episodes)
    first = path.read_bytes()
    path.unlink()
    again, same = night(place, episodes)
    assert again.read_bytes() == first
    assert same == note
    assert len(place.ledger.history()) == 2


def test_later_nights_start_warm_and_step_little(place: Place) -> None:
    episodes = make(400)
    path, first = night(place, episodes)
    before = load_user_model(path, SPEC)
    path, second = night(place, episodes, days=1)
    after = load_user_model(path, SPEC)
    assert after.facts.warm_start == first.release_id == before.release_id
    share = second.mu_squared / first.mu_squared
    assert share == pytest.approx(0.75 / 365 / 0.25)
    gain = share / (share + 1.0 - 1.0 / MEMORY_NIGHTS)
    assert after.facts.learning_rate == pytest.approx(SPEC.privacy.learning_rate * gain)
    assert after.facts.precision == pytest.approx(second.mu_squared / gain)
    moved = np.abs(after.weights.values - before.weights.values).max()
    assert 0.0 < moved < 0.5 * np.abs(before.weights.values).max()
    assert (first.metrics["warm_started"], second.metrics["warm_started"]) == (0.0, 1.0)


def test_another_encoding_starts_cold(place: Place) -> None:
    episodes = make(100)
    night(place, episodes)
    path, _ = night(place, dataclasses.replace(episodes, encoder="small-2"), days=1)
    assert load_user_model(path, SPEC).facts.warm_start == ""


def test_another_catalogue_keeps_what_is_known(place: Place) -> None:
    episodes = make(100)
    path, first = night(place, episodes)
    before = load_user_model(path, SPEC)
    changed = SPEC.model_dump()
    changed["actions"] = [*changed["actions"][:3], changed["actions"][3] | {"id": "song"}]
    spec = LoopSpec.model_validate(changed)
    path, note = night(place, episodes, days=1, spec=spec)
    after = load_user_model(path, spec)
    assert note.released
    assert after.facts.warm_start == first.release_id
    spent = note.mu_squared
    share = known_share(before.features, before.facts.actions, after.features, after.facts.actions)
    assert 0.75 <= share < 0.8
    kept = share * before.facts.precision * (1.0 - 1.0 / MEMORY_NIGHTS)
    assert after.facts.precision == pytest.approx(kept + spent)
    rate = spec.privacy.learning_rate * spent / (kept + spent)
    assert after.facts.learning_rate == pytest.approx(rate)


def test_what_many_people_said_moves_little_by_what_a_few_say(place: Place) -> None:
    path, _ = night(place, make(100))
    before = load_user_model(path, SPEC)
    fewer = spec_with(people_expected=150)
    path, note = night(place, make(100), days=1, spec=fewer)
    after = load_user_model(path, fewer)
    kept = 600 / 150 * before.facts.precision * (1.0 - 1.0 / MEMORY_NIGHTS)
    assert after.facts.warm_start == before.release_id
    assert after.facts.precision == pytest.approx(kept + note.mu_squared)


def test_other_signals_start_cold(place: Place) -> None:
    episodes = make(100)
    night(place, episodes)
    changed = SPEC.model_dump()
    changed["signals"] = [changed["signals"][0] | {"name": "clicks"}, changed["signals"][1]]
    spec = LoopSpec.model_validate(changed)
    path, _ = night(place, episodes, days=1, spec=spec)
    assert load_user_model(path, spec).facts.warm_start == ""


def test_a_further_signal_goes_on_from_what_was_known_of_the_others(place: Place) -> None:
    episodes = make(100)
    path, _ = night(place, episodes)
    before = load_user_model(path, SPEC)
    changed = SPEC.model_dump()
    joined = changed["signals"][0] | {"name": "clicks"}
    spec = LoopSpec.model_validate(changed | {"signals": [*changed["signals"], joined]})
    nothing = np.full((len(episodes), 1), np.nan)
    more = dataclasses.replace(episodes, signals=np.hstack([episodes.signals, nothing]))
    path, _ = night(place, more, days=1, spec=spec)
    assert load_user_model(path, spec).facts.warm_start == before.release_id


def test_holdout_comparison_and_unrewarded_rows_are_never_read(place: Place) -> None:
    episodes = make(120)
    outside = episodes.person < 20
    held = dataclasses.replace(episodes, holdout=outside)
    path, note = night(place, held)
    expected = path.read_bytes()
    assert note.people == 100
    spoilt = dataclasses.replace(
        held,
        signals=np.where(outside[:, None], -1.0, held.signals),
        context=np.where(outside[:, None], 0.7, held.context).astype(np.float32),
    )
    again, _ = night(place, spoilt)
    assert again.read_bytes() == expected
    assert len(place.ledger.history()) == 2
    for flags in (
        {"comparison": outside},
        {"reward": np.where(outside, np.nan, episodes.reward)},
    ):
        other = Place.at(place.folder / str(next(iter(flags))))
        assert night(other, dataclasses.replace(episodes, **flags))[1].people == 100


def test_killed_in_the_middle_it_resumes_to_the_same_bytes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.privacy.ledger.secrets.token_bytes", bytes)
    episodes = make(100)
    undisturbed = night(Place.at(place.folder / "other"), episodes)[0].read_bytes()

    def die(step: int, _: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        release_user_model(
            SPEC,
            episodes,
            place.ledger,
            place.blobs,
            DAY,
            "d" * 64,
            "small/default",
            place.folder / "out",
            progress=die,
        )
    totals = dict(place.store.state.totals)
    assert len(totals) == 100
    path, note = night(place, episodes)
    assert place.store.state.totals == totals
    assert note.released
    assert path.read_bytes() == undisturbed


def test_progress_counts_steps(place: Place) -> None:
    seen: list[tuple[int, int]] = []
    release_user_model(
        SPEC,
        make(100),
        place.ledger,
        place.blobs,
        DAY,
        "d" * 64,
        "small/default",
        place.folder / "out",
        progress=lambda done, steps: seen.append((done, steps)),
    )
    assert seen == [(step, 8) for step in range(1, 9)]


@pytest.mark.parametrize(("value", "refusal"), [(np.nan, ShouldFixArgument), (1.5, ShouldFixInput)])
def test_unbounded_features_cost_nothing(
    place: Place, value: float, refusal: type[EverloopError]
) -> None:
    episodes = make(100)
    episodes.context[5, 0] = value
    with pytest.raises(refusal, match=r"NaN"):
        night(place, episodes)
    assert place.ledger.history() == ()


def test_an_empty_day_is_refused(place: Place) -> None:
    episodes = make(100).where(np.zeros(400, dtype=np.bool_))
    with pytest.raises(ShouldCollectMoreData, match="0 people"):
        night(place, episodes)


def test_a_day_without_any_positive_reward_still_fits(place: Place) -> None:
    episodes = make(100)
    episodes.signals[:] = [0.0, -1.0]
    path, note = night(place, episodes)
    model = load_user_model(path, SPEC)
    assert note.released
    context = contexts(200, np.random.default_rng(1))
    assert np.isfinite(model.expected_reward(context, np.zeros(200, np.int64))).all()


def test_threads_are_given_back(place: Place) -> None:
    before = torch.get_num_threads()
    night(place, make(100))
    assert torch.get_num_threads() == before


def test_a_population_of_three_costs_nothing(place: Place) -> None:
    with pytest.raises(ShouldCollectMoreData, match="3 people"):
        night(place, make(3))
    assert place.ledger.history() == ()


def test_a_subsampled_night_is_released_as_one(place: Place) -> None:
    spec = spec_with(sampling_rate=0.5, steps=6)
    path, note = night(place, make(100), spec=spec)
    model = load_user_model(path, spec)
    assert note.released
    assert note.mechanism["kind"] == "subsampled_gaussian"
    assert model.facts.sampling_rate == 0.5
    assert model.facts.steps == note.mechanism["steps"]
    assert model.facts.noise_deviation > 0.0


def test_a_release_says_what_its_noise_did(place: Place) -> None:
    path, note = night(place, make(200))
    model = load_user_model(path, SPEC)
    assert model.uncertainty is not None
    assert note.metrics["noise_deviation_per_weight"] == model.facts.noise_deviation
    assert 0.0 < note.metrics["noise_share_of_acceptance"] <= 1.0
    context, action = contexts(50, np.random.default_rng(1)), np.arange(50) % 4
    assert (model.reward_standard_error(context, action) > 0.0).all()


def test_the_public_end_of_the_data_decides_which_ends_are_known(place: Place) -> None:
    """The same log on a later date: who has not come back by then has ended the journey."""
    episodes = make(300)
    spec = spec_with(epsilon=10, people_expected=300, first_fit_share=0.99)
    released = []
    for until in (datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 3, 1, tzinfo=UTC)):
        own = Place.at(place.folder / f"{until:%m}")
        path, _ = release_user_model(
            spec,
            episodes,
            own.ledger,
            own.blobs,
            DAY,
            "d" * 64,
            "small/default",
            own.folder / "out",
            known_until=until,
        )
        model = load_user_model(path, spec)
        context = contexts(100, np.random.default_rng(1))
        released.append(model.end_chance(context, np.arange(100) % 4).mean())
    assert released[1] > released[0] + 0.05
