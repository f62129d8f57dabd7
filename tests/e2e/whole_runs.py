"""What tests of whole runs share: the smallest plan and the command line in this process."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from everloop.cli import app as cli
from everloop.sdk import DailyPlan

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE_DAY = date(2026, 3, 28)
BANDIT_DAY = date(2019, 11, 30)
SMALL_PEOPLE = 700
SMALL = (
    "training.iterations=3",
    "training.profiles=100",
    "training.epochs=1",
    "training.head_start=512",
    "training.alternatives=[]",
)
"""The smallest run that passes every stage."""


def small_plan(**changes: object) -> DailyPlan:
    return replace(DailyPlan("companion", EXAMPLE_DAY, settings=SMALL), **changes)


def command(*arguments: str) -> int:
    """Run a CLI command in this process; its exit code."""
    try:
        code = cli.app(list(arguments), standalone_mode=False)
    except SystemExit as ended:
        code = ended.code
    return int(code or 0)
