"""What every ``KeyStore`` must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from everloop.contracts.access import ApiKey, AuditEntry, Scope
from everloop.contracts.errors import ShouldNameKnownId, ShouldResolveConflict
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.engine import open_database, reading
from everloop.storage.sql.keys import SqlKeyStore
from tests.log_records import NOON, SetClock

Opener = Callable[[], Engine]
DAY = timedelta(days=1)


def api_key(number: int = 1, **changes: Any) -> ApiKey:
    values: dict[str, Any] = {
        "key_id": f"{number:012x}",
        "tenant": "acme",
        "name": f"key {number}",
        "secret_sha256": f"{number:064x}",
        "scopes": (Scope.INGEST, Scope.DECIDE),
        "created_at": NOON + number * DAY,
    }
    return ApiKey(**(values | changes))


class KeyStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        """A function that opens the same database again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path, request: pytest.FixtureRequest) -> Opener:
        return self.opener(tmp_path, request)

    @pytest.fixture
    def store(self, reopen: Opener) -> SqlKeyStore:
        return SqlKeyStore(reopen())

    def _audited(self, reopen: Opener, tenant: str = "acme") -> tuple[AuditEntry, ...]:
        return SqlAuditLog(reopen(), SetClock()).entries(tenant)

    def test_a_key_is_read_as_it_was(self, store: SqlKeyStore, reopen: Opener) -> None:
        key = api_key(expires_at=NOON + 30 * DAY, scopes=tuple(Scope), name="é 'app'")
        store.add(key, "cli:ops")
        assert SqlKeyStore(reopen()).key(key.key_id) == key
        assert store.key("f" * 12) is None

    def test_keys_are_listed_newest_first(self, store: SqlKeyStore) -> None:
        one, two, other = api_key(1), api_key(2), api_key(3, tenant="bolt")
        for key in (two, other, one):
            store.add(key, "cli:ops")
        assert store.keys() == (other, two, one)
        assert store.keys("acme") == (two, one)
        assert store.keys("nobody") == ()

    @pytest.mark.parametrize("tenant", ["acme", "bolt"])
    def test_an_id_is_given_once(self, store: SqlKeyStore, reopen: Opener, tenant: str) -> None:
        store.add(api_key(), "cli:ops")
        with pytest.raises(ShouldResolveConflict, match="000000000001"):
            store.add(api_key(tenant=tenant, secret_sha256="e" * 64), "cli:ops")
        assert store.keys() == (api_key(),)
        assert len(self._audited(reopen)) == 1
        assert self._audited(reopen, "bolt") == ()

    def test_revoking_is_idempotent(self, store: SqlKeyStore, reopen: Opener) -> None:
        store.add(api_key(), "cli:ops")
        store.revoke(api_key().key_id, NOON + 2 * DAY, "cli:ops")
        store.revoke(api_key().key_id, NOON + 3 * DAY, "cli:other")
        assert store.key(api_key().key_id) == api_key(revoked_at=NOON + 2 * DAY)
        actions = [(entry.action, entry.at) for entry in self._audited(reopen)]
        assert actions == [("key.create", NOON + DAY), ("key.revoke", NOON + 2 * DAY)]

    def test_an_unknown_key_is_not_revoked(self, store: SqlKeyStore) -> None:
        with pytest.raises(ShouldNameKnownId, match="nope"):
            store.revoke("nope", NOON, "cli:ops")

    def test_changes_are_audited_for_the_key_s_tenant(
        self, store: SqlKeyStore, reopen: Opener
    ) -> None:
        store.add(api_key(expires_at=NOON + 9 * DAY), "cli:ops")
        (entry,) = self._audited(reopen)
        assert (entry.actor, entry.action, entry.resource) == ("cli:ops", "key.create", f"{1:012x}")
        assert entry.detail == {
            "scopes": ["ingest", "decide"],
            "expires_at": "2026-03-19T12:00:00+00:00",
        }

    def test_a_key_is_found_by_an_index(self, store: SqlKeyStore, reopen: Opener) -> None:
        engine = reopen()
        if engine.dialect.name != "sqlite":
            return  # a planner that counts rows scans a table of one page, and is right
        with reading(engine) as connection:
            plan = connection.execute(
                text("EXPLAIN QUERY PLAN SELECT * FROM api_keys WHERE key_id = 'x'")
            )
            assert [row[3] for row in plan] == [
                "SEARCH api_keys USING INDEX sqlite_autoindex_api_keys_2 (key_id=?)"
            ]


class TestOnSqlite(KeyStoreSuite):
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        return lambda: open_database("", folder / "state.db")


class TestOnPostgresql(KeyStoreSuite):
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        url = request.getfixturevalue("postgresql_url")
        return lambda: open_database(url, folder)
