"""Rows of several seeds as a table and as goals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scipy.stats import t

from bench.learning.places import ACTIONS, HOME, PEOPLE
from bench.learning.systems import FURTHER, OLD, SIZES
from bench.record import Goal, Spread

CONFIDENCE: Final = 0.95
TRANSFERRED: Final = "ppo, transferred"
Row = Mapping[str, Any]


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean over seeds and its 95 % t interval; one seed has no width."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Spread(mean, mean, mean)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)) * error
    return Spread(mean, mean - half, mean + half)


def goals_of(rows: Sequence[Row]) -> list[Goal]:
    """The benchmark's goals, those whose rows were measured."""
    goals = []
    people, each = SIZES[OLD]
    home = _shares(rows, "ppo", HOME, people, each)
    if home:
        goals.append(Goal("gain_share_10k", over_seeds(home), 0.8, "min"))
    moved = [
        over_seeds(found)
        for where in (PEOPLE, ACTIONS)
        if (found := _shares(rows, TRANSFERRED, where, *SIZES[FURTHER]))
    ]
    if len(moved) == 2:
        lower = min(moved, key=lambda spread: spread.value)
        goals.append(Goal("gain_share_transfer_1k", lower, 0.7, "min"))
    return goals


def table(rows: Sequence[Row], references: Sequence[Row]) -> str:
    """What each system is worth: means over seeds with 95 % t intervals, shares of the optimum's gain.

    ``roll-out``: mean half-width of the roll-outs' own 95 % intervals.
    """
    lines = ["", _of_places(references), ""]
    head = ("system", "place", "people x each", "share of gain", "over logging", "with floor")
    lines.append(
        f"{head[0]:22}{head[1]:9}{head[2]:>14} {head[3]:>22}{head[4]:>14}{head[5]:>12}"
        f"{'journeys':>10}{'roll-out':>10}{'CPU s':>7}{'seeds':>6}"
    )
    keys = dict.fromkeys((r["where"], r["people"], r["each"], r["system"]) for r in rows)
    for where, people, each, system in sorted(keys, key=_order):
        mine = [r for r in rows if _key(r) == (where, people, each, system)]
        share = over_seeds([r["share"] for r in mine])
        rolled = statistics.fmean((r["share_high"] - r["share_low"]) / 2 for r in mine)
        size = f"{people:,} x {each}" if people else "-"
        lines.append(
            f"{system:22}{where:9}{size:>14} "
            f"{f'{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]':>22}"
            f"{_mean(mine, 'over_logging'):14.3f}{_mean(mine, 'share_at_floor'):12.3f}"
            f"{_mean(mine, 'journey'):10.3f}{rolled:10.3f}{_mean(mine, 'cpu_s'):7.1f}{len(mine):6}"
        )
    return "\n".join(lines)


def _of_places(references: Sequence[Row]) -> str:
    lines = [f"{'place':9}{'uniform':>9}{'logging':>9}{'best':>7}  old optimum's share"]
    for where in dict.fromkeys(row["where"] for row in references):
        mine = [row for row in references if row["where"] == where]
        old = [row["old_optimum"] for row in mine if row["old_optimum"] is not None]
        told = f"{statistics.fmean(old):.3f}" if old else "-"
        lines.append(
            f"{where:9}{_mean(mine, 'uniform'):9.3f}{_mean(mine, 'logging'):9.3f}"
            f"{_mean(mine, 'best'):7.3f}  {told}"
        )
    return "\n".join(lines)


def _shares(rows: Sequence[Row], system: str, where: str, people: int, each: int) -> list[float]:
    return [r["share"] for r in rows if _key(r) == (where, people, each, system)]


def _key(row: Row) -> tuple[str, int, int, str]:
    return row["where"], row["people"], row["each"], row["system"]


def _order(key: tuple[str, int, int, str]) -> tuple[int, int, str]:
    where, people, each, system = key
    return (HOME, PEOPLE, ACTIONS).index(where), people * each, system


def _mean(rows: Sequence[Row], name: str) -> float:
    return statistics.fmean(row[name] for row in rows)
