"""People who do not exist, drawn from released statistics: post-processing, as often as one likes.

Where pairs of variables were released, bins are drawn from the mixture that was fitted to them, else
independently of each other by their released shares; then a value evenly within the bin. Noisy shares
are projected onto the probability simplex, which cuts off what the noise alone put into empty bins.
"""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import EncodingLayout, Float
from everloop.contracts.errors import ShouldFixArgument
from synthetic.profiles.contexts import block_columns, contexts_of, even_codes
from synthetic.profiles.marginals import variables
from synthetic.profiles.mixture import Mixture, independent, starts_of
from synthetic.profiles.mixture_fit import NoisyTables, fit_mixture
from synthetic.profiles.simplex import to_simplex
from synthetic.profiles.statistics import ProfileStatistics

__all__ = ["EDGE_SHARE", "EDGE_WEIGHT", "bin_shares", "sample_contexts", "to_simplex"]

EDGE_SHARE = 0.05
"""Share of profiles made as edge cases, the last rows: each variable evenly over all its bins."""
EDGE_WEIGHT = 0.25
"""Sampling weight of an edge case in policy training."""
MOST_VARIANCE = 10.0
_LOUDEST = 0.05
"""Noise of a joint share above which pairs say less than nothing: far fewer people came than expected."""


def sample_contexts(
    layout: EncodingLayout,
    statistics: ProfileStatistics,
    count: int,
    rng: np.random.Generator,
    variance: float = 1.0,
    edge_share: float = EDGE_SHARE,
) -> tuple[Float, Float]:
    """((count, d) contexts within [-1, 1], (count,) sampling weights).

    Args:
        layout: what the dimensions mean.
        statistics: the release.
        count: how many people.
        rng: of the sampling, which spends no privacy.
        variance: factor on how much people differ, in (0, MOST_VARIANCE]: on the variance of numbers; a
            category's shares are raised to the power 1 / variance, towards even above 1.
        edge_share: share of edge cases, in [0, 1].

    Raises:
        ShouldFixArgument: a factor or share out of range.
    """
    if not 0.0 < variance <= MOST_VARIANCE:
        raise ShouldFixArgument(f"variance={variance} is not within (0, {MOST_VARIANCE:g}].")
    if not 0.0 <= edge_share <= 1.0:
        raise ShouldFixArgument(f"edge_share={edge_share} is not within [0, 1].")
    edges = int(edge_share * count)
    mixture = _tempered(layout, _settled(layout, mixture_of(layout, statistics)), variance)
    ordinary = contexts_of(layout, mixture.draw(count - edges, rng), rng, variance)
    extreme = contexts_of(layout, even_codes(layout, edges, rng), rng)
    weight = np.where(np.arange(count) >= count - edges, EDGE_WEIGHT, 1.0)
    return np.concatenate([ordinary, extreme]), weight


def bin_shares(layout: EncodingLayout, statistics: ProfileStatistics) -> tuple[Float, ...]:
    """Probability of each bin, one array per variable."""
    mixture = mixture_of(layout, statistics)
    return tuple(mixture.shares[variable.part] for variable in variables(layout))


def mixture_of(layout: EncodingLayout, statistics: ProfileStatistics) -> Mixture:
    """What people are drawn from: the release's fitted mixture, or independent variables."""
    if statistics.mixture is not None:
        return statistics.mixture
    shares, cards = [], []
    people = _people(layout, statistics)
    for variable in variables(layout):
        shares.append(to_simplex(statistics.sums[variable.part] / people))
        cards.append(variable.bins)
    return independent(np.concatenate(shares), tuple(cards))


def fitted_mixture(layout: EncodingLayout, statistics: ProfileStatistics) -> Mixture | None:
    """The mixture of a release's shares and pairs; ``None`` where it has no pairs, or too loud ones."""
    pairs = statistics.pair_layout(layout)
    if not pairs.pairs:
        return None
    facts = statistics.facts
    people = _people(layout, statistics)
    tables = pairs.tables(statistics.pairs)
    noise = facts.pair_deviation * np.sqrt(float(np.mean(pairs.sizes)) / len(tables))
    of_pairs = max(float(np.mean([table.sum() for table in tables])), noise)
    if facts.pair_deviation / of_pairs > _LOUDEST:
        return None
    return fit_mixture(
        NoisyTables(
            cards=tuple(variable.bins for variable in variables(layout)),
            group=np.asarray(facts.group, dtype=np.int64),
            shares=statistics.sums / people,
            deviation=facts.deviation / people,
            joint=pairs.matrix(statistics.pairs / of_pairs),
            measured=pairs.measured,
            joint_deviation=facts.pair_deviation / of_pairs,
        )
    )


def _people(layout: EncodingLayout, statistics: ProfileStatistics) -> float:
    """How many people the 1-way sums count, over their scale and the people expected.

    Every variable counts the same people, so all of them together say how many there are. With less
    than one standard deviation of people the shares are as good as even.
    """
    sums = [statistics.sums[variable.part].sum() for variable in variables(layout)]
    return max(float(np.mean(sums)), statistics.facts.deviation)


def _settled(layout: EncodingLayout, mixture: Mixture) -> Mixture:
    """Fields are absent as a whole: a block's first variable says so with their mean probability, the
    others never do; a field that cannot be absent is not."""
    bins = mixture.bins.copy()
    every = variables(layout)
    starts = starts_of(mixture.cards)
    for columns in block_columns(layout):
        last = [int(starts[c]) + every[c].bins - 1 for c in columns]
        absent = bins[:, last].mean(axis=1)
        if every[columns[0]].missing is None:
            absent = np.zeros_like(absent)
        for position, column in enumerate(columns):
            part = slice(int(starts[column]), last[position])
            total = bins[:, part].sum(axis=1, keepdims=True)
            even = 1.0 / (every[column].bins - 1)
            known = np.where(total > 0.0, bins[:, part] / np.where(total > 0.0, total, 1.0), even)
            missing = absent if position == 0 else np.zeros_like(absent)
            bins[:, part] = known * (1.0 - missing)[:, None]
            bins[:, last[position]] = missing
    return Mixture(mixture.weights, bins, mixture.cards)


def _tempered(layout: EncodingLayout, mixture: Mixture, variance: float) -> Mixture:
    """Categories' shares to the power 1 / variance; what they go together with stays."""
    if variance == 1.0:
        return mixture
    bins = mixture.bins.copy()
    for variable, start in zip(variables(layout), starts_of(mixture.cards), strict=True):
        if variable.block.kind == "category":
            part = slice(int(start), int(start) + variable.bins - 1)
            bins[:, part] = _powered(bins[:, part], mixture.shares[part], variance)
    return Mixture(mixture.weights, bins, mixture.cards)


def _powered(bins: Float, shares: Float, variance: float) -> Float:
    """(K, choices) a category's bins once its overall shares are tempered; rows keep their sums."""
    present = shares.sum()
    if present <= 0.0:
        return bins
    wanted = (shares / present) ** (1.0 / variance)
    factor = np.where(shares > 0.0, wanted / np.where(shares > 0.0, shares, 1.0), 0.0)
    moved = bins * factor
    total = moved.sum(axis=1, keepdims=True)
    rescaled = moved / np.where(total > 0.0, total, 1.0) * bins.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0.0, rescaled, bins), dtype=np.float64)
