"""The daily graph on the example: its wall time, the stages' own seconds, and what orchestration adds.

    python -m bench.pipeline [--quick] [--rounds 3]

Each round runs in a workspace of its own, so nothing is cached. A stage's own seconds count from its
process's first import of ours to the end of its body. ``--quick`` runs one round.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.record import ROOT, Goal, record, spread

EXAMPLE = ("run", "daily", "--loop", "companion", "--date", "2026-03-28")
SEED = 7
"""The example's training seed, from its loop specification."""


def everloop(home: Path, *arguments: str) -> str:
    """Run a command of the CLI in a workspace and return what it prints on stdout."""
    command = [sys.executable, "-c", "from everloop.cli import main; main()", *arguments]
    done = subprocess.run(
        [*command, "--home", str(home)], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE
    )
    return done.stdout


def one_round() -> tuple[float, list[dict[str, Any]]]:
    """(wall seconds of the run command, its stages)."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        everloop(home, "init")
        everloop(home, "import", "example")
        started = time.perf_counter()
        (run,) = json.loads(everloop(home, *EXAMPLE, "--json"))
        return time.perf_counter() - started, run["stages"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = [one_round() for _ in range(1 if options.quick else options.rounds)]
    walls = spread([wall for wall, _ in rounds])
    overheads = spread(
        [
            sum(s["seconds"] - s["metrics"]["compute_seconds"] for s in stages) / len(stages)
            for _, stages in rounds
        ]
    )
    rows: list[dict[str, Any]] = []
    for index, stage in enumerate(rounds[0][1]):
        same = [stages[index] for _, stages in rounds]
        rows.append(
            {
                "system": stage["stage"],
                "wall_s": spread([s["seconds"] for s in same]).value,
                "own_s": spread([s["metrics"]["compute_seconds"] for s in same]).value,
            }
        )
    total = {name: sum(float(row[name]) for row in rows) for name in ("wall_s", "own_s")}
    rows.append({"system": "all stages", **total})
    rows.append({"system": "run command", "wall_s": walls.value, "own_s": total["own_s"]})
    print(f"{'stage':<20}{'wall s':>10}{'own s':>10}{'added s':>10}")
    for row in rows:
        added = row["wall_s"] - row["own_s"]
        print(f"{row['system']:<20}{row['wall_s']:>10.2f}{row['own_s']:>10.2f}{added:>10.2f}")
    goals = [
        Goal("overhead_s_per_stage", overheads, 0.3, "max"),
        Goal("run_wall_s", walls, 300, "max"),
    ]
    print(record("pipeline", SEED, rows, goals))


if __name__ == "__main__":
    main()
