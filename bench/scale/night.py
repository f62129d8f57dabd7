"""One night of one size, in a process of its own: the daily graph through kfp.local, stage by stage.

    python -m bench.scale.night FOLDER [--from-stage STAGE]

Every stage is a subprocess tree; its CPU seconds are those of the children that the kernel counted when
they ended. What was measured is kept in ``FOLDER/stages.json``; a stage whose result is found in the
run's cache keeps the figures that it was measured with.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from bench.scale.processes import PeakWatch
from bench.scale.stages import KEPT, StageUse, kept
from bench.scale.terms import LOGICAL_DATE
from everloop.contracts.documents import write_atomically
from everloop.sdk.daily import DailyPlan, run_daily
from pipelines.daily_learning import STAGES
from pipelines.local_run import StageEvent


def children_cpu_s() -> float:
    """User and system seconds of the children that have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured_night(folder: Path, loop: Path, home: Path, from_stage: str | None) -> None:
    """Run the graph, or what is left of it, and keep each stage's figures as it ends.

    Raises:
        RuntimeError: the run failed, naming the stage.
    """
    found = kept(folder)
    with PeakWatch() as watch:
        used = children_cpu_s()

        def on_event(event: StageEvent) -> None:
            nonlocal used
            if event.kind == "started":
                used = children_cpu_s()
                watch.lap()
            elif event.kind == "succeeded":
                cpu = children_cpu_s() - used
                peak, stage = watch.lap(), event.stage
                found[stage] = StageUse(stage, event.seconds, cpu, peak, event.text)
                ordered = [asdict(found[name]) for name in STAGES if name in found]
                write_atomically(json.dumps(ordered, indent=1).encode(), folder / KEPT)
                print(_line(found[stage]), file=sys.stderr, flush=True)
            elif event.kind in ("cached", "failed"):
                print(f"{event.stage:<20} {event.kind} {event.text}", file=sys.stderr, flush=True)

        plan = DailyPlan(str(loop), LOGICAL_DATE, from_stage=from_stage)
        run = run_daily(plan, home=home, on_event=on_event)
    if run.record.status != "succeeded":
        raise RuntimeError(f"The run {run.record.run_id} failed: {run.record.verdict}")
    print(f"verdict: {run.record.verdict}", file=sys.stderr)


def _line(use: StageUse) -> str:
    return (
        f"{use.stage:<20} {use.wall_s:8.1f} s {use.cpu_s:8.1f} CPU s {use.peak_mb:8.0f} MiB  "
        f"{use.summary}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale.night", description=__doc__)
    parser.add_argument("folder", type=Path, help="of one size, whose log was loaded")
    parser.add_argument(
        "--from-stage", choices=STAGES, help="repeat this stage and all that follow"
    )
    options = parser.parse_args()
    folder = options.folder.resolve()
    measured_night(folder, folder / "companion.yaml", folder / "home", options.from_stage)


if __name__ == "__main__":
    main()
