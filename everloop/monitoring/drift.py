"""Drift of people's situations: histograms of encoded contexts, and distances between two of them.

Numbers are compared by the Jensen-Shannon divergence with logarithms of base 2,

    JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2,

categories by the largest difference of shares, max_i |p_i - q_i|: the two that Vertex AI's model
monitoring uses, so that its figures and ours can be compared. Both are in [0, 1]. (Lin, 1991, Divergence
measures based on the Shannon entropy, IEEE Transactions on Information Theory 37.)

Between finite samples of one and the same distribution with k bins the expected divergence is about
(k - 1) (1/n + 1/m) / (8 ln 2), so that few episodes say nothing: under ``FEWEST`` it is *insufficient*.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes, EncodingLayout, Float
from everloop.contracts.monitoring import (
    DriftFigures,
    DriftStatus,
    FieldCounts,
    FieldDrift,
    FieldKind,
    InputHistograms,
)

BINS = 10
LIMIT = 0.1
"""Where drift begins; with ``FEWEST`` episodes on both sides chance alone gives about .01."""
FEWEST = 200
ABSENT = "(absent)"


def input_histograms(
    episodes: EncodedEpisodes,
    layout: EncodingLayout,
    rows: Bool,
    model_version: str,
    days: tuple[date, date],
    loop: str,
    tenant: str = "default",
) -> InputHistograms:
    """Count what some episodes' contexts hold, field by field.

    Numbers are counted in ``BINS`` equal bins of [-1, 1], a vector's and a history's dimensions each by
    itself; a category by value; a cycle by the angle of its sine and cosine. Where a field can be absent,
    whether it is counts as a field of its own.

    Args:
        episodes: n encoded episodes.
        layout: which of their dimensions hold what.
        rows: (n,) which of them count.
        model_version, days, loop, tenant: see ``InputHistograms``.
    """
    context = episodes.context[rows]
    counted: list[FieldCounts] = []
    for block in layout.blocks:
        part = context[:, block.dimensions].astype(np.float64)
        if block.kind == "category":
            counted.append(_categories(block.field, part))
        elif block.kind == "cycle":
            counted.append(_numbers(block.field, np.arctan2(part[:, 0], part[:, 1]) / np.pi))
        elif block.kind == "missing":
            absent = int((part[:, 0] > 0.5).sum())
            name = f"{block.field} absent"
            counts = (len(part) - absent, absent)
            counted.append(FieldCounts(name, FieldKind.CATEGORY, ("no", "yes"), counts))
        else:
            names = [block.field] if block.width == 1 else _numbered(block.field, block.width)
            counted += [_numbers(name, part[:, i]) for i, name in enumerate(names)]
    return InputHistograms(
        loop, tenant, model_version, days[0], days[1], len(context), tuple(counted)
    )


def compare(
    baseline: InputHistograms, met: InputHistograms, limit: float = LIMIT, fewest: int = FEWEST
) -> DriftFigures:
    """How far every field that both have has moved from the baseline."""
    known = {each.field: each for each in baseline.fields}
    fields = tuple(
        _drift(known[each.field], each, limit, fewest)
        for each in met.fields
        if each.field in known and known[each.field].values == each.values
    )
    return DriftFigures(met.loop, met.tenant, met.model_version, met.first, met.last, fields)


def divergence(p: Sequence[int], q: Sequence[int]) -> float:
    """Jensen-Shannon divergence, base 2, in [0, 1], of two histograms with the same bins."""
    first, second = _shares(p), _shares(q)
    return max(0.0, _entropy((first + second) / 2) - (_entropy(first) + _entropy(second)) / 2)


def largest_difference(p: Sequence[int], q: Sequence[int]) -> float:
    """Largest difference of shares, in [0, 1], of two histograms with the same values."""
    return float(np.abs(_shares(p) - _shares(q)).max())


def _drift(baseline: FieldCounts, met: FieldCounts, limit: float, fewest: int) -> FieldDrift:
    few = min(baseline.total, met.total) < fewest
    distance = 0.0
    if baseline.total and met.total:
        measure = divergence if met.kind is FieldKind.NUMBER else largest_difference
        distance = measure(baseline.counts, met.counts)
    status = DriftStatus.DRIFTED if distance > limit else DriftStatus.STEADY
    return FieldDrift(
        field=met.field,
        distance=distance,
        limit=limit,
        baseline_n=baseline.total,
        observed_n=met.total,
        status=DriftStatus.INSUFFICIENT if few else status,
    )


def _numbers(name: str, values: Float) -> FieldCounts:
    counts, edges = np.histogram(np.clip(values, -1.0, 1.0), bins=BINS, range=(-1.0, 1.0))
    centres = (edges[:-1] + edges[1:]) / 2
    return FieldCounts(
        name, FieldKind.NUMBER, tuple(f"{c:.1f}" for c in centres), tuple(map(int, counts))
    )


def _categories(name: str, one_hot: Float) -> FieldCounts:
    counts = (one_hot > 0.5).sum(axis=0)
    absent = len(one_hot) - int(counts.sum())
    values = (*(str(i) for i in range(one_hot.shape[1])), ABSENT)
    return FieldCounts(name, FieldKind.CATEGORY, values, (*map(int, counts), absent))


def _numbered(name: str, width: int) -> list[str]:
    return [f"{name} {i}" for i in range(width)]


def _shares(counts: Sequence[int]) -> Float:
    values = np.asarray(counts, dtype=np.float64)
    return np.asarray(values / values.sum())


def _entropy(shares: Float) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())
