"""A step's process: cycles are looked for rarely while it imports, and its exit code stays its own."""

from __future__ import annotations

import subprocess
import sys

START = (
    "import gc; usual = gc.get_threshold(); from components import _garbage; _garbage.importing();"
)


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START + code]
    return subprocess.run(command, check=False, text=True, capture_output=True)


def test_a_step_collects_rarely_until_it_works() -> None:
    told = python(
        "print(gc.get_threshold()[0] > usual[0]); _garbage.working();"
        "print(gc.get_threshold() == usual, gc.get_freeze_count() > 0)"
    )
    assert told.stdout.split() == ["True", "True", "True"], told.stderr


def test_what_is_made_while_working_is_collected() -> None:
    told = python(
        "import weakref; A = type('A', (), {}); _garbage.working();"
        "made = A(); made.itself = made; seen = weakref.ref(made); del made; gc.collect();"
        "print(seen() is None)"
    )
    assert told.stdout.split() == ["True"], told.stderr


def test_a_failed_step_still_fails_and_what_it_registered_runs() -> None:
    told = python("import atexit; atexit.register(print, 'last'); raise SystemExit(3)")
    assert (told.returncode, told.stdout.split()) == (3, ["last"])
    assert python("1 / 0").returncode == 1
