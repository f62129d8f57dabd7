"""Two datasets one person apart, the noise the same: what a release may differ by, on its real path.

Canaries see only what the noise covers; this sees what leaves uncovered. Every person here is clipped,
so with one step of a fit, or the one sum of a statistic, the output must differ by exactly what the clip
and the public divisor allow: anything taken for free adds to that for somebody. And the difference that
a person makes must not depend on how many others there are, as it would if a count were divided by.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import synthetic.profiles.tonight
import synthetic.quality.published
import synthetic.user_model.private_fit
from bench.audit_releases import KnownModel
from everloop.contracts.datasets import EncodedEpisodes, Float
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch
from everloop.privacy.ledger import Ledger
from everloop.storage.local.blobs import LocalBlobStore
from synthetic.people import PeopleEpisodes
from synthetic.profiles import release_profiles
from synthetic.quality.published import people_expected, release_quality
from synthetic.user_model import release_user_model
from synthetic.user_model.weights import Weights
from tests.unit.synthetic.world import LAYOUT, SPEC, Place, make

DAY = date(2026, 3, 1)
PEOPLE = 60
CLIP = 0.05
GONE = (3, 17, 29, 41, 58)
"""People of whom each is left out once."""


def one_step() -> LoopSpec:
    changed = SPEC.model_dump()
    changed["privacy"] |= {"steps": 1, "clip": CLIP, "min_people": 20, "people_expected": 40}
    return LoopSpec.model_validate(changed)


SPECIFICATION = one_step()


class Released:
    """The arrays of a released file and the words beside them."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        with safe_open(str(path), framework="numpy") as file:
            self.words = json.loads(file.metadata()["everloop"])
            self.numbers: Float = np.concatenate([file.get_tensor(n).ravel() for n in names])


def place_at(folder: Path) -> tuple[Ledger, LocalBlobStore, date, str, str, Path]:
    place = Place.at(folder)
    return place.ledger, place.blobs, DAY, "d" * 64, "small/default", folder / "out"


def user_model(episodes: EncodedEpisodes, folder: Path) -> Released:
    path, _ = release_user_model(SPECIFICATION, episodes, *place_at(folder))
    return Released(path, tuple(field.name for field in dataclasses.fields(Weights)))


def profiles(episodes: EncodedEpisodes, folder: Path) -> Released:
    """In the units that were summed: blocks are published divided by the root of their part."""
    path, _ = release_profiles(SPECIFICATION, LAYOUT, episodes, *place_at(folder))
    file, blocks = path.parent / "profiles.safetensors", ("sums", "pairs", "moments")
    roots = np.sqrt(Released(file, ("sums",)).words["parts"])
    parts = [Released(file, (name,)) for name in blocks]
    whole = Released(file, blocks)
    whole.numbers = np.concatenate(
        [root * part.numbers for root, part in zip(roots, parts, strict=True)]
    )
    return whole


def quality(episodes: EncodedEpisodes, folder: Path) -> Released:
    """Of held-out people, about a model and profiles that everybody knows."""
    held_out = dataclasses.replace(episodes, holdout=np.ones_like(episodes.holdout))
    shown = make(30, seed=5).context
    known = ProfileBatch(
        context=shown,
        mask=np.ones((len(shown), len(SPECIFICATION.actions)), dtype=np.bool_),
        weight=np.ones(len(shown)),
        encoder=LAYOUT.encoder,
        release_id="known",
    )
    model = KnownModel(LAYOUT.width, len(SPECIFICATION.actions))
    path, _ = release_quality(SPECIFICATION, LAYOUT, model, known, held_out, *place_at(folder))
    return Released(path, ("sums",))


Release = Callable[[EncodedEpisodes, Path], Released]
PRIVACY = SPECIFICATION.privacy
BOUNDS = {
    user_model: PRIVACY.learning_rate * CLIP / PRIVACY.people_expected,
    profiles: 1.0 / PRIVACY.people_expected,
    quality: 1.0 / people_expected(SPECIFICATION),
}
"""Most that a person may move an output, Euclidean."""
REACHED = {user_model: 1.0 - 1e-6, profiles: 0.7, quality: 0.5}
"""What somebody here does move it by at least: else the bound says nothing."""
OF_THE_NUMBERS = {"release_id", "noise_share", "noise_deviation"}
"""Words that may differ: a hash under the ledger's key, and what follows from the released numbers."""
EVERY = pytest.mark.parametrize("release", list(BOUNDS), ids=lambda r: r.__name__)


@pytest.fixture(autouse=True)
def same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everloop.privacy.ledger.secrets.token_bytes", bytes)


def without(episodes: EncodedEpisodes, *people: int) -> EncodedEpisodes:
    return episodes.where(~np.isin(episodes.person, people))


def differences(release: Release, folder: Path, *also_gone: int) -> list[Float]:
    """What each of ``GONE`` alone makes of a difference, among all people but ``also_gone``."""
    everyone = without(make(PEOPLE, each=2), *also_gone)
    whole = release(everyone, folder / "whole").numbers
    return [
        whole - release(without(everyone, person), folder / f"{person}").numbers for person in GONE
    ]


@EVERY
def test_a_person_moves_the_output_by_what_the_clip_allows(
    release: Release, tmp_path: Path
) -> None:
    moved = [float(np.linalg.norm(d)) for d in differences(release, tmp_path)]
    assert max(moved) <= BOUNDS[release] * (1 + 1e-9)
    assert max(moved) >= BOUNDS[release] * REACHED[release]


@EVERY
def test_a_person_moves_it_alike_among_many_and_among_few(release: Release, tmp_path: Path) -> None:
    gone = tuple(p for p in range(PEOPLE) if p % 2 == 0 and p not in GONE)
    many = differences(release, tmp_path / "many")
    few = differences(release, tmp_path / "few", *gone)
    for among_many, among_few in zip(many, few, strict=True):
        np.testing.assert_allclose(among_many, among_few, atol=BOUNDS[release] * 1e-7)


@EVERY
def test_the_words_beside_the_numbers_are_the_same(release: Release, tmp_path: Path) -> None:
    everyone = make(PEOPLE, each=2)
    words = [
        release(episodes, tmp_path / str(i)).words
        for i, episodes in enumerate((everyone, without(everyone, 3)))
    ]
    assert {name for name in words[0] if words[0][name] != words[1][name]} <= OF_THE_NUMBERS


def with_exact_count(fit: Callable[..., Weights]) -> Callable[..., Weights]:
    def planted(spec: LoopSpec, features: Any, people: Any, *others: Any, **more: Any) -> Weights:
        privacy = spec.privacy.model_copy(update={"people_expected": len(people)})
        return fit(spec.model_copy(update={"privacy": privacy}), features, people, *others, **more)

    return planted


def with_free_mean(fit: Callable[..., Weights]) -> Callable[..., Weights]:
    """Acceptance learns the mean reward, and nobody pays for it."""

    def planted(spec: LoopSpec, features: Any, people: Any, *others: Any, **more: Any) -> Weights:
        fitted = fit(spec, features, people, *others, **more)
        rows = people.rows[people.rows >= 0]
        mean = float(people.episodes.reward[rows].mean())
        return dataclasses.replace(fitted, acceptance=fitted.acceptance + mean)

    return planted


def sums_over_exact_count(sums: Callable[..., Any]) -> Callable[..., Any]:
    def planted(*arguments: Any) -> Any:
        *others, mechanism, expected, noise = arguments
        people = next(a for a in others if isinstance(a, PeopleEpisodes))
        return sums(*others, mechanism, expected * len(people) / PEOPLE, noise)

    return planted


def sums_with_free_mean(sums: Callable[..., Any]) -> Callable[..., Any]:
    def planted(*arguments: Any) -> Any:
        people = next(a for a in arguments if isinstance(a, PeopleEpisodes))
        free = float(people.episodes.context[people.rows[:, 0], 0].mean())
        return sums(*arguments) + free

    return planted


def figures_over_exact_count(sums: Callable[..., Any]) -> Callable[..., Any]:
    def planted(*arguments: Any) -> Any:
        *others, people, (deviation, expected), noise = arguments
        return sums(*others, people, (deviation, expected * len(people) / PEOPLE), noise)

    return planted


def figures_with_free_mean(sums: Callable[..., Any]) -> Callable[..., Any]:
    def planted(*arguments: Any) -> Any:
        people = next(a for a in arguments if isinstance(a, PeopleEpisodes))
        found = sums(*arguments)
        free = float(people.episodes.reward[people.rows[:, 0]].mean())
        return dataclasses.replace(found, sums=found.sums + free)

    return planted


PLANTED = [
    (user_model, synthetic.user_model.private_fit, "private_fit", with_exact_count),
    (user_model, synthetic.user_model.private_fit, "private_fit", with_free_mean),
    (profiles, synthetic.profiles.tonight, "noisy_sums", sums_over_exact_count),
    (profiles, synthetic.profiles.tonight, "noisy_sums", sums_with_free_mean),
    (quality, synthetic.quality.published, "noisy_sums", figures_over_exact_count),
    (quality, synthetic.quality.published, "noisy_sums", figures_with_free_mean),
]


@pytest.mark.parametrize(
    ("release", "module", "name", "bug"), PLANTED, ids=lambda p: getattr(p, "__name__", str(p))
)
def test_planted_leaks_are_caught(
    release: Release,
    module: Any,
    name: str,
    bug: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def examine() -> None:
        test_a_person_moves_the_output_by_what_the_clip_allows(release, tmp_path / "once")
        test_a_person_moves_it_alike_among_many_and_among_few(release, tmp_path / "twice")

    monkeypatch.setattr(module, name, bug(getattr(module, name)))
    with pytest.raises(AssertionError):
        examine()
