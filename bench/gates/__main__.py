"""How often the gate's estimators and the experiment engine err.

    python -m bench.gates [--repetitions 2000] [--seed 1] [--processes 2] [--quick]

Simulated trials, each setting repeated: candidates equal to the control (false promotion and false
rollback while everything is looked at again and again, over people who come once and people who come
back, dense and sparse, at 1 against 99, at half and along the ramp with drifting days), power and the
median people per arm to find effects, sample ratio alarms, drift alarms, coverage of the off-policy
intervals, fairness alarms, and whether plans hold. Beside a fixed t-test with peeking and gbstats'
sequential test, on the same people. ``--quick``: few repetitions, to see that it runs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

from bench.gates.crossings import wilson95
from bench.gates.studies import Row, measure, studies
from bench.record import Goal, Spread, record

QUICK = 8
ERRORS = {"false_promotion_rate": "better", "false_rollback_rate": "worse"}
"""Goal -> the answer of a look that is wrong where the candidate equals the control."""
GOAL = 0.05


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Our worst setting without an effect, over everything that was simulated."""
    found = []
    for name, column in ERRORS.items():
        ours = [r for r in rows if r["system"] == "everloop" and r.get("effect") == 0.0]
        worst = max(ours, key=lambda row: row[column])
        low, high = wilson95(worst[column], worst["repetitions"])
        found.append(Goal(name, Spread(worst[column], low, high), GOAL, "max"))
    return found


def table(rows: Sequence[Row]) -> list[str]:
    """One line per row: what was simulated, and every figure that it has."""
    lines, study = [], ""
    for row in rows:
        if row["study"] != study:
            study = row["study"]
            lines += ["", study]
        setting = {
            name: value
            for name, value in row.items()
            if name not in ("study", "system", "repetitions", "estimator", "interval")
            and value is not None
        }
        shown = ", ".join(f"{name} {_shown(value)}" for name, value in setting.items())
        lines.append(f"  {row['system']:<26} {shown}")
    return lines


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _known(row: Row) -> Row:
    """JSON has no NaN: a figure that is not known is null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gates")
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    repetitions = QUICK if options.quick else options.repetitions
    rows = [_known(row) for row in measure(options.seed, repetitions, options.processes, studies())]
    print("\n".join(table(rows)))
    print(record("gates", options.seed, rows, goals(rows)))


if __name__ == "__main__":
    main()
