"""``everloop privacy`` and ``everloop keys rotate-ledger``."""

from __future__ import annotations

import json
import math
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop.cli import main
from everloop.cli.app import app
from everloop.contracts.privacy import GaussianMechanism, ReleaseRequest
from everloop.loops import load
from everloop.privacy import accounting, plan
from everloop.wiring import open_workspace

DAY = date(2026, 3, 1)
USERS = tuple(f"user-{number}" for number in range(120))
SPEC = load("companion")
BUDGET = plan.budget_mu_squared(SPEC.privacy)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["everloop", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    run("init", "--home", str(place))
    return place


def release(home: Path, stage: str, on: date = DAY, finish: bool = True) -> None:
    place = open_workspace(home)
    people = [place.pseudonyms.of(user) for user in USERS]
    mechanism = place.ledger.night_mechanism(SPEC, "companion/default", stage, on)
    asked = ReleaseRequest("companion/default", on, stage, "c", "d", mechanism)
    made = place.ledger.reserve(asked, people, SPEC, 100)
    if finish:
        place.ledger.complete(made.release_id, "blob:x", "a" * 64)
    place.engine.dispose()


def test_the_plan_of_a_first_night(home: Path) -> None:
    words = ("privacy", "plan", "--loop", "companion", "--date", "2026-03-01", "--home", str(home))
    found = json.loads(run(*words, "--json"))
    assert [stage["stage"] for stage in found["stages"]] == ["user_model", "profiles", "quality"]
    assert found["stages"][0]["mu_squared"] == pytest.approx(BUDGET * 0.25 * 0.7)
    assert found["epsilon"] == pytest.approx(accounting.epsilon_of(BUDGET * 0.25, 1e-5))
    assert found["free_again"] == "2026-03-01"
    assert found["lasts_until"] == "2027-02-28"  # 365 nights from the first of March
    shown = " ".join(run(*words).split())
    assert "would be released" in shown
    assert "nobody was charged yet: all have a full budget" in shown
    assert "0 of 0" not in shown


def test_the_plan_says_what_is_paid_for_what_serves_and_who_can_pay(home: Path) -> None:
    for stage in plan.STAGES:
        release(home, stage)
    words = ("privacy", "plan", "--loop", "companion", "--home", str(home))
    same = json.loads(run(*words, "--date", "2026-03-01", "--json"))
    assert all(stage["done"] and stage["epsilon"] == 0.0 for stage in same["stages"])
    assert same["epsilon"] == 0.0
    shown = " ".join(run(*words, "--date", "2026-03-02").split())
    assert "not due: the last release serves until 2026-05-30" in shown
    next_day = json.loads(run(*words, "--date", "2026-03-02", "--json"))
    user_model, profiles, quality = next_day["stages"]
    assert (user_model["people"], user_model["affordable"]) == (120, 120)
    assert "people in the ledger who can pay" in shown
    assert "120 of 120; whoever is not in it has a full budget" in shown
    assert profiles["serves_until"] == "2026-05-30"
    assert (profiles["mu_squared"], quality["affordable"]) == (0.0, 120)
    later = BUDGET * 0.75 / 365
    assert next_day["epsilon"] == pytest.approx(accounting.epsilon_of(later * 0.8, 1e-5))


def test_the_plan_says_when_a_spent_budget_is_free_again(home: Path) -> None:
    place = open_workspace(home)
    people = [place.pseudonyms.of(user) for user in USERS]
    gone = GaussianMechanism(math.sqrt(1 / (BUDGET * 0.9999)), 1.0, 1)
    place.ledger.reserve(ReleaseRequest("x", DAY, "traits", "c", "d", gone), people, SPEC, 1)
    on = (DAY + timedelta(days=10)).isoformat()
    found = json.loads(
        run("privacy", "plan", "--loop", "companion", "--date", on, "--home", str(home), "--json")
    )
    assert [stage["affordable"] for stage in found["stages"]] == [0, 0, 0]
    assert found["free_again"] == (DAY + timedelta(days=365)).isoformat()
    assert found["lasts_until"] == "2026-03-10"  # the day before
    assert found["budget"]["people_retired"] == 120


def test_an_export_verifies_without_the_workspace(home: Path, tmp_path: Path) -> None:
    release(home, "user_model")
    release(home, "profiles", finish=False)
    file = tmp_path / "ledger.jsonl"
    assert "3 rows" in run("privacy", "export", "--output", str(file), "--home", str(home))
    found = json.loads(run("privacy", "verify", "--file", str(file), "--json"))
    assert (found["rows"], found["releases"], found["unfinished"]) == (3, 2, 1)
    assert found["mu_squared"] == pytest.approx(BUDGET * 0.25 * 0.9)
    assert "3 rows of 2 releases" in run("privacy", "verify", "--file", str(file))
    again = tmp_path / "again.jsonl"
    run("privacy", "history", "--output", str(again), "--home", str(home))
    assert again.read_bytes() == file.read_bytes()
    assert all(open_workspace(home).pseudonyms.of(user) not in file.read_text() for user in USERS)


def test_a_hand_edited_export_names_the_row(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release(home, "user_model")
    file = tmp_path / "ledger.jsonl"
    run("privacy", "export", "--output", str(file), "--home", str(home))
    file.write_text(file.read_text().replace('"people":120', '"people":119', 1))
    said = fail(capsys, monkeypatch, "privacy", "verify", "--file", str(file))
    assert "row 1" in said
    assert "was changed" in said
    missing = fail(capsys, monkeypatch, "privacy", "verify", "--file", str(tmp_path / "none"))
    assert "does not read" in missing


def test_a_statement_is_in_plain_words_and_audited(home: Path) -> None:
    release(home, "user_model")
    release(home, "profiles")
    release(home, "user_model", DAY + timedelta(days=1))
    words = ("privacy", "statement", "--user", "user-7", "--home", str(home), "--date")
    shown = run(*words, "2026-03-02")
    assert "part of 3 computations" in shown
    assert "no more than epsilon 1 in any 365 days" in shown
    assert "2026-03-01  statistics for made-up people" in shown
    found = json.loads(run(*words, "2026-03-02", "--json"))["statement"]
    first = BUDGET * 0.25 * 0.9
    later = BUDGET * 0.75 / 365 * 0.7
    assert found["epsilon_tonight"] == pytest.approx(accounting.epsilon_of(later, 1e-5))
    assert found["epsilon_period"] == pytest.approx(accounting.epsilon_of(first + later, 1e-5))
    assert len(json.loads(run(*words, "2026-03-01", "--json"))["statement"]["entries"]) == 2
    assert json.loads(run(*words, "2026-02-28", "--json"))["statement"] is None
    entries = open_workspace(home).audit.entries("default", 0, 10)
    assert [entry.action for entry in entries] == ["person.statement"] * 4


def test_a_persons_export_ends_with_their_statement(home: Path) -> None:
    release(home, "user_model")
    lines = run("person", "export", "user-7", "--home", str(home)).splitlines()
    last = json.loads(lines[-1])
    assert last["table"] == "privacy_statement"
    assert len(last["row"]["entries"]) == 1
    assert "You were promised" in last["row"]["in_words"][1]


def test_an_erased_person_has_spent_what_they_spent(home: Path) -> None:
    release(home, "user_model")
    before = run("privacy", "statement", "--user", "user-7", "--home", str(home))
    run("person", "erase", "user-7", "--yes", "--home", str(home))
    assert run("privacy", "statement", "--user", "user-7", "--home", str(home)) == before
    run("privacy", "verify", "--home", str(home))


def test_a_rotated_ledger_key_keeps_totals_and_unfinished_releases(home: Path) -> None:
    release(home, "user_model")
    release(home, "profiles", finish=False)
    done = json.loads(run("keys", "rotate-ledger", "--home", str(home), "--json"))
    assert (done["rows"], done["previous"]) == (3, 1)
    assert "new key" in run("keys", "rotate-ledger", "--home", str(home))
    release(home, "profiles")
    release(home, "quality")
    assert json.loads(run("privacy", "verify", "--home", str(home), "--json"))["rows"] == 6
    keys = [row.key_id for row in open_workspace(home).ledger.history()]
    assert keys[:4] == [keys[0]] * 4
    assert keys[4] == keys[5] != keys[0]
    entries = open_workspace(home).audit.entries("default", 0, 10)
    assert [entry.action for entry in entries if entry.action.startswith("keys.")] == [
        "keys.rotate"
    ] * 2


def test_an_export_names_a_place_that_cannot_be_written(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for place, why in (
        (tmp_path, "is a folder"),
        (Path("/proc/nowhere/ledger.jsonl"), "cannot be written"),
        (tmp_path / ("x" * 300), "cannot be written"),
    ):
        told = fail(
            capsys, monkeypatch, "privacy", "export", "--output", str(place), "--home", str(home)
        )
        assert f"{place} {why}" in told
        assert "fix:" in told
    assert not [one for one in tmp_path.iterdir() if one != home]


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
@pytest.mark.parametrize("command", ["plan", "status"])
def test_days_outside_the_calendar_are_refused(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    day: str,
) -> None:
    words = ("privacy", command, "--loop", "companion", "--home", str(home), "--date", day)
    assert f"--date {day} is not within the years 1970..2999" in fail(capsys, monkeypatch, *words)


def test_a_plan_reaches_the_last_day(home: Path) -> None:
    words = ("privacy", "plan", "--loop", "companion", "--home", str(home), "--json")
    assert json.loads(run(*words, "--date", "2999-12-31"))["on"] == "2999-12-31"


def test_every_tenant_of_the_ledger_pays_for_a_lost_journal(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release(home, "user_model")
    place = open_workspace(home)
    request = ReleaseRequest(
        "companion/other",
        DAY,
        "user_model",
        "c",
        "d",
        place.ledger.night_mechanism(SPEC, "companion/other", "user_model", DAY),
    )
    place.ledger.reserve(request, ["b" * 64], SPEC, 1)
    place.engine.dispose()
    (home / "ledger-journal").rename(tmp_path / "lost")
    words = ("privacy", "recover", "--charge-everyone-since", "2026-03-01", "--until", "2026-03-02")
    at = ("--home", str(home))
    said = fail(capsys, monkeypatch, *words, "--loop", "open_bandit", *at)
    assert "companion/default, companion/other" in said
    made = json.loads(run(*words, "--loop", "companion", "--tenant", "third", *at, "--json"))
    assert [row["pipeline"] for row in made] == [
        "companion/default",
        "companion/other",
        "companion/third",
    ]
    assert all(row["people"] == 121 for row in made)
    assert made[2]["mu_squared"] == pytest.approx(BUDGET)
    assert "verifies: 6 rows" in run("privacy", "verify", *at)
    for tenant in ("default", "other", "third"):
        entries = open_workspace(home).audit.entries(tenant)
        assert "privacy.charge_everyone" in [entry.action for entry in entries]
