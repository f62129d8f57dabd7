"""Secrets come from the environment or the workspace's own file, and never show."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldInitWorkspace,
    ShouldProvideKey,
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        settings.HOME_VARIABLE,
        settings.DATABASE_URL,
        settings.LEDGER_KEY_PREVIOUS,
        *settings.KEYS,
    ):
        monkeypatch.delenv(name, raising=False)


def test_initialise_makes_distinct_keys_once(tmp_path: Path) -> None:
    first, new = settings.initialise(tmp_path / "w")
    again, second = settings.initialise(tmp_path / "w")
    assert (new, second) == (True, False)
    assert first.pseudonym_key == again.pseudonym_key
    assert len({first.pseudonym_key, first.ledger_key, first.health_key}) == 3
    assert first == again
    assert stat.S_IMODE((tmp_path / "w" / settings.SECRETS_FILE).stat().st_mode) == 0o600


def test_secrets_do_not_show(tmp_path: Path) -> None:
    made, _ = settings.initialise(tmp_path)
    assert made.pseudonym_key.hex() not in repr(made)
    assert repr(made.ledger_key) not in repr(made)
    assert repr(made.health_key) not in repr(made)


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / settings.SECRETS_FILE).write_text(
        f"{settings.PSEUDONYM_KEY}={'01' * 32}\n{settings.LEDGER_KEY}={'cd' * 32}\n"
        f"{settings.HEALTH_KEY}={'ef' * 32}\n"
    )
    monkeypatch.setenv(settings.LEDGER_KEY, "ab" * 32)
    assert settings.read(tmp_path).ledger_key == bytes.fromhex("ab" * 32)


@pytest.mark.parametrize(("value", "said"), [("zz", "not hexadecimal"), ("ab", "has 1 bytes")])
def test_a_bad_key_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    settings.initialise(tmp_path)
    monkeypatch.setenv(settings.PSEUDONYM_KEY, value)
    with pytest.raises(ShouldProvideKey, match=said):
        settings.read(tmp_path)


def test_without_keys_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(ShouldProvideKey, match="EVERLOOP_PSEUDONYM_KEY has 0 bytes"):
        settings.read(tmp_path)


def test_no_new_keys_are_made_for_old_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = settings.initialise(tmp_path)
    (tmp_path / "state.db").touch()
    (tmp_path / settings.SECRETS_FILE).unlink()
    monkeypatch.setenv(settings.LEDGER_KEY, made.ledger_key.hex())
    with pytest.raises(ShouldProvideKey, match=r"has data but no keys.*Restore secrets\.env"):
        settings.initialise(tmp_path)
    with pytest.raises(ShouldProvideKey, match="0 bytes") as refused:
        settings.read(tmp_path)
    assert "init" not in refused.value.remedy
    monkeypatch.setenv(settings.PSEUDONYM_KEY, "ab" * 32)
    with pytest.raises(ShouldProvideKey, match=r"has data but no keys.*health fields unreadable"):
        settings.initialise(tmp_path)
    monkeypatch.setenv(settings.HEALTH_KEY, made.health_key.hex())
    with pytest.raises(ShouldProvideKey, match="PSEUDONYM_KEY is not the key"):
        settings.initialise(tmp_path)
    assert not (tmp_path / settings.SECRETS_FILE).exists()
    monkeypatch.setenv(settings.PSEUDONYM_KEY, made.pseudonym_key.hex())
    assert settings.initialise(tmp_path) == (made, True)


def test_a_workspace_without_data_may_get_new_keys(tmp_path: Path) -> None:
    first, _ = settings.initialise(tmp_path)
    (tmp_path / settings.SECRETS_FILE).unlink()
    again, new = settings.initialise(tmp_path)
    assert new
    assert again.ledger_key != first.ledger_key
    assert settings.read(tmp_path) == again


@pytest.mark.parametrize("name", settings.KEYS)
def test_another_key_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings.initialise(tmp_path)
    monkeypatch.setenv(name, "ab" * 32)
    with pytest.raises(ShouldProvideKey, match=f"{name} is not the key.*Restore the old key"):
        settings.read(tmp_path)


def test_fingerprints_are_of_the_keys_and_old_workspaces_get_them(tmp_path: Path) -> None:
    made, _ = settings.initialise(tmp_path)
    path = tmp_path / settings.FINGERPRINT_FILE
    expected = {
        name: hashlib.sha256(b"everloop key fingerprint" + key).hexdigest()[:16]
        for name, key in (
            (settings.PSEUDONYM_KEY, made.pseudonym_key),
            (settings.LEDGER_KEY, made.ledger_key),
            (settings.HEALTH_KEY, made.health_key),
        )
    }
    assert json.loads(path.read_bytes()) == expected
    path.unlink()
    assert settings.read(tmp_path) == made
    assert not path.exists()
    assert settings.initialise(tmp_path) == (made, False)
    assert json.loads(path.read_bytes()) == expected


def _before_health_keys(home: Path) -> settings.Settings:
    """A workspace with data, as it was when it had two keys."""
    made, _ = settings.initialise(home)
    (home / settings.DATABASE_FILE).touch()
    path = home / settings.SECRETS_FILE
    kept = [line for line in path.read_text().splitlines() if settings.HEALTH_KEY not in line]
    path.write_text("\n".join(kept))
    known = json.loads((home / settings.FINGERPRINT_FILE).read_bytes())
    del known[settings.HEALTH_KEY]
    (home / settings.FINGERPRINT_FILE).write_text(json.dumps(known))
    return made


def test_an_older_workspace_gets_a_health_key_from_init_alone(tmp_path: Path) -> None:
    before = _before_health_keys(tmp_path)
    with pytest.raises(ShouldProvideKey, match=r"HEALTH_KEY has 0 bytes.*run `everloop init`"):
        settings.read(tmp_path)
    made, new = settings.initialise(tmp_path)
    assert not new
    assert (made.pseudonym_key, made.ledger_key) == (before.pseudonym_key, before.ledger_key)
    assert made.health_key != before.health_key
    assert settings.read(tmp_path) == made == settings.initialise(tmp_path)[0]
    assert stat.S_IMODE((tmp_path / settings.SECRETS_FILE).stat().st_mode) == 0o600


def test_a_lost_health_key_is_not_replaced(tmp_path: Path) -> None:
    settings.initialise(tmp_path)
    (tmp_path / settings.DATABASE_FILE).touch()
    path = tmp_path / settings.SECRETS_FILE
    path.write_text(
        "".join(
            line
            for line in path.read_text().splitlines(keepends=True)
            if settings.HEALTH_KEY not in line
        )
    )
    before = path.read_bytes()
    for attempt in (settings.read, settings.initialise):
        with pytest.raises(ShouldProvideKey, match="HEALTH_KEY has 0 bytes") as refused:
            attempt(tmp_path)
        assert "init" not in refused.value.remedy
    assert path.read_bytes() == before


def test_a_full_disk_leaves_no_half_of_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _before_health_keys(tmp_path)
    path = tmp_path / settings.SECRETS_FILE
    kept = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ShouldFreeDisk, match=r"secrets\.env"):
        settings.initialise(tmp_path)
    monkeypatch.undo()
    assert path.read_bytes() == kept
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        settings.FINGERPRINT_FILE,
        settings.SECRETS_FILE,
        settings.DATABASE_FILE,
    ]
    assert settings.initialise(tmp_path)[0].ledger_key == before.ledger_key


def test_two_that_initialise_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(settings.initialise, [tmp_path] * 16))
    assert [new for _, new in made].count(True) == 1
    assert {found.health_key for found, _ in made} == {settings.read(tmp_path).health_key}


def test_a_missing_workspace_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.HOME_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ShouldInitWorkspace, match="everloop init"):
        settings.read()


URL = "postgresql://ann:geheim@db.example/everloop"


def test_the_database_is_the_folders_unless_a_url_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.initialise(tmp_path)[0].database_url == ""
    with (tmp_path / settings.SECRETS_FILE).open("a") as stream:
        stream.write(f"{settings.DATABASE_URL}={URL}\n")
    assert settings.read(tmp_path).database_url == URL
    monkeypatch.setenv(settings.DATABASE_URL, "postgresql://elsewhere/everloop")
    assert settings.read(tmp_path).database_url == "postgresql://elsewhere/everloop"


def test_the_databases_password_never_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.DATABASE_URL, URL)
    found, _ = settings.initialise(tmp_path)
    assert found.database_url == URL
    assert "geheim" not in repr(found)
    assert "geheim" not in (tmp_path / settings.SECRETS_FILE).read_text()


def test_a_folder_whose_rows_are_on_a_server_gets_no_new_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.DATABASE_URL, URL)
    settings.initialise(tmp_path)
    (tmp_path / settings.SECRETS_FILE).unlink()
    with pytest.raises(ShouldProvideKey, match="has data but no keys"):
        settings.initialise(tmp_path)


def test_a_rotated_ledger_key_leaves_the_old_one_beside_it(tmp_path: Path) -> None:
    before, _ = settings.initialise(tmp_path)
    path = tmp_path / settings.SECRETS_FILE
    path.write_text(path.read_text() + "# a note\nEVERLOOP_DATABASE_URL=\n")
    once = settings.rotate_ledger_key(tmp_path)
    twice = settings.rotate_ledger_key(tmp_path)
    assert once.previous_ledger_keys == (before.ledger_key,)
    assert twice.previous_ledger_keys == (once.ledger_key, before.ledger_key)
    assert len({before.ledger_key, once.ledger_key, twice.ledger_key}) == 3
    assert settings.read(tmp_path) == twice
    assert (twice.pseudonym_key, twice.health_key) == (before.pseudonym_key, before.health_key)
    assert "# a note" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert once.ledger_key.hex() not in repr(twice)


def test_killed_between_the_files_of_a_rotation_the_workspace_opens(tmp_path: Path) -> None:
    settings.initialise(tmp_path)
    known = (tmp_path / settings.FINGERPRINT_FILE).read_bytes()
    rotated = settings.rotate_ledger_key(tmp_path)
    (tmp_path / settings.FINGERPRINT_FILE).write_bytes(known)
    assert settings.read(tmp_path) == rotated
    text = (tmp_path / settings.SECRETS_FILE).read_text()
    without = "".join(line for line in text.splitlines(True) if "PREVIOUS" not in line)
    (tmp_path / settings.SECRETS_FILE).write_text(without)
    with pytest.raises(ShouldProvideKey, match="EVERLOOP_LEDGER_KEY is not the key"):
        settings.read(tmp_path)


def test_a_ledger_key_of_the_environment_is_not_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = settings.initialise(tmp_path)
    monkeypatch.setenv(settings.LEDGER_KEY, found.ledger_key.hex())
    before = (tmp_path / settings.SECRETS_FILE).read_bytes()
    with pytest.raises(ShouldFixArgument, match="stands in the environment"):
        settings.rotate_ledger_key(tmp_path)
    assert (tmp_path / settings.SECRETS_FILE).read_bytes() == before


def test_a_previous_key_that_is_no_key_is_named(tmp_path: Path) -> None:
    settings.initialise(tmp_path)
    path = tmp_path / settings.SECRETS_FILE
    for text, said in (("xyz", "not hexadecimal"), ("ab", "1 bytes")):
        path.write_text(f"{path.read_text()}EVERLOOP_LEDGER_KEY_PREVIOUS={text}\n")
        with pytest.raises(ShouldProvideKey, match=said):
            settings.read(tmp_path)
