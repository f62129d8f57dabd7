"""One stage alone, on what a kept night left: for finding out what it spends its time and memory on.

    python -m bench.scale.stage FOLDER STAGE [--profile]

The stage's body runs in this process on the artefacts of the folder's last run, in a throw-away workspace
that shares its datasets: so a release is computed anew instead of being found in the ledger, and nothing
of the night changes. ``extract_episodes`` reads the log itself and runs where that is.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib
import pstats
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.scale.terms import LOGICAL_DATE
from everloop import settings
from everloop.contracts.models import RunRecord
from everloop.sdk.demo.night import OF_THE_CHOSEN, Output
from everloop.wiring import open_workspace
from pipelines.daily_learning import STAGES

_LINES = 40


def last_run(home: Path) -> RunRecord:
    """The newest run that got to its report.

    Raises:
        RuntimeError: there is none.
    """
    for run in open_workspace(home).runs.runs():
        if run.report:
            return run
    raise RuntimeError(f"No night of {home} got to its end; run bench.scale.night first.")


def throw_away(home: Path, into: Path) -> Path:
    """A workspace with the same keys and datasets, and nothing in its database."""
    into.mkdir()
    shutil.copy(home / settings.SECRETS_FILE, into)
    settings.initialise(into)
    open_workspace(into).engine.dispose()
    shutil.rmtree(into / "datasets", ignore_errors=True)
    (into / "datasets").symlink_to(home / "datasets")
    return into


def run_stage(home: Path, stage: str, folder: Path) -> object:
    """Call a stage's body as kfp would, writing into a folder; what it answers."""
    run = last_run(home)
    known = {
        name: Output(path)
        for record in run.stages
        if STAGES.index(record.stage) < STAGES.index(stage)
        for name, path in record.artefacts.items()
    }
    if stage in OF_THE_CHOSEN:
        known["policy"] = known["chosen"]
    place = home if stage == STAGES[0] else throw_away(home, folder / "home")
    arguments = run.parameters | {"workspace": str(place), "logical_date": str(LOGICAL_DATE)}
    step = getattr(importlib.import_module(f"components.{stage}"), stage)
    made = {name: Output(str(folder / name)) for name in step.component_spec.outputs}
    made.pop("Output", None)
    wanted = step.component_spec.inputs
    given = {name: value for name, value in (arguments | known).items() if name in wanted}
    return step.python_func(**given, **made)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale.stage", description=__doc__)
    parser.add_argument("folder", type=Path, help="of one size, whose night ran")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--profile", action="store_true", help="the functions that take longest")
    options = parser.parse_args()
    profile = cProfile.Profile()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        if options.profile:
            profile.enable()
        run_stage(options.folder.resolve() / "home", options.stage, Path(folder))
        profile.disable()
    used = resource.getrusage(resource.RUSAGE_SELF)
    if options.profile:
        pstats.Stats(profile, stream=sys.stdout).sort_stats("cumulative").print_stats(_LINES)
    print(
        f"{options.stage}: {time.perf_counter() - started:.1f} s, "
        f"{used.ru_utime + used.ru_stime:.1f} CPU s, {used.ru_maxrss / 1024:.0f} MiB"
    )


if __name__ == "__main__":
    main()
