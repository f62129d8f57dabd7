"""Noisy mean and covariance of persona vectors, and vectors that have them.

A person's vector in the release is (a, b c, e svec(c c')) with c their coordinates in the public space,
clipped to norm 1, and svec the upper triangle with its off-diagonal times sqrt(2), so that its norm is
the matrix's. a^2 + b^2 + e^2 = 1, so the whole has norm at most 1. What comes out is shrunk towards the
public pool by what the known noise alone would explain (James and Stein 1961), its covariance projected
onto the positive semidefinite matrices of its own trace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float
from synthetic.people import PeopleEpisodes
from synthetic.profiles.persona_space import PersonaSpace, persona_projection
from synthetic.profiles.simplex import to_simplex

COUNT_WEIGHT = float(np.sqrt(0.1))
MEAN_WEIGHT = float(np.sqrt(0.3))
SECOND_WEIGHT = float(np.sqrt(0.6))
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class PersonaMoments:
    """Mean (m,) and covariance (m, m) of coordinates; the covariance is positive semidefinite."""

    mean: Float
    covariance: Float


def moments_width(m: int) -> int:
    """Entries of a person's vector: 1 + m + m (m + 1) / 2."""
    return 1 + m + m * (m + 1) // 2


def moment_vectors(space: PersonaSpace, people: PeopleEpisodes) -> Float:
    """(P, 1 + m + m (m + 1) / 2) of P people; zeros for who logged no vector. Norms are at most 1."""
    vectors, known = person_vectors(space, people)
    return moments_of(space.coordinates(vectors), known)


def moments_of(coordinates: Float, known: Bool) -> Float:
    """The released vectors of (P, m) coordinates; clipped to norm 1, zeros where not ``known``."""
    norm = np.linalg.norm(coordinates, axis=1, keepdims=True)
    inside = coordinates / np.maximum(norm, 1.0)
    rows, columns = np.triu_indices(coordinates.shape[1])
    double = np.where(rows == columns, 1.0, np.sqrt(2.0))
    second = inside[:, rows] * inside[:, columns] * double
    parts = (np.full((len(inside), 1), COUNT_WEIGHT), MEAN_WEIGHT * inside, SECOND_WEIGHT * second)
    return np.asarray(np.concatenate(parts, axis=1) * known[:, None], dtype=np.float64)


def person_vectors(space: PersonaSpace, people: PeopleEpisodes) -> tuple[Float, Bool]:
    """((P, 512) mean vector of each person's last episodes, (P,) whether they logged any)."""
    episodes, real = people.episodes, people.rows >= 0
    context = episodes.context
    owner = np.repeat(np.arange(len(people)), real.sum(axis=1))
    rows = people.rows[real]
    if space.field is None:
        told = np.ones(len(rows), dtype=np.bool_)
        values = context[rows].astype(np.float64)
    else:
        values = context[rows][:, space.field.dimensions].astype(np.float64)
        told = np.asarray(np.abs(values).max(axis=1, initial=0.0) > 0.0)
    count = np.bincount(owner, weights=told, minlength=len(people))
    sums = np.zeros((len(people), values.shape[1]))
    np.add.at(sums, owner, values)
    means = sums / np.maximum(count, 1.0)[:, None]
    if space.field is None:
        means = means @ persona_projection(context.shape[1])
    return means, count > 0


def pool_moments(coordinates: Float) -> PersonaMoments:
    """Mean and covariance of (n, m) coordinates, clipped as people's are."""
    inside = coordinates / np.maximum(np.linalg.norm(coordinates, axis=1, keepdims=True), 1.0)
    return PersonaMoments(inside.mean(axis=0), np.cov(inside.T).reshape(inside.shape[1], -1))


def estimate(sums: Float, deviation: float, prior: PersonaMoments) -> PersonaMoments:
    """Moments from the released sum; as good as ``prior`` where noise is all there is.

    Args:
        sums: (1 + m + m (m + 1) / 2,) noisy sum over people, over the people expected.
        deviation: standard deviation of each entry's noise.
        prior: the public pool's.
    """
    m = len(prior.mean)
    people = max(float(sums[0]) / COUNT_WEIGHT, deviation / COUNT_WEIGHT, 1e-12)
    mean = sums[1 : 1 + m] / (MEAN_WEIGHT * people)
    noise = (deviation / (MEAN_WEIGHT * people)) ** 2 * m
    mean = prior.mean + _kept(mean - prior.mean, noise) * (mean - prior.mean)
    mean = mean / max(1.0, float(np.linalg.norm(mean)))

    second = _symmetric(sums[1 + m :] / (SECOND_WEIGHT * people), m)
    found = second - np.outer(mean, mean)
    noise = (deviation / (SECOND_WEIGHT * people)) ** 2 * (m * (m + 1) / 2.0)
    covariance = prior.covariance + _kept(found - prior.covariance, noise) * (
        found - prior.covariance
    )
    return PersonaMoments(mean, to_covariance(covariance))


def to_covariance(matrix: Float) -> Float:
    """The nearest positive semidefinite matrix (Frobenius) with the symmetric matrix's trace, which is
    held within (0, 1]."""
    trace = min(1.0, max(_LEAST_SPREAD, float(np.trace(matrix))))
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    kept = to_simplex(values / trace) * trace
    return np.asarray((vectors * kept) @ vectors.T, dtype=np.float64)


def transport(coordinates: Float, start: PersonaMoments, goal: PersonaMoments) -> Float:
    """(n, m) coordinates moved so that moments ``start`` become ``goal``: the linear map that moves
    them least, T = S^-1/2 (S^1/2 G S^1/2)^1/2 S^-1/2 (Knott and Smith 1984)."""
    root, inverse = _roots(start.covariance)
    inner, _ = _roots(root @ goal.covariance @ root)
    moved = (coordinates - start.mean) @ (inverse @ inner @ inverse)
    return np.asarray(goal.mean + moved, dtype=np.float64)


def _kept(difference: Float, noise: float) -> float:
    """1 - E|noise|^2 / |difference|^2, at least 0."""
    square = float((difference**2).sum())
    return max(0.0, 1.0 - noise / square) if square > 0.0 else 0.0


def _symmetric(entries: Float, m: int) -> Float:
    rows, columns = np.triu_indices(m)
    matrix = np.zeros((m, m))
    matrix[rows, columns] = entries / np.where(rows == columns, 1.0, np.sqrt(2.0))
    matrix[columns, rows] = matrix[rows, columns]
    return matrix


def _roots(matrix: Float) -> tuple[Float, Float]:
    """(square root, its inverse) of a positive semidefinite matrix; tiny eigenvalues have inverse 0."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    values = np.maximum(values, 0.0)
    root = np.sqrt(values)
    large = values > 1e-9 * max(float(values.max()), 1e-300)
    inverse = np.where(large, 1.0 / np.where(large, root, 1.0), 0.0)
    return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T
