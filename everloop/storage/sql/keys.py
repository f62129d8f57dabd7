"""``KeyStore`` in the workspace database: keys and the audit of their changes in one transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, RowMapping, insert, select, update

from everloop.contracts.access import ApiKey, Scope
from everloop.contracts.errors import ShouldNameKnownId, ShouldResolveConflict
from everloop.storage.service_tables import api_keys
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.engine import reading, writing


class SqlKeyStore:
    """API keys of one workspace; of a key it knows the checksum alone.

    Args:
        engine: from ``open_workspace_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, key: ApiKey, actor: str) -> None:
        """See ``KeyStore``. Dated ``key.created_at``, in the audit log too."""
        with writing(self._engine) as connection:
            if _row(connection, key.key_id) is not None:
                raise ShouldResolveConflict(
                    f"There is a key {key.key_id} already.", "Make a key with another id."
                )
            connection.execute(
                insert(api_keys).values(
                    key_id=key.key_id,
                    tenant=key.tenant,
                    name=key.name,
                    secret_sha256=key.secret_sha256,
                    scopes=[str(scope) for scope in key.scopes],
                    created_at=key.created_at,
                    expires_at=key.expires_at,
                    revoked_at=key.revoked_at,
                )
            )
            detail = {
                "scopes": [str(scope) for scope in key.scopes],
                "expires_at": key.expires_at.isoformat() if key.expires_at else None,
            }
            append_audit(
                connection, key.tenant, actor, "key.create", key.key_id, 1, detail, key.created_at
            )

    def key(self, key_id: str) -> ApiKey | None:
        """See ``KeyStore``."""
        with reading(self._engine) as connection:
            row = _row(connection, key_id)
        return None if row is None else _key(row)

    def keys(self, tenant: str | None = None) -> tuple[ApiKey, ...]:
        """See ``KeyStore``."""
        query = select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.key_id)
        if tenant is not None:
            query = query.where(api_keys.c.tenant == tenant)
        with reading(self._engine) as connection:
            return tuple(_key(row) for row in connection.execute(query).mappings())

    def revoke(self, key_id: str, at: datetime, actor: str) -> None:
        """See ``KeyStore``. A key that was revoked before keeps its date and gets no second entry."""
        with writing(self._engine) as connection:
            row = _row(connection, key_id)
            if row is None:
                raise ShouldNameKnownId(
                    f"There is no key {key_id!r}.", "everloop keys list shows their ids."
                )
            if row["revoked_at"] is not None:
                return
            connection.execute(
                update(api_keys)
                .where(api_keys.c.tenant == row["tenant"], api_keys.c.key_id == key_id)
                .values(revoked_at=at)
            )
            append_audit(connection, row["tenant"], actor, "key.revoke", key_id, 1, None, at)


def _row(connection: Connection, key_id: str) -> RowMapping | None:
    query = select(api_keys).where(api_keys.c.key_id == key_id)
    return connection.execute(query).mappings().first()


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        tenant=row["tenant"],
        name=row["name"],
        secret_sha256=row["secret_sha256"],
        scopes=tuple(Scope(scope) for scope in row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
