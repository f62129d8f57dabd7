"""``everloop migrate``: a container with an empty folder brings the schema, and makes no keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop import settings
from everloop.cli.app import app
from everloop.contracts.errors import ShouldInitWorkspace, ShouldProvideKey
from everloop.storage.sql.engine import SCHEMA_HEAD, open_database
from tests.postgresql_server import PASSWORD

KEYS = {name: f"{number:02x}" * 32 for number, name in enumerate(settings.KEYS, start=1)}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a container finds it: there, and nothing in it; keys from the environment."""
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    monkeypatch.setenv(settings.HOME_VARIABLE, str(tmp_path))
    return tmp_path


def migrate(*words: str) -> str:
    done = CliRunner().invoke(app, ["migrate", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_brings_the_schema_and_makes_no_keys(empty: Path) -> None:
    assert migrate() == f"{empty / settings.DATABASE_FILE} has schema {SCHEMA_HEAD}\n"
    assert (empty / settings.DATABASE_FILE).exists()
    assert not (empty / settings.SECRETS_FILE).exists()
    assert not any(
        key in path.read_text(errors="replace")
        for path in empty.rglob("*")
        if path.is_file()
        for key in KEYS.values()
    )


def test_again_says_the_same(empty: Path) -> None:
    first = json.loads(migrate("--json"))
    assert first == {"database": str(empty / settings.DATABASE_FILE), "schema": SCHEMA_HEAD}
    assert json.loads(migrate("--json")) == first


def test_on_a_server_and_by_two_pods(
    empty: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(settings.DATABASE_URL, postgresql_url)
    said = migrate()
    assert said.startswith("postgresql://")
    assert said.endswith(f" has schema {SCHEMA_HEAD}\n")
    assert PASSWORD not in said
    other = tmp_path / "of another pod"
    other.mkdir()
    assert migrate("--home", str(other)) == said
    assert not (empty / settings.DATABASE_FILE).exists()


@pytest.mark.parametrize("missing", settings.KEYS)
def test_a_key_that_is_missing_is_not_made(
    empty: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(ShouldProvideKey, match=missing):
        migrate()
    assert list(empty.iterdir()) == []


def test_other_keys_are_refused_before_anything_serves(
    empty: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.DATABASE_URL, postgresql_url)
    migrate()
    monkeypatch.setenv(settings.PSEUDONYM_KEY, "ff" * 32)
    with pytest.raises(ShouldProvideKey, match=settings.PSEUDONYM_KEY):
        migrate()


def test_a_newer_schema_is_refused(empty: Path) -> None:
    engine = open_database("", empty / settings.DATABASE_FILE)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999_of_tomorrow'")
    engine.dispose()
    with pytest.raises(ShouldInitWorkspace, match="9999_of_tomorrow"):
        migrate()


def test_no_folder_is_no_workspace(empty: Path) -> None:
    with pytest.raises(ShouldInitWorkspace):
        migrate("--home", str(empty / "nowhere"))
