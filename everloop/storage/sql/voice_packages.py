"""Packages of people's own text: stored once each, from nobody who refused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select

from everloop.contracts.errors import ShouldFixInput, ShouldResolveConflict, ShouldRespectConsent
from everloop.contracts.voices import UserDataPackage
from everloop.storage.payloads import NOT_PAYLOAD, payload_sha256
from everloop.storage.service_tables import erasures
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.consent_states import granted_since, refusing
from everloop.storage.sql.storable import refuse_unstorable, storable_sha256
from everloop.storage.voice_tables import user_data_packages

PACKAGES = "packages"
"""The counter that numbers a tenant's packages."""
TRAIN = "train"
"""The purpose that people allow or refuse."""
_NOT_PAYLOAD = NOT_PAYLOAD | {"received_at"}
_IDS = 500


def package_sha256(package: UserDataPackage) -> bytes:
    """Checksum of what a package says: the same moment in another time zone says the same."""
    return payload_sha256(package, _NOT_PAYLOAD)


def store_packages(
    connection: Connection, packages: Sequence[UserDataPackage], actor: str, now: datetime
) -> dict[int, bool]:
    """Store packages of one tenant, with one audit entry; by place, whether each was new.

    Args:
        connection: of a write transaction.
        now: our clock.

    Raises:
        ShouldRespectConsent: a person refused training, or was erased and has not allowed it since.
        ShouldResolveConflict: an id holds another content.
        ShouldFixInput: a text that no database could keep.
    """
    if not packages:
        return {}
    tenant = packages[0].tenant
    told = [_row(package, now) for package in packages]
    _respect(connection, packages)
    known = _known(connection, tenant, [row["package_id"] for row in told])
    rows: list[dict[str, Any]] = []
    new: dict[int, bool] = {}
    for place, row in enumerate(told):
        package_id, sha256 = row["package_id"], row["payload_sha256"]
        new[place] = package_id not in known
        if known.setdefault(package_id, sha256) != sha256:
            raise ShouldResolveConflict(
                f"Package {package_id} is stored with another content.",
                "Send what is new under an id of its own.",
            )
        if new[place]:
            rows.append(row)
    if rows:
        first = counters.advance(connection, tenant, PACKAGES, len(rows))
        connection.execute(
            insert(user_data_packages), [row | {"seq": seq} for seq, row in enumerate(rows, first)]
        )
        numbers = f"{first}..{first + len(rows) - 1}"
        append_audit(connection, tenant, actor, "packages.append", numbers, len(rows), None, now)
    return new


def package_of(row: RowMapping) -> UserDataPackage:
    """The record that a row holds."""
    return UserDataPackage(
        package_id=row["package_id"],
        user_id=row["user_id"],
        timestamp=row["timestamp"],
        origin=row["origin"],
        texts=tuple(row["texts"]),
        replies=tuple((said, answered) for said, answered in row["replies"]),
        persona=row["persona"],
        tenant=row["tenant"],
        received_at=row["received_at"],
        schema_version=row["schema_version"],
    )


def _row(package: UserDataPackage, now: datetime) -> dict[str, Any]:
    what = f"Package {package.package_id}"
    try:
        told = replace(package, timestamp=package.timestamp.astimezone(UTC))
    except OverflowError:
        raise ShouldFixInput(
            f"{what}: timestamp={package.timestamp} is no time of the calendar in UTC.",
            "Correct the clock.",
        ) from None
    row = {
        "tenant": told.tenant,
        "package_id": told.package_id,
        "user_id": told.user_id,
        "timestamp": told.timestamp,
        "origin": told.origin,
        "persona": told.persona,
        "texts": list(told.texts),
        "replies": [list(reply) for reply in told.replies],
        "received_at": now,
        "schema_version": told.schema_version,
        "payload_sha256": storable_sha256(package_sha256, told, what, ShouldFixInput),
    }
    refuse_unstorable(user_data_packages, row, what)
    return row


def _respect(connection: Connection, packages: Sequence[UserDataPackage]) -> None:
    tenant = packages[0].tenant
    people = {package.user_id for package in packages}
    refused = refusing(connection, tenant, people, TRAIN)
    gone = gone_people(connection, tenant, people)
    for package in packages:
        if package.user_id in refused:
            raise ShouldRespectConsent(
                f"Package {package.package_id}: its person refused that their texts train anything.",
                "Leave it out, or ask them again.",
            )
        if package.user_id in gone:
            raise ShouldRespectConsent(
                f"Package {package.package_id}: its person was erased.",
                "Leave it out. Who comes back has to allow training anew.",
            )


def gone_people(connection: Connection, tenant: str, people: Collection[str]) -> set[str]:
    """Who of some people was erased and has not allowed training since."""
    erased = _erased(connection, tenant, people)
    return erased.keys() - granted_since(connection, tenant, erased, TRAIN)


def _erased(connection: Connection, tenant: str, people: Collection[str]) -> dict[str, datetime]:
    """Who was erased, and when last."""
    wanted, found = sorted(people), dict[str, datetime]()
    for start in range(0, len(wanted), _IDS):
        query = (
            select(erasures.c.user_id, func.max(erasures.c.recorded_at).label("at"))
            .where(
                erasures.c.tenant == tenant,
                erasures.c.user_id.in_(wanted[start : start + _IDS]),
            )
            .group_by(erasures.c.user_id)
        )
        found |= {row.user_id: row.at for row in connection.execute(query)}
    return found


def _known(connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, bytes]:
    table, found = user_data_packages.c, dict[str, bytes]()
    for start in range(0, len(ids), _IDS):
        query = select(table.package_id, table.payload_sha256).where(
            table.tenant == tenant, table.package_id.in_(ids[start : start + _IDS])
        )
        found |= {package_id: bytes(sha256) for package_id, sha256 in connection.execute(query)}
    return found
