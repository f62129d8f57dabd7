"""Whoever holds the database asks a bucket for seconds, never for minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from everloop import settings
from everloop.settings import Bucket
from everloop.storage.gcp import objects
from everloop.storage.gcp.immutable import JOURNAL_SECONDS
from everloop.wiring import open_journal


class Asked:
    """A client, bucket and object that keeps how long each request may take."""

    def __init__(self) -> None:
        self.limits: list[tuple[float, Any]] = []
        self.metadata: dict[str, str] = {}
        self.generation, self.size, self.crc32c = 1, 1, ""
        self.time_created, self.name = None, "name"

    def __getattr__(self, name: str) -> Any:
        def request(*_: object, **options: Any) -> Any:
            if "retry" in options:
                self.limits.append((options["retry"].timeout, options["timeout"]))
            return {"list_blobs": (), "download_as_bytes": b"x"}.get(name, self)

        return request


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    client = Asked()
    monkeypatch.setattr(objects, "open_client", lambda: client)
    return client


def test_a_journal_in_a_bucket_waits_for_seconds(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(settings.LEDGER_JOURNAL, "gs://bucket/prefix")
    journal = open_journal(tmp_path)
    journal.names("spending/")
    journal.write("spending/0000000001.json", b"x")
    assert journal.read("spending/0000000001.json") == b"x"
    assert len(asked.limits) == 4
    assert set(asked.limits) == {(JOURNAL_SECONDS, (JOURNAL_SECONDS, JOURNAL_SECONDS))}


def test_everything_else_has_a_minute(asked: Asked) -> None:
    assert list(objects.Objects(Bucket("bucket", "")).list()) == []
    assert asked.limits == [(60.0, (10.0, 60.0))]
