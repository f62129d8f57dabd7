"""Histograms as a table whose rows are nobody.

Vertex AI's model monitoring takes rows and measures drift one column at a time. Each column here is one
field's values, repeated as often as they were counted and laid out by themselves: every column is true,
and no row tells which values came together.
"""

from __future__ import annotations

import csv
import io
import re

import numpy as np

from everloop.contracts.monitoring import FieldCounts, FieldKind, InputHistograms

MOST_ROWS = 10_000


def table(histograms: InputHistograms) -> bytes:
    """CSV of at most ``MOST_ROWS`` rows with a column for each field that was seen at all."""
    seen = [each for each in histograms.fields if each.total]
    longest = min(MOST_ROWS, max((each.total for each in seen), default=0))
    columns = [_column(each, longest) for each in seen]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([column_of(each.field) for each in seen])
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue().encode()


def column_of(name: str) -> str:
    """A field's name as a column's."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def data_type(kind: FieldKind) -> str:
    """A column's type in a monitoring schema."""
    return "float" if kind is FieldKind.NUMBER else "categorical"


def _column(counts: FieldCounts, rows: int) -> list[str]:
    """Values in proportion to their counts, ``rows`` in all, by largest remainders."""
    exact = np.asarray(counts.counts, dtype=np.float64) * rows / counts.total
    whole = np.floor(exact).astype(np.int64)
    rest = rows - int(whole.sum())
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[:rest]] += 1
    prefix = "" if counts.kind is FieldKind.NUMBER else "v"
    return [f"{prefix}{v}" for v, n in zip(counts.values, whole, strict=True) for _ in range(n)]
