"""``everloop keys`` and ``everloop audit``."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop.cli import main
from everloop.cli.app import app
from everloop.serving.access.credentials import fits
from everloop.wiring import open_workspace


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    run("init", "--home", str(place))
    return place


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def make(home: Path, *words: str) -> str:
    return run("keys", "create", "--name", "app", "--home", str(home), *words)


def test_the_key_is_alone_on_stdout(home: Path) -> None:
    words = ["keys", "create", "--name", "app", "--home", str(home)]
    done = CliRunner().invoke(app, [*words, "--scope", "ingest", "--scope", "decide"])
    assert re.fullmatch(r"elk_[0-9a-f]{12}_[0-9a-f]{64}\n", done.stdout)
    key = done.stdout.strip()
    assert "only now" in done.stderr
    assert key.rpartition("_")[2] not in done.stderr
    (record,) = open_workspace(home).keys.keys()
    assert fits(key, record)
    assert (record.tenant, record.name, record.scopes) == ("default", "app", ("ingest", "decide"))
    assert record.expires_at is None


def test_a_key_of_a_tenant_that_expires(home: Path) -> None:
    before = datetime.now(UTC)
    shown = json.loads(
        make(home, "--scope", "read", "--tenant", "acme", "--expires-days", "3", "--json")
    )
    (record,) = open_workspace(home).keys.keys("acme")
    assert fits(shown["key"], record)
    assert shown["key_id"] == record.key_id
    assert "secret_sha256" not in shown
    assert record.expires_at is not None
    assert timedelta(days=3) <= record.expires_at - before < timedelta(days=3, minutes=5)


def test_lists_hold_no_secret(home: Path) -> None:
    keys = [make(home, "--scope", "read").strip(), make(home, "--scope", "train").strip()]
    for shown in (
        run("keys", "list", "--home", str(home)),
        run("keys", "list", "--home", str(home), "--json"),
        run("audit", "list", "--home", str(home), "--json"),
    ):
        for key, record in zip(keys, reversed(open_workspace(home).keys.keys()), strict=True):
            assert record.key_id in shown
            assert key.rpartition("_")[2] not in shown
            assert record.secret_sha256 not in shown


def test_a_revoked_key_stays_revoked(home: Path) -> None:
    key_id = make(home, "--scope", "read").split("_")[1]
    assert "works" in run("keys", "list", "--home", str(home))
    run("keys", "revoke", key_id, "--home", str(home))
    first = open_workspace(home).keys.key(key_id)
    again = json.loads(run("keys", "revoke", key_id, "--home", str(home), "--json"))
    assert first is not None
    assert first.revoked_at is not None
    assert again["revoked_at"] == str(first.revoked_at)
    assert "revoked" in run("keys", "list", "--home", str(home))


def test_every_change_is_in_the_audit_log_with_who_made_it(home: Path) -> None:
    key_id = make(home, "--scope", "read", "--tenant", "acme").split("_")[1]
    run("keys", "revoke", key_id, "--home", str(home))
    listed = ("audit", "list", "--tenant", "acme", "--home", str(home))
    rows = json.loads(run(*listed, "--json"))
    assert [(row["sequence"], row["action"], row["resource"]) for row in rows] == [
        (1, "key.create", key_id),
        (2, "key.revoke", key_id),
    ]
    assert all(re.fullmatch(r"cli:\S+", row["actor"]) for row in rows)
    assert "key.create" in run(*listed)
    (page,) = json.loads(run(*listed, "--after", "1", "--limit", "1", "--json"))
    assert page["sequence"] == 2
    assert run("audit", "list", "--home", str(home), "--json").strip() == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "--name", "app"], "Missing option '--scope'"),
        (["create", "--name", "app", "--scope", "everything"], "'everything'"),
        (["create", "--name", " ", "--scope", "read"], "no name"),
        (["create", "--name", "a", "--scope", "read", "--tenant", "a b"], "Tenant 'a b'"),
        (["create", "--name", "a", "--scope", "read", "--expires-days", "0"], "--expires-days"),
        (["revoke", "nope"], "no key 'nope'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["everloop", "keys", *words, "--home", str(home)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert open_workspace(home).keys.keys() == ()
