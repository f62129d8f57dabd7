"""Secrets come from the environment or the workspace's own file, and never show."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldInitWorkspace, ShouldProvideKey


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (settings.HOME_VARIABLE, settings.PSEUDONYM_KEY, settings.LEDGER_KEY):
        monkeypatch.delenv(name, raising=False)


def test_initialise_makes_distinct_keys_once(tmp_path: Path) -> None:
    first, new = settings.initialise(tmp_path / "w")
    again, second = settings.initialise(tmp_path / "w")
    assert (new, second) == (True, False)
    assert first.pseudonym_key == again.pseudonym_key
    assert first.pseudonym_key != first.ledger_key
    assert stat.S_IMODE((tmp_path / "w" / settings.SECRETS_FILE).stat().st_mode) == 0o600


def test_secrets_do_not_show(tmp_path: Path) -> None:
    made, _ = settings.initialise(tmp_path)
    assert made.pseudonym_key.hex() not in repr(made)
    assert repr(made.ledger_key) not in repr(made)


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.initialise(tmp_path)
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


def test_a_missing_workspace_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.HOME_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ShouldInitWorkspace, match="everloop init"):
        settings.read()
