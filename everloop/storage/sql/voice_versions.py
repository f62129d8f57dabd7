"""Model versions as rows: their numbers, their status, and what they are to forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from everloop.contracts.errors import ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.voices import ModelVersion, VersionStatus
from everloop.storage.sql.persona_revisions import owner_of
from everloop.storage.sql.storable import refuse_unstorable
from everloop.storage.voice_tables import (
    forgotten_instances,
    model_version_instances,
    model_versions,
)


def store_version(connection: Connection, version: ModelVersion) -> None:
    """Store a version that is new under the next number of its persona.

    Raises:
        ShouldFixInput: a text that no database could keep.
    """
    table, owner = model_versions.c, owner_of(version.user_id)
    last = connection.scalar(
        select(func.max(table.version_number)).where(
            table.tenant == version.tenant,
            table.persona == version.persona,
            table.user_id == owner,
        )
    )
    row: dict[str, Any] = {
        "tenant": version.tenant,
        "model_id": version.model_id,
        "persona": version.persona,
        "user_id": owner,
        "base_model_name": version.base_model_name,
        "version_number": (last or 0) + 1,
        "creation_date": version.creation_date,
        "data_until": version.data_until,
        "continued_from": version.continued_from,
        "performance_metrics": dict(version.performance_metrics),
        "status": str(version.status),
        "schema_version": version.schema_version,
    }
    refuse_unstorable(model_versions, row, f"Model version {version.model_id}")
    if version.status is VersionStatus.ACTIVE:
        archive_active(connection, row)
    connection.execute(insert(model_versions).values(row))


def change_status(
    connection: Connection, model_id: str, status: VersionStatus, tenant: str
) -> None:
    """Give a version another status; ``ShouldNameKnownId`` where there is none."""
    row = require_version(connection, model_id, tenant)
    if row["status"] == status:
        return
    if status is VersionStatus.ACTIVE:
        archive_active(connection, row)
    connection.execute(
        update(model_versions)
        .where(model_versions.c.tenant == tenant, model_versions.c.model_id == model_id)
        .values(status=str(status))
    )


def archive_active(connection: Connection, row: Mapping[str, Any] | RowMapping) -> None:
    """Archive what is active of a row's persona and person."""
    table = model_versions.c
    connection.execute(
        update(model_versions)
        .where(
            table.tenant == row["tenant"],
            table.persona == row["persona"],
            table.user_id == row["user_id"],
            table.status == str(VersionStatus.ACTIVE),
        )
        .values(status=str(VersionStatus.ARCHIVED))
    )


def version_row(connection: Connection, model_id: str, tenant: str) -> RowMapping | None:
    """A version's row; None where there is none."""
    query = select(model_versions).where(
        model_versions.c.tenant == tenant, model_versions.c.model_id == model_id
    )
    return connection.execute(query).mappings().first()


def require_version(connection: Connection, model_id: str, tenant: str) -> RowMapping:
    """A version's row; ``ShouldNameKnownId`` where there is none."""
    row = version_row(connection, model_id, tenant)
    if row is None:
        raise ShouldNameKnownId(
            f"Tenant {tenant!r} has no model version {model_id!r:.80}.", "List the versions."
        )
    return row


def require_same(row: RowMapping, version: ModelVersion) -> None:
    """``ShouldResolveConflict`` where a model is stored as another persona's or person's."""
    if (row["persona"], row["user_id"]) != (version.persona, owner_of(version.user_id)):
        raise ShouldResolveConflict(
            f"Model {version.model_id} is a version of persona {row['persona']!r}, "
            f"not of {version.persona!r}.",
            "Register each training under an id of its own.",
        )


def read_versions(
    connection: Connection, tenant: str, rows: Sequence[RowMapping], references: bool
) -> tuple[ModelVersion, ...]:
    """The records of some rows, in their order."""
    forgets = forgotten(connection, tenant)
    table = model_version_instances.c
    counted = {
        row["model_id"]: connection.scalar(
            select(func.count()).where(table.tenant == tenant, table.model_id == row["model_id"])
        )
        or 0
        for row in rows
    }
    found = tuple(
        _version(row, forgets.get(row["model_id"], 0), counted[row["model_id"]]) for row in rows
    )
    if not references:
        return found
    learned = {
        row["model_id"]: tuple(
            connection.scalars(
                select(table.instance_id)
                .where(table.tenant == tenant, table.model_id == row["model_id"])
                .order_by(table.instance_id)
            )
        )
        for row in rows
    }
    return tuple(replace(each, training_references=learned[each.model_id]) for each in found)


def to_forget(connection: Connection) -> tuple[ModelVersion, ...]:
    """Versions of any tenant that serve or may serve and learned from people who were erased since."""
    query = select(model_versions).where(model_versions.c.status != str(VersionStatus.ARCHIVED))
    rows = connection.execute(query).mappings().all()
    by_tenant = {row["tenant"]: forgotten(connection, row["tenant"]) for row in rows}
    found = (_version(row, by_tenant[row["tenant"]].get(row["model_id"], 0), 0) for row in rows)
    return tuple(version for version in found if version.forgets)


def forgotten(connection: Connection, tenant: str) -> dict[str, int]:
    """Instances of erased people by model, with those of the models that each went on from."""
    table = forgotten_instances.c
    own = {
        model_id: int(count)
        for model_id, count in connection.execute(
            select(table.model_id, table.instances).where(table.tenant == tenant)
        )
    }
    if not own:
        return {}
    lines = select(model_versions.c.model_id, model_versions.c.continued_from).where(
        model_versions.c.tenant == tenant
    )
    parents = {row.model_id: row.continued_from for row in connection.execute(lines)}
    found: dict[str, int] = {}
    for model_id in parents:
        line: dict[str, None] = {}
        one: str | None = model_id
        while one is not None and one not in line:
            line[one] = None
            one = parents.get(one)
        if total := sum(own.get(each, 0) for each in line):
            found[model_id] = total
    return found


def _version(row: RowMapping, forgets: int, instances: int) -> ModelVersion:
    return ModelVersion(
        model_id=row["model_id"],
        persona=row["persona"],
        base_model_name=row["base_model_name"],
        version_number=row["version_number"],
        creation_date=row["creation_date"],
        training_references=(),
        performance_metrics=row["performance_metrics"],
        status=VersionStatus(row["status"]),
        user_id=row["user_id"] or None,
        tenant=row["tenant"],
        schema_version=row["schema_version"],
        continued_from=row["continued_from"],
        data_until=row["data_until"],
        forgets=forgets,
        instances=instances,
    )
