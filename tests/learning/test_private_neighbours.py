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

import synthetic.private_fit
import synthetic.profiles
from everloop.contracts.datasets import EncodedEpisodes, Float
from everloop.contracts.loop_spec import LoopSpec
from synthetic.profiles import release_profiles
from synthetic.user_model import release_user_model
from synthetic.weights import Weights
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
            # the id is a hash under the ledger's key: another one for other inputs, and nothing else
            self.words = json.loads(file.metadata()["everloop"]) | {"release_id": ""}
            self.numbers: Float = np.concatenate([file.get_tensor(n).ravel() for n in names])


def user_model(episodes: EncodedEpisodes, folder: Path) -> Released:
    place = Place.at(folder)
    path, _ = release_user_model(
        SPECIFICATION,
        episodes,
        place.ledger,
        place.blobs,
        DAY,
        "d" * 64,
        "small/default",
        folder / "out",
    )
    return Released(path, tuple(field.name for field in dataclasses.fields(Weights)))


def profiles(episodes: EncodedEpisodes, folder: Path) -> Released:
    place = Place.at(folder)
    path, _ = release_profiles(
        SPECIFICATION,
        LAYOUT,
        episodes,
        place.ledger,
        place.blobs,
        DAY,
        "d" * 64,
        "small/default",
        folder / "out",
    )
    return Released(path.parent / "profiles.safetensors", ("sums",))


Release = Callable[[EncodedEpisodes, Path], Released]
PRIVACY = SPECIFICATION.privacy
BOUNDS = {
    user_model: PRIVACY.learning_rate * CLIP / PRIVACY.people_expected,
    profiles: 1.0 / PRIVACY.people_expected,
}
"""Most that a person may move an output, Euclidean."""
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
    assert max(moved) >= BOUNDS[release] * (1 - 1e-6), "nobody was clipped: the bound says nothing"


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
    assert words[0] == words[1]


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


def sums_over_exact_count(sums: Callable[..., Float]) -> Callable[..., Float]:
    def planted(layout: Any, people: Any, mechanism: Any, _: int, noise: Any) -> Float:
        return sums(layout, people, mechanism, len(people), noise)

    return planted


def sums_with_free_mean(sums: Callable[..., Float]) -> Callable[..., Float]:
    def planted(layout: Any, people: Any, *others: Any) -> Float:
        free = people.episodes.context[people.rows[:, 0], 0].sum() / 40
        return sums(layout, people, *others) + free

    return planted


PLANTED = [
    (user_model, synthetic.private_fit, "private_fit", with_exact_count),
    (user_model, synthetic.private_fit, "private_fit", with_free_mean),
    (profiles, synthetic.profiles, "noisy_sums", sums_over_exact_count),
    (profiles, synthetic.profiles, "noisy_sums", sums_with_free_mean),
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
