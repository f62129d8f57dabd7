"""What ``everloop demo`` refuses before it plays anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop import settings
from everloop.cli import main
from everloop.sdk.demo.journal import open_journal
from everloop.sdk.demo.plan import DemoPlan
from tests.unit.sdk.demo.test_journal import DAY


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (settings.HOME_VARIABLE, settings.DATABASE_URL, *settings.KEYS):
        monkeypatch.delenv(name, raising=False)


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["everloop", "demo", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--days", "0"), "days=0 is below 1"),
        (("--people", "20"), "people=20 are too few"),
        (("--days", "3", "--people", "200"), "days=3 are too few"),
        (("--seed", "-3"), "seed=-3 is negative"),
        (("--output", "/"), "/ is a folder"),
        (("--output", "/proc/nowhere/tour.html"), "/proc/nowhere/tour.html cannot be written"),
        (("--set", "training.iteration=3"), "training.iteration=3"),
    ],
)
def test_what_cannot_be_played_is_named_with_the_fix(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    told: str,
) -> None:
    home = tmp_path / "tour"
    assert ended(monkeypatch, *arguments, "--home", str(home)) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "fix:" in said
    assert not home.exists()


def test_days_that_other_code_played_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    early = "thresholds.min_episodes=1"
    with open_journal(DemoPlan(days=2, people=300, settings=(early,)), tmp_path) as journal:
        journal.finish(DAY)
    arguments = ("--days", "2", "--people", "300", "--set", early, "--home", str(tmp_path))
    assert ended(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert "Day 1 of this tour was another one: 61 decisions by rules" in said
    assert "start a new tour in another --home" in said
