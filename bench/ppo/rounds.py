"""Rounds of trainings, each in a process of its own, and the goals that are computed from them."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.ppo.systems import SYSTEMS
from bench.private.rows import Rows
from bench.record import Goal, Spread, measured, ratios, spread

Row = Mapping[str, Any]
Round = Mapping[str, Row]
"""System -> its figures; one seed."""

OURS = "everloop"
MASKED = "sb3-maskable"
SB3 = (MASKED, "sb3-plain")
CLEANRL = "cleanrl-style"
RLLIB = "rllib-stock"


class Rounds:
    """Measures rounds, or takes what was measured of the same code before.

    Args:
        rows: kept rows.
        versions: of the packages that are compared; other versions are other rows.
    """

    def __init__(self, rows: Rows, versions: Mapping[str, str]) -> None:
        self._rows = rows
        self._versions = dict(versions)

    def play(self, number: int, seed: int, quick: bool) -> Round:
        """One round: every system trains on a seed; the systems take turns at being first."""
        names = list(SYSTEMS)
        first = number % len(names)
        order = names[first:] + names[:first]
        done = {name: self._row(name, seed, quick) for name in order}
        return {name: done[name] for name in names}

    def _row(self, name: str, seed: int, quick: bool) -> Row:
        configuration = {"system": name, "seed": seed, "quick": quick, **self._versions}
        row = self._rows.known("ppo", configuration)
        if row is None:
            row = self._rows.keep("ppo", configuration, run(name, seed, quick))
        print(line(name, seed, row), flush=True)
        return row


def run(name: str, seed: int, quick: bool) -> dict[str, Any]:
    """Train one system in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-ppo-") as folder:
        file = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "bench.ppo.one", name, str(seed), str(file)]
        usage = measured([*command, *(["--quick"] if quick else [])], {"OMP_NUM_THREADS": "1"})
        row: dict[str, Any] = json.loads(file.read_text())
    return row | {"cpu_s": usage.cpu_s, "peak_mb": usage.peak_mb, "wall_s": usage.wall_s}


def line(name: str, seed: int, row: Row) -> str:
    """One training as a line of text."""
    steps = row["steps_to_80"]
    at = f"{steps:>7,} steps, {row['cpu_s_to_80']:5.1f} CPU s" if steps else "not reached"
    return (
        f"seed {seed}, {name:<13} {row['steps_per_cpu_s']:7,.0f} steps per CPU s, 80 %: {at:<26} "
        f"last {row['last_share']:.2f}, {row['peak_mb']:5.0f} MiB, "
        f"{row['share_of_sgemm_rate']:.2f} of sgemm"
    )


def table(rounds: Sequence[Round]) -> str:
    """Medians over rounds."""
    lines = [
        "system         steps/CPU s  vs ours  reached 80 %  steps to it  CPU s to it   MiB  sgemm"
    ]
    for name in rounds[0]:
        rows = [played[name] for played in rounds]
        rate = _median(rows, "steps_per_cpu_s")
        share = ratios(
            [row["steps_per_cpu_s"] for row in rows],
            [played[OURS]["steps_per_cpu_s"] for played in rounds],
        )
        reached = [row for row in rows if row["steps_to_80"]]
        steps = f"{_median(reached, 'steps_to_80'):,.0f}" if reached else "-"
        taken = f"{_median(reached, 'cpu_s_to_80'):.1f}" if reached else "-"
        lines.append(
            f"{name:<14} {rate:11,.0f}  {share.value:7.2f}  {len(reached):>7} of {len(rows)}  "
            f"{steps:>11}  {taken:>11}  {_median(rows, 'peak_mb'):4.0f}  "
            f"{_median(rows, 'share_of_sgemm_rate'):5.2f}"
        )
    return "\n".join(lines)


def goals(rounds: Sequence[Round]) -> list[Goal]:
    """The goals; every ratio is taken within a round, whose systems share the machine's state."""
    ours = [played[OURS]["steps_per_cpu_s"] for played in rounds]
    return [
        Goal(
            "cpu_ratio_vs_sb3",
            ratios(ours, [max(p[n]["steps_per_cpu_s"] for n in SB3) for p in rounds]),
            goal=1.3,
            sense="min",
        ),
        Goal(
            "cpu_ratio_vs_sb3_masked",
            ratios(ours, [p[MASKED]["steps_per_cpu_s"] for p in rounds]),
            goal=1.3,
            sense="min",
        ),
        Goal(
            "cpu_ratio_vs_cleanrl",
            ratios(ours, [p[CLEANRL]["steps_per_cpu_s"] for p in rounds]),
            goal=1.0,
            sense="min",
        ),
        Goal("steps_to_80_vs_sb3", _steps(rounds), goal=1.0, sense="max"),
        Goal(
            "share_of_sgemm_rate",
            spread([p[OURS]["share_of_sgemm_rate"] for p in rounds]),
            goal=0.0,
            sense="min",
        ),
    ]


def _steps(rounds: Sequence[Round]) -> Spread:
    """Ours over the fewer of stable-baselines3's two.

    A peer that never got there counts as if it had with one more update, which favours it.

    Raises:
        RuntimeError: ours never got there, so there is no number of steps to report.
    """
    ours, theirs = [], []
    for played in rounds:
        if played[OURS]["steps_to_80"] is None:
            raise RuntimeError(f"Ours never earned the share it is timed to: {played[OURS]}.")
        ours.append(_steps_of(played[OURS]))
        theirs.append(min(_steps_of(played[name]) for name in SB3))
    return ratios(ours, theirs)


def _steps_of(row: Row) -> float:
    steps = row["steps_to_80"]
    return float(steps if steps is not None else row["steps"] + row["steps"] // len(row["curve"]))


def _median(rows: Sequence[Row], name: str) -> float:
    return statistics.median(row[name] for row in rows)
