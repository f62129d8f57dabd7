"""A database refuses keys that its rows were not made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldProvideKey
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.key_marks import check_keys
from everloop.wiring import open_workspace
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

KEYS = {"ONE": "1" * 16, "TWO": "2" * 16}


class KeyMarksSuite(SqlSuite):
    def test_the_first_keys_are_noted_and_known_again(self, tmp_path: Path) -> None:
        engines = self.engines(tmp_path)
        check_keys(engines(), KEYS)
        check_keys(engines(), KEYS)
        check_keys(engines(), KEYS | {"THREE": "3" * 16})
        with pytest.raises(ShouldProvideKey, match=r"TWO is not the key .* secrets\.env"):
            check_keys(engines(), KEYS | {"TWO": "x" * 16})
        with pytest.raises(ShouldProvideKey, match="THREE"):
            check_keys(engines(), {"THREE": "x" * 16, "FOUR": "4" * 16})

    def test_a_key_that_replaced_the_databases_is_noted_for_it(self, tmp_path: Path) -> None:
        engines = self.engines(tmp_path)
        check_keys(engines(), KEYS)
        new = KEYS | {"TWO": "n" * 16}
        check_keys(engines(), new, {"TWO": {KEYS["TWO"]}})
        check_keys(engines(), new)
        with pytest.raises(ShouldProvideKey, match="TWO"):
            check_keys(engines(), KEYS)
        with pytest.raises(ShouldProvideKey, match="ONE"):
            check_keys(engines(), KEYS | {"ONE": "n" * 16}, {"TWO": {KEYS["ONE"]}})


class TestOnSqlite(OnSqlite, KeyMarksSuite):
    pass


class TestOnPostgresql(OnPostgresql, KeyMarksSuite):
    pass


def test_another_folder_opens_a_server_with_the_same_keys_alone(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.DATABASE_URL, postgresql_url)
    settings.initialise(tmp_path / "first")
    open_workspace(tmp_path / "first")
    settings.initialise(tmp_path / "second")
    with pytest.raises(ShouldProvideKey, match="PSEUDONYM_KEY") as refused:
        open_workspace(tmp_path / "second")
    assert "throw-away" not in str(refused.value)
    for name in (settings.SECRETS_FILE, settings.FINGERPRINT_FILE):
        (tmp_path / "second" / name).write_bytes((tmp_path / "first" / name).read_bytes())
    assert open_workspace(tmp_path / "second").runs.runs() == ()
    assert not (tmp_path / "second" / settings.DATABASE_FILE).exists()


def test_a_database_that_was_copied_without_its_keys_is_refused(tmp_path: Path) -> None:
    settings.initialise(tmp_path / "first")
    open_workspace(tmp_path / "first").engine.dispose()
    settings.initialise(tmp_path / "second")
    open_workspace_database(tmp_path / "first" / "state.db").dispose()
    (tmp_path / "first" / "state.db").rename(tmp_path / "second" / "state.db")
    with pytest.raises(ShouldProvideKey, match=r"state\.db"):
        open_workspace(tmp_path / "second")
