"""What the page of the people's step says of groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from everloop.contracts.datasets import EncodingLayout
from everloop.contracts.group_patterns import GroupPattern
from everloop.contracts.loop_spec import LoopSpec
from synthetic.profiles.group_patterns import group_patterns
from synthetic.profiles.statistics import load_statistics

STATISTICS = "profiles.safetensors"
"""The released statistics, in the artifact's folder beside the people drawn from them."""
_SHOWN = 60


def patterns_of(path: str, layout: EncodingLayout, spec: LoopSpec) -> tuple[tuple[str, str], ...]:
    """Rows of the page: groups that an artifact's folder allows to tell, the largest first."""
    statistics = load_statistics(Path(path) / STATISTICS, layout)
    return pattern_rows(group_patterns(layout, statistics, spec))


def pattern_rows(patterns: Sequence[GroupPattern]) -> tuple[tuple[str, str], ...]:
    """(group, how many) in words; beyond the largest groups, how many more there are."""
    largest = sorted(patterns, key=lambda p: (-p.people, p.fields, p.values))
    rows = [
        (
            "group: " + ", ".join(f"{f} {v}" for f, v in zip(p.fields, p.values, strict=True)),
            f"about {p.people:,.0f} people, {p.share:.0%} (noise ± {p.deviation:,.0f})",
        )
        for p in largest[:_SHOWN]
    ]
    if len(patterns) > _SHOWN:
        rows.append(("more groups", f"{len(patterns) - _SHOWN:,}"))
    return tuple(rows)
