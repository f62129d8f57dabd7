"""The daily graph at growing sizes: wall time, CPU seconds and peak memory of every stage.

    python -m bench.scale [--sizes 10000,100000,1000000] [--seed 7] [--folder F] [--keep] [--quick]

Each size gets a workspace of its own under the folder, filled from the population with a known truth
(ten signals an episode, a month of days), outside of what is measured. Then the night runs through
kfp.local, a subprocess for each stage. A run that was ended goes on where it was; ``--keep`` leaves the
workspaces, so that the next run of the same code measures nothing anew. The plot and the table lie in the
folder. ``--quick``: 2,000 episodes, to see that it runs; no goal is measured.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.record import Goal, machine, measured, record, spread
from bench.scale.log import load_log
from bench.scale.plot import plot
from bench.scale.stages import Sizes, StageUse, kept
from bench.scale.table import table
from bench.scale.terms import ScaleTerms

SIZES = (10_000, 100_000, 1_000_000)
QUICK = (2_000,)
FOLDER = Path("bench-results/scale")
GOAL_SIZE = 1_000_000
WALL_S, PEAK_MB = 1200.0, 4096.0
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def _tell(text: str) -> None:
    print(f"\r  {text}", end="", file=sys.stderr, flush=True)


def run_size(terms: ScaleTerms) -> list[StageUse]:
    """Load a size's log and run its night, or what is left of both; the stages' figures."""
    print(f"== {terms.size:,} episodes", file=sys.stderr, flush=True)
    held = load_log(terms, _tell)
    print(f"\n  {held}", file=sys.stderr, flush=True)
    measured([sys.executable, "-m", "bench.scale.night", str(terms.folder)], ONE_THREAD)
    return list(kept(terms.folder).values())


def goals(of: Sizes) -> list[Goal]:
    """The goals, from the stages at a million episodes; none without that size."""
    if GOAL_SIZE not in of:
        return []
    stages = of[GOAL_SIZE]
    wall, peak = sum(use.wall_s for use in stages), max(use.peak_mb for use in stages)
    return [
        Goal("wall_s_1m", spread([wall]), WALL_S, "max"),
        Goal("peak_mb_1m", spread([peak]), PEAK_MB, "max"),
    ]


def rows(of: Sizes) -> list[dict[str, object]]:
    """The record's: one for each stage and size."""
    return [
        {
            "system": use.stage,
            "size": size,
            "wall_s": use.wall_s,
            "cpu_s": use.cpu_s,
            "peak_mb": use.peak_mb,
        }
        for size in sorted(of)
        for use in of[size]
    ]


def _sizes(told: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(size) for size in told.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{told!r} is no list such as 10000,100000") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print; the last line is the record."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 episodes, no goal measured")
    parser.add_argument("--sizes", type=_sizes, default=SIZES, help="episodes, with commas")
    parser.add_argument("--seed", type=int, default=7, help="of people, decisions and signals")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of workspaces, table and plot")
    parser.add_argument("--keep", action="store_true", help="leave the workspaces")
    options = parser.parse_args(arguments)
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    of: dict[int, list[StageUse]] = {}
    for size in QUICK if options.quick else options.sizes:
        terms = ScaleTerms(size, options.seed, folder / f"{size}-{options.seed}")
        of[size] = run_size(terms)
        if not options.keep:
            shutil.rmtree(terms.folder)
    told, on = "\n".join(table(of)), machine()
    (folder / "scale.txt").write_text(f"{told}\n", encoding="utf-8")
    described = f"{on['cpu']}, {on['cpus']} CPUs, {on['memory_gb']} GiB; seed {options.seed}"
    (folder / "scale.svg").write_text(plot(of, described), encoding="utf-8")
    print(f"{told}\n\n{folder / 'scale.svg'}")
    print(record("scale", options.seed, rows(of), goals(of)))


if __name__ == "__main__":
    main()
