"""What a held-out person adds to the published quality figures: one vector of norm at most 1.

It has three blocks, each a mean over the person's last rewarded decisions: the share of decisions by
whether they were accepted and by how likely the user model called that (four public classes); whether the
model was right, its squared error and the absolute one of the expected reward; and, for up to four
variables of the context, whether it lies where half of the synthetic people are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import EncodingLayout, Float, Int
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from synthetic.noise import Noise
from synthetic.people import PeopleEpisodes
from synthetic.profiles.marginals import bins_of, total_bins, variables
from synthetic.quality.prediction import accepted
from synthetic.quality.published_figures import CLASSES, Sums

MARGINALS = 4
_BATCH_PEOPLE = 10_000
_REFERENCE_ROWS = 4_000


@dataclass(frozen=True, slots=True, eq=False)
class Ruler:
    """What people are measured with: computed from releases and public constants alone.

    Attributes:
        edges: (CLASSES - 1,) chances of acceptance that part synthetic decisions into equal classes.
        columns: (V,) positions of the variables whose marginals are compared.
        inside: (bins,) True for the bins that hold at least half of the synthetic people.
        shares: (V,) share of synthetic people in these bins.
    """

    edges: Float
    columns: Int
    inside: Float
    shares: Float


def ruler_of(layout: EncodingLayout, model: UserModel, profiles: ProfileBatch) -> Ruler:
    """Classes and reference bins from synthetic people alone; the same releases give the same ruler."""
    rows = np.arange(_REFERENCE_ROWS) % len(profiles)
    actions = profiles.mask[rows]
    turn = np.arange(_REFERENCE_ROWS) // len(profiles) + rows
    valid = [np.flatnonzero(mask) for mask in actions]
    action = np.array([v[t % len(v)] for v, t in zip(valid, turn, strict=True)], dtype=np.int64)
    chance = model.acceptance(profiles.context[rows], action)
    edges = np.quantile(chance, np.arange(1, CLASSES) / CLASSES)
    columns = shared_columns(layout)
    bins = bins_of(layout, profiles.context)
    inside, shares = np.zeros(total_bins(layout)), []
    for column in columns:
        held = np.bincount(bins[:, column], weights=profiles.weight, minlength=len(inside))
        held = held / held.sum()
        order = np.argsort(-held, kind="stable")
        chosen = order[: int(np.searchsorted(np.cumsum(held[order]), 0.5)) + 1]
        inside[chosen] = 1.0
        shares.append(held[chosen].sum())
    return Ruler(np.asarray(edges), columns, inside, np.array(shares))


def shared_columns(layout: EncodingLayout) -> Int:
    """(V,) positions of the variables whose marginals are compared: evenly over all, at most four."""
    every = len(variables(layout))
    return np.unique(np.linspace(0, every - 1, min(MARGINALS, every)).astype(np.int64))


def person_vectors(
    spec: LoopSpec,
    layout: EncodingLayout,
    model: UserModel,
    ruler: Ruler,
    people: PeopleEpisodes,
) -> Float:
    """(P, D) vectors of P people before weighting: classes, errors, marginals; see the module."""
    real = people.rows >= 0
    rows = people.rows[real]
    owner = np.repeat(np.arange(len(people)), real.sum(axis=1))
    share = people.share[real]
    context, action = people.episodes.context[rows], people.episodes.action[rows]
    reward = people.episodes.reward[rows]
    yes = accepted(spec, reward)
    chance = np.clip(model.acceptance(context, action), 0.0, 1.0)
    vectors = np.zeros((len(people), 2 * CLASSES + 3 + len(ruler.columns)))
    place = np.searchsorted(ruler.edges, chance, side="right") + CLASSES * yes
    np.add.at(vectors, (owner, place), share)
    missed = np.clip(np.abs(model.expected_reward(context, action) - reward) / 2.0, 0.0, 1.0)
    inside = ruler.inside[bins_of(layout, context)[:, ruler.columns]]
    others = np.column_stack([yes == (chance >= 0.5), (chance - yes) ** 2, missed, inside])
    np.add.at(vectors[:, 2 * CLASSES :], owner, others * share[:, None])
    return vectors


def noisy_sums(
    spec: LoopSpec,
    layout: EncodingLayout,
    model: UserModel,
    ruler: Ruler,
    people: PeopleEpisodes,
    terms: tuple[float, float],
    noise: Noise,
) -> Sums:
    """(sum of the people's weighted vectors, clipped to 1, + deviation * z) / expected, unweighted after.

    ``terms``: (deviation of the noise, the public number of people to divide by).
    """
    deviation, expected = terms
    weights = block_weights(len(ruler.columns))
    total = deviation * noise((len(weights),))
    for part in people.batches(_BATCH_PEOPLE):
        vectors = person_vectors(spec, layout, model, ruler, part) * weights
        norm = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        total = total + (vectors / np.maximum(norm, 1.0)).sum(axis=0)
    return Sums(np.asarray(total / expected, dtype=np.float64), weights, ruler.shares)


def block_weights(marginals: int) -> Float:
    """(D,) weights with which the longest possible vector has norm 1: half of its square for classes,
    three tenths for errors, a fifth for marginals."""
    classes = np.full(2 * CLASSES, np.sqrt(0.5))
    errors = np.full(3, np.sqrt(0.3 / 3.0))
    return np.concatenate([classes, errors, np.full(marginals, np.sqrt(0.2 / marginals))])
