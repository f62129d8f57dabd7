"""Persona vectors of 512 numbers at epsilon 1: moments in a public space beside the full Gaussian.

People and a public pool are drawn from the same kind of world but from other people: other shares of
hidden classes, a shift, and the pool's own noise. Judged by whether a classifier tells synthetic from real
vectors (two-sample AUC on held-out halves, .5 is perfect; the better of a linear and a quadratic one), and
by how well a yes or no is predicted of held-out real people after training on synthetic ones. For that
the same mechanism releases the moments of those who answer yes and of those who answer no, side by side:
a person is in one of them, so one person's vector still has norm at most 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.record import Goal, spread
from everloop.contracts.loop_spec import PERSONA_WIDTH
from everloop.privacy.accounting import mu
from synthetic.profiles.persona import from_pool
from synthetic.profiles.persona_moments import (
    PersonaMoments,
    estimate,
    moments_of,
    moments_width,
    pool_moments,
    to_covariance,
)
from synthetic.profiles.persona_space import space_of
from synthetic.quality.auc import auc

Vectors = NDArray[np.float64]
PEOPLE, QUICK_PEOPLE = 6_000, 1_500
SEEDS = (1, 2, 3)
EPSILON, DELTA = 1.0, 1e-5
COMPONENTS = 16
_LATENT = 8
_CLASSES = 5
_RIDGE = 3.0
_PART = 250


@dataclass(frozen=True, slots=True)
class World:
    """Vectors as an encoder would give them: a smooth map of a few hidden numbers, and noise."""

    lift: Vectors
    bend: Vectors
    centres: Vectors

    def draw(
        self, n: int, share: Vectors, shift: float, rng: np.random.Generator
    ) -> tuple[Vectors, NDArray[np.int64]]:
        """((n, 512) vectors of norm about 1, (n,) classes)."""
        classes = rng.choice(_CLASSES, n, p=share)
        hidden = self.centres[classes] + shift + rng.normal(0.0, 0.6, (n, _LATENT))
        smooth = hidden @ self.lift + 0.5 * np.tanh(hidden @ self.bend)
        noisy = smooth + 0.5 * rng.normal(size=(n, PERSONA_WIDTH))
        return noisy / np.sqrt(PERSONA_WIDTH), classes


def world(seed: int) -> tuple[World, Vectors, Vectors]:
    """(world, class shares of people, class shares of the pool)."""
    rng = np.random.default_rng([41, seed])
    made = World(
        lift=rng.normal(size=(_LATENT, PERSONA_WIDTH)) * 0.7 ** np.arange(_LATENT)[:, None],
        bend=rng.normal(size=(_LATENT, PERSONA_WIDTH)),
        centres=rng.normal(0.0, 0.7, (_CLASSES, _LATENT)),
    )
    return made, rng.dirichlet(np.full(_CLASSES, 5.0)), rng.dirichlet(np.full(_CLASSES, 5.0))


def ours(people: Vectors, pool: Vectors, count: int, seed: int) -> Vectors:
    """Release moments of people's coordinates once, draw from the moved pool."""
    space = space_of(pool, COMPONENTS)
    known = np.ones(len(people), dtype=np.bool_)
    sums = moments_of(space.coordinates(people), known).sum(axis=0)
    sigma = 1.0 / mu(EPSILON, DELTA)
    noise = np.random.default_rng([42, seed]).standard_normal(moments_width(space.width))
    prior = pool_moments(space.coordinates(pool))
    released = estimate((sums + sigma * noise) / len(people), sigma / len(people), prior)
    edge = np.zeros(count, dtype=np.bool_)
    return from_pool(space, released, edge, 1.0, np.random.default_rng([43, seed]))


def full_gaussian(people: Vectors, pool: Vectors, count: int, seed: int) -> Vectors:
    """The same release in all 512 directions, the pool's mean and norm for centre and clip."""
    width = people.shape[1]
    centre = pool.mean(axis=0)
    radius = float(np.quantile(np.linalg.norm(pool - centre, axis=1), 0.95))
    sums = _sum_of_moments((people - centre) / radius)
    sigma = 1.0 / mu(EPSILON, DELTA)
    noise = np.random.default_rng([44, seed]).standard_normal(moments_width(width))
    flat = PersonaMoments(np.zeros(width), np.eye(width) / width)
    released = estimate((sums + sigma * noise) / len(people), sigma / len(people), flat)
    drawn = np.random.default_rng([45, seed]).multivariate_normal(
        released.mean, to_covariance(released.covariance), count, method="eigh"
    )
    return centre + radius * drawn


def _sum_of_moments(coordinates: Vectors) -> Vectors:
    """The sum of ``moments_of``, a part of the people at a time."""
    known = np.ones(_PART, dtype=np.bool_)
    return np.sum(
        [
            moments_of(coordinates[start : start + _PART], known[: len(coordinates) - start]).sum(0)
            for start in range(0, len(coordinates), _PART)
        ],
        axis=0,
    )


def two_sample_auc(real: Vectors, synthetic: Vectors, seed: int) -> float:
    """The better of a linear and a quadratic classifier, trained on one half, on the other."""
    rng = np.random.default_rng([46, seed])
    every = np.concatenate([real, synthetic])
    labels = np.repeat([1.0, 0.0], [len(real), len(synthetic)])
    order = rng.permutation(len(every))
    every, labels = every[order], labels[order]
    half = len(every) // 2
    middle, scale = every[:half].mean(axis=0), every[:half].std(axis=0) + 1e-12
    linear = (every - middle) / scale
    _, _, axes = np.linalg.svd(linear[:half], full_matrices=False)
    leading = linear @ axes[:30].T
    rows, columns = np.triu_indices(leading.shape[1])
    squares = leading[:, rows] * leading[:, columns]
    squares = (squares - squares[:half].mean(axis=0)) / (squares[:half].std(axis=0) + 1e-12)
    quadratic = np.concatenate([linear, squares], axis=1)
    found = [
        auc(labels[half:], features[half:] @ _logistic(features[:half], labels[:half])[:-1])
        for features in (linear, quadratic)
    ]
    return float(max(max(value, 1.0 - value) for value in found))


def class_auc(train: Vectors, answers: Vectors, test: Vectors, truth: Vectors) -> float:
    """AUC of a linear classifier of a yes or no on held-out real people."""
    middle, scale = train.mean(axis=0), train.std(axis=0) + 1e-12
    weights = _logistic((train - middle) / scale, answers)
    return float(auc(truth, (test - middle) / scale @ weights[:-1]))


def _logistic(features: Vectors, labels: Vectors) -> Vectors:
    """(f + 1,) ridge logistic regression, the intercept last."""
    ridge = _RIDGE * features.shape[1] / 100.0

    def loss(point: Vectors) -> tuple[float, Vectors]:
        score = features @ point[:-1] + point[-1]
        value = np.logaddexp(0.0, score).sum() - labels @ score
        off = 1.0 / (1.0 + np.exp(-score)) - labels
        gradient = np.append(features.T @ off + ridge * point[:-1], off.sum())
        return float(value + 0.5 * ridge * point[:-1] @ point[:-1]), gradient

    start = np.zeros(features.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
    return np.asarray(found.x, dtype=np.float64)


SYSTEMS: dict[str, Callable[[Vectors, Vectors, int, int], Vectors]] = {
    "everloop": ours,
    "full Gaussian": full_gaussian,
}


def labelled(
    system: Callable[[Vectors, Vectors, int, int], Vectors],
    real: Vectors,
    answers: Vectors,
    pool: Vectors,
    seed: int,
) -> tuple[Vectors, Vectors]:
    """(synthetic vectors, their answers): one release with a block for each answer."""
    drawn, told = [], []
    for answer in (0.0, 1.0):
        group = real[answers == answer]
        drawn.append(system(group, pool, len(group), 1_000 * seed + int(answer)))
        told.append(np.full(len(group), answer))
    return np.concatenate(drawn), np.concatenate(told)


def one_round(seed: int, people: int) -> list[dict[str, Any]]:
    """Rows of every system on one seed."""
    made, share, of_pool = world(seed)
    rng = np.random.default_rng([47, seed])
    real, classes = made.draw(people, share, 0.0, rng)
    held, truth = made.draw(people, share, 0.0, rng)
    pool, _ = made.draw(people, of_pool, 0.2, rng)
    wanted = int(share.argmax())
    answers, tests = (np.asarray(found == wanted, dtype=np.float64) for found in (classes, truth))

    def row(name: str, drawn: Vectors, tstr: float | None, spent: float) -> dict[str, Any]:
        told = two_sample_auc(held, drawn, seed)
        return {
            "system": name,
            "seed": seed,
            "people": people,
            "c2st_auc": told,
            "tstr": tstr,
            "cpu_s": spent,
        }

    rows = [row("real people", real, class_auc(real, answers, held, tests), 0.0)]
    rows.append(row("public pool", pool, None, 0.0))
    for name, system in SYSTEMS.items():
        started = time.process_time()
        drawn = system(real, pool, people, seed)
        spent = time.process_time() - started
        trained = labelled(system, real, answers, pool, seed)
        rows.append(row(name, drawn, class_auc(*trained, held, tests), spent))
    return rows


def measure(quick: bool = False) -> tuple[list[dict[str, Any]], list[Goal]]:
    """(rows, goals)."""
    people = QUICK_PEOPLE if quick else PEOPLE
    rows = [row for seed in (SEEDS[:1] if quick else SEEDS) for row in one_round(seed, people)]
    found = [row["c2st_auc"] for row in rows if row["system"] == "everloop"]
    goals = [] if quick else [Goal("persona_c2st_auc", spread(found), 0.82, "max")]
    return rows, goals


def summary(rows: list[dict[str, Any]]) -> str:
    """A table of medians over seeds."""
    lines = [f"{'system':<16}{'two-sample AUC':>16}{'TSTR':>10}{'CPU s':>10}"]
    for name in dict.fromkeys(row["system"] for row in rows):
        of = [row for row in rows if row["system"] == name]
        told = spread([row["c2st_auc"] for row in of]).value
        answered = [row["tstr"] for row in of if row["tstr"] is not None]
        tstr = f"{spread(answered).value:.3f}" if answered else "-"
        spent = spread([row["cpu_s"] for row in of]).value
        lines.append(f"{name:<16}{told:>16.3f}{tstr:>10}{spent:>10.2f}")
    return "\n".join(lines)
