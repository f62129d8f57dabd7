"""Bugs that a private release could have, planted from outside around the code that ships."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from everloop.contracts.datasets import Float
from synthetic.noise import Noise
from synthetic.people import PeopleEpisodes

Fit = Callable[..., Any]
"""``synthetic.private_fit.private_fit``: (spec, features, people, start, mechanism, rate, noise, ...)."""
Sums = Callable[..., Any]
"""A release of one noisy sum; one argument is the people, the last one the noise."""


def scaled(noise: Noise, factor: float) -> Noise:
    """The same stream, ``factor`` as loud."""

    def drawn(shape: tuple[int, ...]) -> Float:
        return factor * noise(shape)

    return drawn


def each_row_a_person(people: PeopleEpisodes) -> PeopleEpisodes:
    """What clipping per row does: everybody is clipped once for each episode."""
    rows = people.rows[people.rows >= 0]
    names = tuple(f"{index:064x}" for index in range(len(rows)))
    return dataclasses.replace(people, people=names, rows=rows[:, None])


def fit_with_noise(factor: float) -> Callable[[Fit], Fit]:
    """0: noise off; .5: halved; 1 / episodes: averaged as if it belonged to the mean of a person's loss."""

    def planted(fit: Fit) -> Fit:
        def run(
            spec: Any, features: Any, people: Any, start: Any, mechanism: Any, rate: float, noise: Noise,
            **more: Any,
        ) -> Any:  # fmt: skip
            quieter = scaled(noise, factor)
            return fit(spec, features, people, start, mechanism, rate, quieter, **more)

        return run

    return planted


def fit_clipped_per_row(fit: Fit) -> Fit:
    """Each of a person's episodes moves the sum by as much as a person may."""

    def run(spec: Any, features: Any, people: PeopleEpisodes, *others: Any, **more: Any) -> Any:
        return fit(spec, features, each_row_a_person(people), *others, **more)

    return run


def fit_with_clip(factor: float) -> Callable[[Fit], Fit]:
    """A person counts ``factor`` times, under the noise that was paid for one."""

    def planted(fit: Fit) -> Fit:
        def run(
            spec: Any,
            features: Any,
            people: Any,
            start: Any,
            mechanism: Any,
            *others: Any,
            **more: Any,
        ) -> Any:
            wide = dataclasses.replace(
                mechanism, clip=factor * mechanism.clip, sigma=mechanism.sigma / factor
            )
            return fit(spec, features, people, start, wide, *others, **more)

        return run

    return planted


def fit_at_rate(rate: float) -> Callable[[Fit], Fit]:
    """People are sampled at another rate than noise and divisor were chosen for."""

    def planted(fit: Fit) -> Fit:
        def run(
            spec: Any,
            features: Any,
            people: Any,
            start: Any,
            mechanism: Any,
            *others: Any,
            **more: Any,
        ) -> Any:
            divisor = mechanism.sampling_rate * spec.privacy.people_expected / rate
            privacy = spec.privacy.model_copy(update={"people_expected": divisor})
            wrong = dataclasses.replace(mechanism, sampling_rate=rate)
            changed = spec.model_copy(update={"privacy": privacy})
            return fit(changed, features, people, start, wrong, *others, **more)

        return run

    return planted


def sums_with_noise(factor: float) -> Callable[[Sums], Sums]:
    """As ``fit_with_noise``, for statistics; the noise is their last argument."""

    def planted(sums: Sums) -> Sums:
        def run(*arguments: Any) -> Any:
            *others, noise = arguments
            return sums(*others, scaled(noise, factor))

        return run

    return planted


def sums_clipped_per_row(sums: Sums) -> Sums:
    """As ``fit_clipped_per_row``, for statistics."""

    def run(*arguments: Any) -> Any:
        return sums(
            *(each_row_a_person(a) if isinstance(a, PeopleEpisodes) else a for a in arguments)
        )

    return run


def sums_counted_twice(sums: Sums) -> Sums:
    """As ``fit_with_clip`` of 2, for statistics: everybody is there a second time under another name."""

    def run(*arguments: Any) -> Any:
        return sums(*(_twice(a) if isinstance(a, PeopleEpisodes) else a for a in arguments))

    return run


def _twice(people: PeopleEpisodes) -> PeopleEpisodes:
    names = tuple(f"{index:064x}" for index in range(2 * len(people)))
    return dataclasses.replace(people, people=names, rows=np.concatenate([people.rows] * 2))
