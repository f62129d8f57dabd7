"""The record of a benchmark and how a process is measured."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.record import ROOT, Goal, Spread, Usage, measured, ratios, record, spread, usage_row


def test_spread_is_the_median_between_the_extreme_rounds() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="No round"):
        spread([])
    with pytest.raises(ValueError, match="outside"):
        Spread(4.0, 1.0, 3.0)


def test_ratios_are_taken_within_rounds() -> None:
    assert ratios([4.0, 9.0, 8.0], [2.0, 3.0, 2.0]) == Spread(3.0, 2.0, 4.0)
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("sense", "value", "met"),
    [("min", 1.5, True), ("min", 1.49, False), ("max", 1.5, True), ("max", 1.51, False)],
)
def test_goal_is_met_at_its_bound(sense: str, value: float, met: bool) -> None:
    goal = Goal("g", Spread(value, value, value), 1.5, sense)  # type: ignore[arg-type]
    assert goal.met is met


def test_record_has_the_agreed_fields() -> None:
    rounds = [Usage(1.0, 100.0, 2.0), Usage(3.0, 300.0, 2.0), Usage(2.0, 200.0, 2.0)]
    missed = Goal("cpu", Spread(1.23456, 1.0, 1.4), 1.5, "min")
    line = record("made", 7, [usage_row("everloop", 10, rounds, threads=1)], [missed])
    assert "\n" not in line
    written = json.loads(line)
    assert set(written) == {"bench", "seed", "machine", "rows", "goals"}
    assert written["rows"] == [
        {
            "system": "everloop",
            "size": 10,
            "cpu_s": 2.0,
            "peak_mb": 200.0,
            "wall_s": 2.0,
            "rounds": 3,
            "threads": 1,
        }
    ]
    assert written["goals"] == [
        {
            "name": "cpu",
            "value": 1.235,
            "interval": [1.0, 1.4],
            "goal": 1.5,
            "sense": "min",
            "met": False,
        }
    ]
    assert written["machine"]["cpus"] >= 1


def test_measured_process_reports_its_own_use() -> None:
    """Asked from a small process, as benchmarks do: the kernel counts a large parent into the peak."""
    program = (
        "import sys; from bench.record import measured; "
        "u = [measured([sys.executable, '-c', c]) for c in sys.argv[1:]]; "
        "print(*(f'{x.cpu_s} {x.peak_mb}' for x in u))"
    )
    heavy = "x = bytearray(80_000_000); sum(range(3_000_000))"
    told = subprocess.run(
        [sys.executable, "-c", program, "pass", heavy],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    small_cpu, small_peak, large_cpu, large_peak = map(float, told.stdout.split())
    assert large_peak > small_peak + 60
    assert large_cpu > small_cpu > 0


def test_failing_process_ends_the_benchmark() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        measured([sys.executable, "-c", "raise SystemExit(3)"])
