"""What people allow now: the newest consent of each person and purpose."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, false, func, select

from everloop.contracts.episodes import Consent
from everloop.storage.schema import consents, ingest_counters
from everloop.storage.sql.event_rows import consent_of
from everloop.storage.sql.ingest_counters import REVISIONS

_PEOPLE = 500


def consents_changed(
    connection: Connection, after: Mapping[str, int]
) -> tuple[dict[str, int], tuple[Consent, ...]]:
    """See ``EventLog.consents_changed``; both answers are of the connection's transaction."""
    counters = select(ingest_counters.c.tenant, ingest_counters.c.last).where(
        ingest_counters.c.counter == REVISIONS
    )
    revisions = {tenant: int(last) for tenant, last in connection.execute(counters)}
    found: list[Consent] = []
    for tenant, last in revisions.items():
        if last > after.get(tenant, 0):
            found += _changed(connection, tenant, after.get(tenant))
    return revisions, tuple(found)


def refusing(
    connection: Connection, tenant: str, people: Collection[str], purpose: str
) -> frozenset[str]:
    """Those of some people whose newest word on a purpose is a refusal."""
    return frozenset(
        person
        for person, granted in _newest_words(connection, tenant, people, purpose)
        if not granted
    )


def granted_since(
    connection: Connection, tenant: str, since: Mapping[str, datetime], purpose: str
) -> frozenset[str]:
    """Those of some people who allowed a purpose after a moment of theirs, and did not take it back."""
    words = _newest_words(connection, tenant, since, purpose, since)
    return frozenset(person for person, granted in words if granted)


def _newest_words(
    connection: Connection,
    tenant: str,
    people: Collection[str],
    purpose: str,
    since: Mapping[str, datetime] | None = None,
) -> list[tuple[str, bool]]:
    wanted = sorted(people)
    found: list[tuple[str, bool]] = []
    for start in range(0, len(wanted), _PEOPLE):
        query = (
            select(consents.c.user_id, consents.c.granted, consents.c.recorded_at)
            .where(
                consents.c.tenant == tenant,
                consents.c.purpose == purpose,
                consents.c.user_id.in_(wanted[start : start + _PEOPLE]),
            )
            .order_by(consents.c.user_id, consents.c.recorded_at.desc(), consents.c.revision.desc())
        )
        newest: dict[str, tuple[bool, datetime]] = {}
        for person, granted, at in connection.execute(query):
            newest.setdefault(person, (granted, at))
        found += [
            (person, granted)
            for person, (granted, at) in newest.items()
            if since is None or at > since[person]
        ]
    return found


def _changed(connection: Connection, tenant: str, after: int | None) -> list[Consent]:
    age = func.row_number().over(
        partition_by=(consents.c.user_id, consents.c.purpose),
        order_by=(consents.c.recorded_at.desc(), consents.c.revision.desc()),
    )
    states = select(consents, age.label("age")).where(consents.c.tenant == tenant)
    if after is not None:
        news = select(consents.c.user_id).where(
            consents.c.tenant == tenant, consents.c.revision > after
        )
        states = states.where(consents.c.user_id.in_(news))
    inner = states.subquery()
    newest = select(inner).where(inner.c.age == 1)
    if after is None:
        newest = newest.where(inner.c.granted == false())
    return [consent_of(row) for row in connection.execute(newest).mappings()]
