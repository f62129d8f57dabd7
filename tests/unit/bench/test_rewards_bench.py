"""The systems that the rewards benchmark compares do the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from bench.record import ROOT, Usage
from bench.rewards import with_pandas, with_polars
from bench.rewards.__main__ import SYSTEMS, goals
from bench.rewards.generate import generate
from bench.rewards.inputs import dataset_in
from bench.rewards.same import same
from everloop.loops import load
from everloop.rewards.table import write_rewards


def test_peers_write_the_same_table(tmp_path: Path) -> None:
    generate(tmp_path, 3000, seed=11)
    spec = load("companion")
    ours = write_rewards(spec, dataset_in(tmp_path), tmp_path / "ours.parquet")
    for module in (with_polars, with_pandas):
        theirs = tmp_path / f"{module.__name__}.parquet"
        module.write_table(spec, tmp_path, theirs)
        same(spec, ours, theirs)
    outcomes = dict(
        duckdb.sql(f"SELECT outcome, count(*) FROM '{ours}' GROUP BY outcome").fetchall()
    )
    assert {"success", "neutral", "failure"} <= set(outcomes)


def test_a_difference_is_named(tmp_path: Path) -> None:
    generate(tmp_path, 300, seed=11)
    spec = load("companion")
    ours = write_rewards(spec, dataset_in(tmp_path), tmp_path / "ours.parquet")
    other = tmp_path / "other.parquet"
    duckdb.sql(f"COPY (SELECT * REPLACE (reward + 1e-6 AS reward) FROM '{ours}') TO '{other}'")
    with pytest.raises(SystemExit, match="reward"):
        same(spec, ours, other)


def test_goals_carry_the_agreed_names() -> None:
    rounds = [Usage(2.0, 500.0, 2.0)] * 3
    usage = dict.fromkeys(SYSTEMS, rounds) | {"polars": [Usage(4.0, 900.0, 4.0)] * 3}
    cpu, memory = goals(usage)
    assert (cpu.name, cpu.measured.value, cpu.goal, cpu.met) == (
        "cpu_ratio_vs_polars_10m",
        2.0,
        1.5,
        True,
    )
    assert (memory.name, memory.measured.value, memory.sense) == ("peak_mb_10m", 500.0, "max")


@pytest.mark.slow
def test_quick_run_ends_in_the_record() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.rewards", "--quick", "--seed", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    written = json.loads(run.stdout.splitlines()[-1])
    assert (written["bench"], written["seed"], written["goals"]) == ("rewards", 3, [])
    assert {row["system"] for row in written["rows"]} == set(SYSTEMS)
