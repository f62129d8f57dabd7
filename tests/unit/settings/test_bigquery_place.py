"""``EVERLOOP_BIGQUERY`` and what bounds it."""

from __future__ import annotations

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldFixArgument
from everloop.settings import BigQueryTables


def test_the_place_and_its_limits_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EVERLOOP_BIGQUERY", "my-project.loop_log")
    monkeypatch.setenv("EVERLOOP_GOOGLE_LOCATION", "")
    monkeypatch.delenv("EVERLOOP_BIGQUERY_MAX_BYTES", raising=False)
    assert settings.bigquery() == BigQueryTables("my-project", "loop_log", "US", 1 << 40)
    monkeypatch.setenv("EVERLOOP_GOOGLE_LOCATION", "europe-west4")
    monkeypatch.setenv("EVERLOOP_BIGQUERY_MAX_BYTES", "5000")
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9050")
    found = settings.bigquery()
    assert found is not None
    assert (found.location, found.maximum_bytes) == ("europe-west4", 5000)
    assert (found.emulator, found.storage_emulator) == ("http://127.0.0.1:9050", "")


@pytest.mark.parametrize("limit", ["0", "-1", "1e9", "much"])
def test_a_limit_is_a_number_of_bytes(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_BIGQUERY", "my-project.loop_log")
    monkeypatch.setenv("EVERLOOP_BIGQUERY_MAX_BYTES", limit)
    with pytest.raises(ShouldFixArgument, match="EVERLOOP_BIGQUERY_MAX_BYTES"):
        settings.bigquery()
