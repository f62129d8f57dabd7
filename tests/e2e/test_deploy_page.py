"""The way from a laptop to a cloud is walked line by line, as far as one machine goes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from everloop import settings
from tests.documented_commands import blocks_of, run_block

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "deploy.md"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_is_walked_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "infra").symlink_to(ROOT / "infra")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")
    } | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        settings.HOME_VARIABLE: str(tmp_path / "home"),
        settings.LEDGER_JOURNAL: str(tmp_path / "journal"),
    }
    shown = [block for block in blocks_of(PAGE) if block.language == "sh"]
    run = [block for block in shown if not block.not_run]
    assert len(run) >= 4
    for block in run:
        assert run_block(block, tmp_path, environment) == ""
    assert (tmp_path / "compiled" / "daily-learning.yaml").is_file()
    assert (tmp_path / "restored" / "state.db").is_file()
