"""``everloop run daily`` where another process is at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop import settings
from everloop.cli import app as cli
from everloop.cli.running import BUSY
from pipelines.local_run import exclusive


def test_a_date_that_another_process_runs_has_an_exit_code_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.initialise(tmp_path)
    folder = tmp_path / "runs" / "companion" / "default" / "2026-03-28"
    line = ["run", "daily", "--loop", "companion", "--date", "2026-03-28", "--home", str(tmp_path)]
    with exclusive(folder), pytest.raises(SystemExit) as ended:
        cli.app([*line, "--json"], standalone_mode=False)
    assert ended.value.code == BUSY
    said = capsys.readouterr()
    assert said.out == ""
    assert "error: Another process is running companion for 2026-03-28." in said.err
