"""Refuse two reward tables that differ: ``python -m bench.rewards.same ONE OTHER``."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load

TOLERANCE = 1e-9


def same(spec: LoopSpec, one: Path, other: Path) -> None:
    """Refuse two tables that differ by more than rounding (``SystemExit`` names the column)."""
    numbers = ["reward", "variance", *(f"mean_{s.name}" for s in spec.signals)]
    exact = ["episode_id", "outcome", "signals", "closed"]
    wrong = [
        *(f"count_if(a.{n} IS DISTINCT FROM b.{n}) AS {n}" for n in exact),
        *(
            f"count_if((a.{n} IS NULL) <> (b.{n} IS NULL) OR abs(a.{n} - b.{n}) > {TOLERANCE}) AS {n}"
            for n in numbers
        ),
    ]
    query = f"SELECT {', '.join(wrong)} FROM '{one}' AS a POSITIONAL JOIN '{other}' AS b"
    counts = duckdb.sql(query).fetchone() or ()
    differing = {n: c for n, c in zip([*exact, *numbers], counts, strict=True) if c}
    if differing:
        raise SystemExit(f"{one.name} and {other.name} differ in {differing} rows.")


if __name__ == "__main__":
    same(load("companion"), Path(sys.argv[1]), Path(sys.argv[2]))
