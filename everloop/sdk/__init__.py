"""The Python interface: start runs, open any run and load any stage's output.

>>> from everloop import sdk
>>> run = sdk.run_daily("companion", "2026-03-28")      # doctest: +SKIP
>>> run.verdict.decision, run.evaluation.difference     # doctest: +SKIP
"""

from everloop.sdk.daily import DailyPlan, run_daily, run_range
from everloop.sdk.opened import OpenedRun, open_run, runs

__all__ = ["DailyPlan", "OpenedRun", "open_run", "run_daily", "run_range", "runs"]
