"""Commands on an empty workspace: what they print, what they write, how they end."""

from __future__ import annotations

import errno
import io
import json
import re
import sqlite3
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from everloop.cli import main
from everloop.cli.app import app
from everloop.cli.progress import StageDisplay
from everloop.cli.runs import differences
from everloop.contracts.episodes import Episode, RewardSignal
from everloop.contracts.models import RunRecord, StageRecord
from everloop.wiring import open_workspace
from pipelines.local_run import StageEvent

EPISODE = "00000000-0000-4000-8000-000000000001"
SIGNAL = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "a home's folder"
    assert run("init", "--home", str(place)).startswith("New workspace")
    return place


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What a refused command prints on stderr; it must end with 2."""
    monkeypatch.setattr(sys, "argv", ["everloop", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_init_again_changes_nothing(home: Path) -> None:
    before = (home / "secrets.env").read_bytes()
    assert run("init", "--home", str(home)).startswith("Workspace at")
    assert json.loads(run("init", "--home", str(home), "--json"))["new"] is False
    assert (home / "secrets.env").read_bytes() == before


def test_loops_are_listed_and_checked(tmp_path: Path) -> None:
    assert "open_bandit" in run("loops")
    assert "is valid" in run("loops", "companion")
    assert [spec["name"] for spec in json.loads(run("loops", "--json"))] == [
        "companion",
        "open_bandit",
    ]


def test_every_graph_is_compiled(tmp_path: Path) -> None:
    paths = [Path(path) for path in json.loads(run("compile", "--output", str(tmp_path), "--json"))]
    graphs = (
        *("daily-learning", "adversarial-review", "rollout-watch", "experiment"),
        "persona-adaptation",
    )
    names = {f"{graph}.yaml" for graph in graphs}
    assert {path.name for path in paths} == names
    assert all(path.read_text().startswith("# PIPELINE DEFINITION") for path in paths)


def test_consent_is_recorded_by_pseudonym(home: Path) -> None:
    at = ("--home", str(home))
    assert "alice" not in run("consent", "set", "alice", "--withdraw", *at)
    run("consent", "set", "alice", "--grant", "--purpose", "serve", *at)
    rows = json.loads(run("consent", "show", "alice", "--json", *at))
    assert [(row["purpose"], row["granted"]) for row in rows] == [("serve", True), ("train", False)]
    assert "withdrawn" in run("consent", "show", "alice", *at)
    assert json.loads(run("consent", "show", "bob", "--json", *at)) == []


def log_decision(home: Path, person: str) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    open_workspace(home).log.append_batch(
        [Episode(EPISODE, person, "companion", {}, "no_action", moment, "v", 0.5, ("no_action",))],
        [RewardSignal(SIGNAL, EPISODE, "engagement", 1.0, 5)],
    )


def test_a_consent_says_whether_the_log_knows_the_person(home: Path) -> None:
    at = ("--home", str(home))
    log_decision(home, open_workspace(home).pseudonyms.of("alice", "default"))
    withdraw = ("consent", "set", "alice", "--withdraw", *at)
    assert run(*withdraw).splitlines()[1] == (
        "the next dataset extracted leaves out this person's decisions"
    )
    assert "extracted includes" in run("consent", "set", "alice", "--grant", *at)
    assert len(run(*withdraw, "--purpose", "serve").splitlines()) == 1
    for strange in (
        ("consent", "set", "alcie", "--withdraw", *at),
        (*withdraw, "--tenant", "elsewhere"),
    ):
        tenant = "elsewhere" if "elsewhere" in strange else "default"
        assert run(*strange).splitlines()[1] == (
            f"no decision of this person is in the log (tenant {tenant}): check the id"
        )
        assert json.loads(run(*strange, "--json"))["in_log"] is False
    printed = json.loads(run(*withdraw, "--json"))
    (stored, *_) = json.loads(run("consent", "show", "alice", "--json", *at))
    assert printed == stored | {"in_log": True}


def test_disputes_are_recorded_and_decided(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", str(home))
    words = ("dispute", "set", SIGNAL, "--reason", "not me", *at)
    assert "fix:" in fail(capsys, monkeypatch, *words)
    log_decision(home, "a" * 64)
    assert "open" in run(*words)
    printed = json.loads(run(*words, "--status", "rejected", "--json"))
    assert (printed["signal_id"], printed["status"]) == (SIGNAL, "rejected")
    (row,) = json.loads(run("dispute", "list", "--json", *at))
    assert (row["status"], row["reason"]) == ("rejected", "not me")
    assert "rejected" in run("dispute", "list", *at)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("loops", "compagnion"), "Did you mean 'companion'"),
        (("run", "daily", "--loop", "companion"), "needs a date or a range"),
        (("run", "daily", "--loop", "companion", "--date", "x"), "YYYY-MM-DD"),
        (("run", "daily", "--loop", "companion", "--from", "2026-01-01"), "needs a date"),
        (("runs", "show", "none"), "There is no run 'none'"),
        (("privacy", "status", "--loop", "companion", "--date", "x"), "YYYY-MM-DD"),
    ],
)
def test_refusals_are_one_line_and_a_fix(
    home: Path,
    words: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = () if words[0] == "loops" else ("--home", str(home))
    printed = fail(capsys, monkeypatch, *words, *at)
    assert said in printed
    assert printed.startswith("error: ")
    assert "Traceback" not in printed


def test_without_a_workspace_the_error_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = fail(capsys, monkeypatch, "runs", "list", "--home", str(tmp_path / "none"))
    assert "everloop init" in printed


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line_and_a_fix(
    number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: str) -> None:
        raise OSError(number, "it does not fit", "/there/a.yaml")

    monkeypatch.setattr("everloop.loops.load", full)
    printed = fail(capsys, monkeypatch, "loops", "companion")
    assert printed.startswith("error: No room to write /there/a.yaml (it does not fit).\n  fix: ")


def test_other_errors_of_the_system_are_not_called_a_full_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied(_: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("everloop.loops.load", denied)
    monkeypatch.setattr(sys, "argv", ["everloop", "loops", "companion"])
    with pytest.raises(PermissionError):
        main()


@pytest.mark.parametrize(
    ("offset", "commands_refused"), [(100, True), (None, False)], ids=["header", "last page"]
)
def test_a_damaged_database_is_a_finding_and_never_a_traceback(
    home: Path,
    offset: int | None,
    commands_refused: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = home / "state.db"
    with sqlite3.connect(database) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    with database.open("r+b") as file:
        file.seek(database.stat().st_size - 4096 if offset is None else offset)
        file.write(b"\xff" * 2000)
    done = CliRunner().invoke(app, ["doctor", "--json", "--home", str(home)])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    (found,) = [row for row in json.loads(done.output) if row["check"] == "database"]
    assert found["ok"] is False
    assert "Restore state.db from a backup" in found["seen"]
    if commands_refused:
        printed = fail(capsys, monkeypatch, "runs", "list", "--home", str(home))
        assert "is damaged" in printed


def test_doctor_reports_what_nobody_foresaw(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("strange")

    monkeypatch.setattr("everloop.wiring.open_workspace", broken)
    done = CliRunner().invoke(app, ["doctor", "--home", str(home)])
    assert done.exit_code == 1
    assert "RuntimeError: strange" in done.output


def _journal_of(home: Path) -> dict[str, object]:
    done = CliRunner().invoke(app, ["doctor", "--json", "--home", str(home)])
    (found,) = [row for row in json.loads(done.output) if row["check"] == "spending journal"]
    return dict(found)


def test_doctor_warns_of_a_journal_on_the_databases_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _journal_of(home)
    assert (found["ok"], found["warning"]) == (True, True)
    assert "EVERLOOP_LEDGER_JOURNAL" in str(found["seen"])
    assert "warn" in CliRunner().invoke(app, ["doctor", "--home", str(home)]).output
    disks = iter((1, 2))
    monkeypatch.setattr("everloop.cli.doctor._disk_of", lambda _: next(disks))
    elsewhere = _journal_of(home)
    assert (elsewhere["ok"], elsewhere["warning"]) == (True, False)


def test_doctor_names_a_journals_disk_without_hard_links(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    open_workspace(home).engine.dispose()
    monkeypatch.setattr("os.link", refused)
    found = _journal_of(home)
    assert found["ok"] is False
    assert "no hard links" in str(found["seen"])


def test_the_version_is_printed() -> None:
    assert run("--version").strip().count(".") == 2


@pytest.mark.parametrize("terminal", [True, False])
def test_the_display_names_stage_duration_and_result(terminal: bool) -> None:
    written = io.StringIO()
    display = StageDisplay(Console(file=written, force_terminal=terminal, width=200))
    for event in (
        StageEvent("train_policy", "started"),
        StageEvent("train_policy", "progress", 1.0, "3/60"),
        StageEvent("train_policy", "succeeded", 12.3, "reward [0.1, 0.2]"),
        StageEvent("gate", "cached", 0.0, "hold"),
        StageEvent("report", "failed", 0.5, "ShouldFreeDisk: no room"),
    ):
        display(event)
    display.close()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue())
    assert "12.3s" in text
    assert "reward [0.1, 0.2]" in text
    assert "kept" in text
    assert "no room" in text


def test_differences_name_what_changed() -> None:
    def record(verdict: str, summary: str, length: float) -> RunRecord:
        stage = StageRecord("gate", "succeeded", 1.0, summary, {"checks": length})
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        return RunRecord(
            verdict, "daily-learning", "l", "2026-03-01", moment, None, "succeeded", verdict,
            {"code": verdict}, (stage,), "",
        )  # fmt: skip

    rows = differences(record("hold", "no", 3.0), record("continue", "yes", 4.0))
    assert [row[0] for row in rows] == ["verdict", "parameter code", "gate", "gate.checks"]
    assert differences(record("hold", "no", 3.0), record("hold", "no", 3.0)) == []


LOOP = """
name: mini
version: 1
context: [{name: hour, kind: cycle, period: 24}]
actions: [{id: wait, kind: no_action}, {id: walk, kind: recommend_hive, event_id: walk}]
signals: [{name: click, low: 0, high: 1, weight: 1, silence: zero}]
reward: {attainable_low: 0, attainable_high: 1, half_life_seconds: 3600, closes_after_seconds: 0,
         success_at: 0.5, failure_at: -0.5}
"""
MAPPING = """
episode_id: id
user_id: person
timestamp: {column: when}
action: chosen
propensity: p
context: {hour: hour}
model_version: {const: rules}
signals: []
"""


def test_an_import_is_audited_once(home: Path, tmp_path: Path) -> None:
    at = ("--home", str(home))
    log = tmp_path / "log.csv"
    rows = ["id,person,when,chosen,p,hour"]
    rows += [f"{uuid.uuid4()},p{i},2026-03-01T10:00:00Z,wait,0.5,9" for i in range(3)]
    log.write_text("\n".join(rows) + "\n")
    spec = tmp_path / "loop.yaml"
    spec.write_text(LOOP)
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(MAPPING)
    for _ in range(2):
        run("import", "csv", str(log), "--loop", str(spec), "--map", str(mapping), *at)
    entries = json.loads(run("audit", "list", "--json", *at))
    assert [(e["action"], e["resource"], e["rows"]) for e in entries] == [
        ("events.import", "mini", 3)
    ]
