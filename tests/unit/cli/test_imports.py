"""The service and the command line start without training code."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"kfp", "opacus", "ray", "torch"}


@pytest.mark.parametrize("module", ["everloop.serving.app", "everloop.cli"])
def test_nothing_heavy_is_loaded_before_a_command_needs_it(module: str) -> None:
    code = f"import sys\nimport {module}\nprint(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in shown.stdout.split()} & HEAVY == set()
