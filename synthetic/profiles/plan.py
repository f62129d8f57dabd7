"""What a release of profiles measures, and how its loss is divided: a public function of the loop.

Three blocks: 1-way shares of every variable, 2-way tables of as many pairs as the population can pay
for, and moments of persona vectors. Each is scaled so that one person's whole vector has norm at most
1, so the blocks' parts of mu^2 sum to 1. What is planned follows from the specification alone and is the
same on every date, so that releases can be averaged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import EncodingLayout, Int
from everloop.contracts.loop_spec import FieldKind, LoopSpec
from synthetic.profiles.marginals import Variable, variables
from synthetic.profiles.mixture import starts_of
from synthetic.profiles.pair_tables import PairLayout

TYPICAL_SQUARE = 0.5
"""Public guess of the squared norm of one table's shares, between 1 / episodes and 1. It scales a
person's vector: a wrong guess costs accuracy, never privacy."""
LARGEST_DEVIATION = 0.01
"""Noise of a share, in shares of the people expected, up to which a table is worth its loss: half of
what cells of 2-way tables differ by from independence where traits depend on each other."""
COARSE_BINS = 4
"""Bins of a number or a cycle in a 2-way table."""
MOST_CHOICES = 12
"""Categories with more choices stay 1-way."""
MOST_PAIRS = 300
PAIRS_PART = 0.5
"""Part of what traits get that pairs take, if any pair can be paid for."""


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """The blocks of a release.

    Attributes:
        cards: bins of each variable in 1-way shares.
        group: (B,) coarse bin of each bin, over all variables, as a tuple.
        pairs: which pairs have a 2-way table, over coarse bins.
        shares_part, pairs_part, persona_part: parts of mu^2; they sum to 1.
    """

    cards: tuple[int, ...]
    group: tuple[int, ...]
    pairs: PairLayout
    shares_part: float
    pairs_part: float
    persona_part: float

    @property
    def shares_scale(self) -> float:
        """R of the 1-way block: a typical person's shares over it have norm 1."""
        return math.sqrt(TYPICAL_SQUARE * len(self.cards))

    @property
    def pairs_scale(self) -> float:
        """R of the pairs' block."""
        return math.sqrt(TYPICAL_SQUARE * max(1, len(self.pairs.pairs)))

    @property
    def group_of(self) -> Int:
        return np.asarray(self.group, dtype=np.int64)


def profile_plan(spec: LoopSpec, layout: EncodingLayout, mu_squared: float) -> ProfilePlan:
    """The plan of a loop whose first release of profiles loses ``mu_squared``.

    Pairs are measured only if every 1-way share keeps a deviation of at most LARGEST_DEVIATION with what
    is left to it; then as many as keep the same bound, categories first, then fields that interact,
    each in the specification's order.
    """
    every = variables(layout)
    cards = tuple(variable.bins for variable in every)
    groups = [_coarse(variable) for variable in every]
    coarse_cards = tuple(int(group.max()) + 1 for group in groups)
    starts = starts_of(coarse_cards)
    group = tuple(
        int(start + place) for start, of in zip(starts, groups, strict=True) for place in of
    )
    persona = spec.privacy.vectors_share
    candidates = _candidates(spec, every)
    affordable = _affordable(spec, len(cards), mu_squared * (1.0 - persona))
    pairs = PairLayout(coarse_cards, tuple(sorted(candidates[:affordable])))
    of_pairs = PAIRS_PART * (1.0 - persona) if pairs.pairs else 0.0
    return ProfilePlan(cards, group, pairs, 1.0 - persona - of_pairs, of_pairs, persona)


def _affordable(spec: LoopSpec, count: int, mu_squared: float) -> int:
    """How many pairs a loop can pay for from what traits get."""
    people = spec.privacy.people_expected

    def tables(part: float) -> int:
        """Tables whose shares' noise sqrt(TYPICAL_SQUARE tables / (mu^2 part)) / people is in bounds."""
        return int(mu_squared * part * (LARGEST_DEVIATION * people) ** 2 / TYPICAL_SQUARE)

    if tables(1.0 - PAIRS_PART) < count:
        return 0
    return min(MOST_PAIRS, tables(PAIRS_PART))


def _candidates(spec: LoopSpec, every: tuple[Variable, ...]) -> list[tuple[int, int]]:
    """Pairs of variables that may be measured, most wanted first."""
    rank: dict[int, int] = {}
    for v, variable in enumerate(every):
        field = next((f for f in spec.context if f.name == variable.block.field), None)
        if variable.block.kind == "category" and variable.bins - 1 > MOST_CHOICES:
            continue
        category = variable.block.kind == "category"
        wanted = field is not None and field.kind is not FieldKind.HISTORY and field.interacts
        rank[v] = 0 if category else 1 if wanted else 2
    pairs = [(i, j) for i in rank for j in rank if i < j]
    return sorted(pairs, key=lambda pair: (rank[pair[0]] + rank[pair[1]], pair))


def _coarse(variable: Variable) -> Int:
    """(bins,) coarse bin of each of a variable's bins; the last says that the field is absent."""
    bins = variable.bins - 1
    if variable.block.kind == "category":
        return np.arange(variable.bins)
    coarse = np.arange(bins) * min(COARSE_BINS, bins) // bins
    return np.append(coarse, coarse[-1] + 1)
