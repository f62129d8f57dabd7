"""The record that every benchmark prints, and how it measures a process.

Only the standard library is imported here: the kernel counts the parent's memory into a child's peak
while it starts, so the process that measures stays small.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process used, its own children included.

    ``cpu_s``: user and system CPU seconds; ``peak_mb``: largest resident set, MiB; ``wall_s``: seconds.
    """

    cpu_s: float
    peak_mb: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Spread:
    """A median over rounds with its interval: the smallest and the largest round."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"value={self.value} is outside [{self.low}, {self.high}].")


@dataclass(frozen=True, slots=True)
class Goal:
    """A measured figure and what was aimed at; ``min``: at least ``goal``, ``max``: at most."""

    name: str
    measured: Spread
    goal: float
    sense: Literal["min", "max"]

    @property
    def met(self) -> bool:
        if self.sense == "min":
            return self.measured.value >= self.goal
        return self.measured.value <= self.goal


def spread(values: Sequence[float]) -> Spread:
    """Median and range of rounds; ``ValueError`` without a round."""
    if not values:
        raise ValueError("No round was measured.")
    return Spread(statistics.median(values), min(values), max(values))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Spread of the ratios within rounds: numbers of one round share the machine's state."""
    return spread([n / d for n, d in zip(numerators, denominators, strict=True)])


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Run a command from the repository's root and measure it; what it prints goes to stderr.

    Raises:
        RuntimeError: the command failed, so there is nothing to report.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=sys.stderr
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}.")
    return Usage(
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        wall_s=time.perf_counter() - started,
    )


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [n for n in cpuinfo.read_text().splitlines() if n.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def record(bench: str, seed: int, rows: Sequence[Mapping[str, Any]], goals: Sequence[Goal]) -> str:
    """The one line that a benchmark's output ends with."""
    return json.dumps(
        {
            "bench": bench,
            "seed": seed,
            "machine": machine(),
            "rows": [{name: _rounded(value) for name, value in row.items()} for row in rows],
            "goals": [
                {
                    "name": goal.name,
                    "value": _rounded(goal.measured.value),
                    "interval": [_rounded(goal.measured.low), _rounded(goal.measured.high)],
                    "goal": goal.goal,
                    "sense": goal.sense,
                    "met": goal.met,
                }
                for goal in goals
            ],
        },
        allow_nan=False,
    )


def usage_row(system: str, size: int, rounds: Sequence[Usage], **more: Any) -> dict[str, Any]:
    """A row of the record: medians over rounds."""
    medians = {
        name: statistics.median(asdict(usage)[name] for usage in rounds)
        for name in ("cpu_s", "peak_mb", "wall_s")
    }
    return {"system": system, "size": size, **medians, "rounds": len(rounds), **more}


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
