"""CPU seconds and peak memory of the reward table, beside polars and pandas.

Every system reads the same two Parquet files and writes the same table, in a process of its own, in
interleaved rounds; the tables are checked for equality. Each gets one thread: that is where all three
need the fewest CPU seconds for the work.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench.record import Goal, Usage, measured, ratios, record, spread, usage_row

SYSTEMS = {
    "everloop": "with_everloop",
    "everloop-stage": "with_stage",
    "polars": "with_polars",
    "pandas": "with_pandas",
}
ROUNDS = {1_000_000: 5, 10_000_000: 5}
QUICK_ROUNDS = {20_000: 1, 50_000: 2}
GOAL_SIZE = 10_000_000
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}


def run(module: str, *arguments: str) -> Usage:
    """One process of this benchmark."""
    return measured([sys.executable, "-m", f"bench.rewards.{module}", *arguments], ONE_THREAD)


def measure_size(folder: Path, size: int, rounds: int, seed: int) -> dict[str, list[Usage]]:
    """Usage of each system in each round; every round starts with another system."""
    run("generate", str(folder), str(size), str(seed))
    usage: dict[str, list[Usage]] = {name: [] for name in SYSTEMS}
    names = list(SYSTEMS)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            used = run(SYSTEMS[name], str(folder), str(folder / f"{name}.parquet"))
            usage[name].append(used)
            print(
                f"{size:>10,} signals, round {number + 1}, {name:<14} "
                f"{used.cpu_s:6.2f} CPU s  {used.peak_mb:6.0f} MiB",
                flush=True,
            )
    for name in names[1:]:
        run("same", str(folder / f"{names[0]}.parquet"), str(folder / f"{name}.parquet"))
    return usage


def goals(usage: dict[str, list[Usage]]) -> list[Goal]:
    """The goals, from the rounds at ten million signals; memory is that of the whole stage."""
    return [
        Goal(
            "cpu_ratio_vs_polars_10m",
            ratios([u.cpu_s for u in usage["polars"]], [u.cpu_s for u in usage["everloop"]]),
            goal=1.5,
            sense="min",
        ),
        Goal(
            "peak_mb_10m",
            spread([u.peak_mb for u in usage["everloop-stage"]]),
            goal=1200.0,
            sense="max",
        ),
    ]


def main() -> None:
    """Run and print; the last line is the record."""
    parser = argparse.ArgumentParser(prog="python -m bench.rewards", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke size, which measures no goal")
    parser.add_argument("--seed", type=int, default=7, help="of the generated signals")
    options = parser.parse_args()
    rows, reached = [], []
    for size, rounds in (QUICK_ROUNDS if options.quick else ROUNDS).items():
        with tempfile.TemporaryDirectory(prefix="bench-rewards-") as folder:
            usage = measure_size(Path(folder), size, rounds, options.seed)
        rows += [usage_row(name, size, used, threads=1) for name, used in usage.items()]
        if size == GOAL_SIZE:
            reached = goals(usage)
    print(record("rewards", options.seed, rows, reached))


if __name__ == "__main__":
    main()
