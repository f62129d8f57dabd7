"""The runbook is run: every block of commands in a workspace of its own, in the order of the page."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from everloop import settings
from tests.documented_commands import blocks_of, run_block

PAGE = Path(__file__).resolve().parents[2] / "docs" / "runbook.md"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_runbook_runs(tmp_path: Path) -> None:
    places = {name: str(tmp_path / name.lower()) for name in ("BACKUPS", "RESTORED", "KEYS")}
    Path(places["KEYS"]).mkdir()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")
    } | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        settings.HOME_VARIABLE: str(tmp_path / "home"),
        settings.LEDGER_JOURNAL: str(tmp_path / "journal"),
        **places,
    }
    shown = [block for block in blocks_of(PAGE) if block.language == "sh"]
    assert len(shown) > 10
    for block in shown:
        if not block.not_run:
            assert run_block(block, tmp_path, environment) == ""
