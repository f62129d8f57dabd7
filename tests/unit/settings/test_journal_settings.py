"""Where the spending journal is."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldFixArgument


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (settings.LEDGER_JOURNAL, settings.STORAGE_URL):
        monkeypatch.delenv(name, raising=False)


def test_by_default_it_is_in_the_workspace(tmp_path: Path) -> None:
    assert settings.ledger_journal(tmp_path) == tmp_path / "ledger-journal"


def test_it_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.LEDGER_JOURNAL, "/mnt/other")
    assert settings.ledger_journal(tmp_path) == Path("/mnt/other")
    monkeypatch.setenv(settings.LEDGER_JOURNAL, "gs://a-bucket/journal/")
    assert settings.ledger_journal(tmp_path) == settings.Bucket("a-bucket", "journal")


def test_it_follows_the_datasets_into_a_bucket_unless_one_was_begun_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.STORAGE_URL, "gs://a-bucket/team")
    assert settings.ledger_journal(tmp_path) == settings.Bucket("a-bucket", "team")
    (tmp_path / "ledger-journal").mkdir()
    assert settings.ledger_journal(tmp_path) == tmp_path / "ledger-journal"


@pytest.mark.parametrize("place", ["relative/folder", "gs://", "gs:/bucket"])
def test_what_is_no_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv(settings.LEDGER_JOURNAL, place)
    with pytest.raises(ShouldFixArgument, match="EVERLOOP_LEDGER_JOURNAL"):
        settings.ledger_journal(tmp_path)
