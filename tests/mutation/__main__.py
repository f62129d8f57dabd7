"""``make mutants``: break one check at a time in a copy of the repository; a named test has to fail.

The tracked files are copied into a temporary folder for each worker, so nothing happens to the working
tree. First all named tests run unchanged and must pass; then each mutant is written into a copy, its named
tests alone run there, and the file is put back. Exits with 1 where a mutant survives (no named test
failed), where its text is no longer found exactly once, or where a named test does not pass unchanged.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.mutation.mutant import ROOT, Mutant
from tests.mutation.table import MUTANTS

TIMEOUT_S = 600
"""Of one mutant: a test that never ends has failed too."""
_FAILED = 1
"""pytest's exit status where tests ran and some failed."""
_SUMMARY = re.compile(r"^(?:FAILED|ERROR) (\S+?::\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """``by``: the test that noticed; ``problem``: why the proof fails, empty where it holds."""

    mutant: Mutant
    by: str
    problem: str
    seconds: float


def copied(folder: Path) -> Path:
    """A copy of every tracked or new file that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def ask(copy: Path, tests: Sequence[str], *, stop: bool) -> tuple[int, list[str], str]:
    """(exit status, node ids that failed without their parameters, what pytest printed)."""
    options = ["-q", "-p", "no:schemathesis", "-p", "no:cacheprovider", "--tb=line", "-m", ""]
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    if stop:
        options.append("-x")
        # compiled mutants would outlive them: the clock of a file system has whole seconds
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S if stop else None,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return _FAILED, [tests[0]], f"no end after {TIMEOUT_S} s"
    return ran.returncode, _SUMMARY.findall(ran.stdout), ran.stdout + ran.stderr


def judged(copy: Path, mutant: Mutant) -> Result:
    """Break one thing in the copy, ask the named tests and mend it."""
    began, path = time.monotonic(), copy / mutant.file
    before, stamp = path.read_text(), path.stat()
    changed = mutant.mutated(before)
    if changed is None:
        return Result(mutant, "", f"{mutant.file} does not hold its text exactly once", 0.0)
    path.write_text(changed)
    try:
        status, failed, printed = ask(copy, mutant.killers, stop=True)
    finally:
        path.write_text(before)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    by = next((test for test in failed if test in mutant.killers), "")
    problem = ""
    if status == 0:
        problem = "SURVIVED"
    elif status != _FAILED or not by:
        last = printed.strip().splitlines()[-1:] or ["nothing"]
        problem = f"no named test failed (pytest: {status}, {last[0]})"
    return Result(mutant, by, problem, time.monotonic() - began)


def unmutated(copy: Path, mutants: Sequence[Mutant]) -> list[str]:
    """What is wrong with the named tests before anything is broken."""
    tests = sorted({test for mutant in mutants for test in mutant.killers})
    status, failed, printed = ask(copy, tests, stop=False)
    if status == 0:
        return []
    last = printed.strip().splitlines()[-1:] or ["nothing"]
    return [*dict.fromkeys(failed)] or [f"pytest: {status}, {last[0]}"]


def chosen(pattern: str) -> list[Mutant]:
    wanted = re.compile(pattern, re.IGNORECASE)
    return [m for m in MUTANTS if wanted.search(m.name) or wanted.search(m.file)]


def run(mutants: Sequence[Mutant], jobs: int, console: Console) -> list[Result]:
    """Judge all mutants, each worker in a copy of its own."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="everloop-mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        first = copied(Path(folder) / "copy-0")
        console.print(f"The named tests of {len(mutants)} mutants, with nothing broken …")
        broken = unmutated(first, mutants)
        if broken:
            console.print("[red]These do not pass with nothing broken:[/]", *broken, sep="\n  ")
            return [Result(m, "", "its tests were not asked", 0.0) for m in mutants]
        copies.put(first)
        for job in range(1, jobs):
            copies.put(Path(shutil.copytree(first, Path(folder) / f"copy-{job}")))

        def one(mutant: Mutant) -> Result:
            copy = copies.get()
            try:
                return judged(copy, mutant)
            finally:
                copies.put(copy)

        columns = (TextColumn("mutants"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar, ThreadPoolExecutor(jobs) as pool:
            task = bar.add_task("mutants", total=len(mutants))
            for future in as_completed([pool.submit(one, mutant) for mutant in mutants]):
                results.append(future.result())
                bar.advance(task)
                if results[-1].problem:
                    console.print(f"[red]{results[-1].mutant.name}[/]: {results[-1].problem}")
    return sorted(results, key=lambda result: MUTANTS.index(result.mutant))


def shown(results: Sequence[Result]) -> Table:
    table = Table("what is broken", "noticed by", "s", title="Mutants")
    for result in results:
        by = f"[red]{result.problem}[/]" if result.problem else result.by.rpartition("::")[2]
        table.add_row(result.mutant.name, by, f"{result.seconds:.0f}")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", metavar="PATTERN", help="of area, words or file")
    parser.add_argument("--jobs", type=int, default=2, help="copies that are worked in at once")
    parser.add_argument("--list", action="store_true", help="show the mutants and run none")
    asked = parser.parse_args(arguments)
    console, mutants = Console(), chosen(asked.only)
    if not mutants:
        console.print(f"No mutant matches {asked.only!r}.")
        return 1
    if asked.list:
        console.print(*(mutant.name for mutant in mutants), sep="\n")
        return 0
    results = run(mutants, max(1, asked.jobs), console)
    console.print(shown(results))
    wrong = [result for result in results if result.problem]
    console.print(f"{len(results) - len(wrong)} of {len(results)} mutants were noticed.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
