"""Training instances, what each was made of, and which model learned from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, RowMapping, Table, insert, select

from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
)
from everloop.storage.service_tables import feedback, interactions
from everloop.storage.sql.persona_revisions import owner_of
from everloop.storage.sql.storable import refuse_unstorable
from everloop.storage.sql.upsert import upsert
from everloop.storage.voice_tables import (
    forgotten_instances,
    model_version_instances,
    training_data_instances,
    training_instance_sources,
    user_data_packages,
)

_IDS = 500
_PERSONAL = (SourceType.FEEDBACK, SourceType.NEW_DATA)
_SOURCES: tuple[tuple[Table, Column[str]], ...] = (
    (feedback, feedback.c.feedback_id),
    (user_data_packages, user_data_packages.c.package_id),
    (interactions, interactions.c.log_id),
)
"""Where what a personal instance was made of is found."""


def store_instances(
    connection: Connection, instances: Sequence[TrainingDataInstance], now: datetime
) -> tuple[int, list[TrainingDataInstance]]:
    """Store instances of one tenant: how many were new, and those that are stored now.

    One of a person whose source is gone is left out.

    Args:
        connection: of a write transaction.

    Raises:
        ShouldFixInput: a text that no database could keep.
    """
    tenant = instances[0].tenant
    gone = _gone_sources(connection, instances)
    kept = {
        each.instance_id: each
        for each in instances
        if each.source_type not in _PERSONAL or gone.isdisjoint(each.source_ids)
    }
    there = stored_ids(connection, tenant, list(kept))
    fresh = [each for each in kept.values() if each.instance_id not in there]
    rows = [_row(each, now) for each in fresh]
    sources = [row for each in fresh for row in _source_rows(each)]
    for each, row in zip(fresh, rows, strict=True):
        refuse_unstorable(training_data_instances, row, f"Training instance {each.instance_id}")
    for row in sources:
        what = f"Training instance {row['instance_id']}"
        refuse_unstorable(training_instance_sources, row, what)
    if rows:
        connection.execute(insert(training_data_instances), rows)
        connection.execute(insert(training_instance_sources), sources)
    return len(rows), list(kept.values())


def link(connection: Connection, tenant: str, model_id: str, ids: Iterable[str]) -> None:
    """Say that a model learned from some instances; those that are not stored are left out."""
    wanted = list(dict.fromkeys(ids))
    table = model_version_instances.c
    for start in range(0, len(wanted), _IDS):
        some = wanted[start : start + _IDS]
        query = select(table.instance_id).where(
            table.tenant == tenant, table.model_id == model_id, table.instance_id.in_(some)
        )
        new = stored_ids(connection, tenant, some) - set(connection.scalars(query))
        rows = [
            {"tenant": tenant, "model_id": model_id, "instance_id": one}
            for one in some
            if one in new
        ]
        if rows:
            connection.execute(insert(model_version_instances), rows)


def note_forgotten(connection: Connection, tenant: str, model_id: str, at_least: int) -> None:
    """Say from how many instances of erased people a model learned; what is known of more stands."""
    table = forgotten_instances.c
    known = connection.scalar(
        select(table.instances).where(table.tenant == tenant, table.model_id == model_id)
    )
    if at_least > (known or 0):
        key = {"tenant": tenant, "model_id": model_id}
        upsert(connection, forgotten_instances, key, {"instances": at_least})


def stored_ids(connection: Connection, tenant: str, ids: Sequence[str]) -> set[str]:
    """Which of some instances are stored."""
    return _present(connection, training_data_instances.c.instance_id, tenant, ids)


def read_instances(
    connection: Connection, tenant: str, rows: Sequence[RowMapping]
) -> tuple[TrainingDataInstance, ...]:
    """The records of some rows of ``training_data_instances``, in their order."""
    table = training_instance_sources.c
    sources: dict[str, list[str]] = {}
    ids = [row["instance_id"] for row in rows]
    for start in range(0, len(ids), _IDS):
        query = (
            select(table.instance_id, table.source_id)
            .where(table.tenant == tenant, table.instance_id.in_(ids[start : start + _IDS]))
            .order_by(table.instance_id, table.place)
        )
        for instance_id, source_id in connection.execute(query):
            sources.setdefault(instance_id, []).append(source_id)
    return tuple(_instance(row, tuple(sources[row["instance_id"]])) for row in rows)


def _gone_sources(
    connection: Connection, instances: Sequence[TrainingDataInstance]
) -> frozenset[str]:
    """What personal instances were made of and is not stored."""
    named = {
        source_id
        for each in instances
        if each.source_type in _PERSONAL
        for source_id in each.source_ids
    }
    known: dict[str, str] = {}
    for source_id in named:
        with suppress(ValueError, AttributeError, TypeError):
            known[source_id] = canonical_uuid(source_id)
    there: set[str] = set()
    for _, key in _SOURCES:
        there |= _present(connection, key, instances[0].tenant, list(known.values()))
    return frozenset(one for one in named if known.get(one) not in there)


def _present(
    connection: Connection, key: Column[str], tenant: str, ids: Collection[str]
) -> set[str]:
    wanted, found = list(ids), set[str]()
    for start in range(0, len(wanted), _IDS):
        query = select(key).where(
            key.table.c.tenant == tenant, key.in_(wanted[start : start + _IDS])
        )
        found.update(connection.scalars(query))
    return found


def _row(each: TrainingDataInstance, now: datetime) -> dict[str, Any]:
    return {
        "tenant": each.tenant,
        "instance_id": each.instance_id,
        "source_type": str(each.source_type),
        "task": str(each.task),
        "prompt": [[message.role, message.content] for message in each.prompt],
        "completion": each.completion,
        "rejected": each.rejected,
        "liked": each.liked,
        "user_id": owner_of(each.user_id),
        "weight": each.weight,
        "category": str(each.category),
        "augmented": each.augmented,
        "parent": each.parent,
        "details": dict(each.metadata),
        "recorded_at": now,
        "schema_version": each.schema_version,
    }


def _source_rows(each: TrainingDataInstance) -> list[dict[str, Any]]:
    return [
        {
            "tenant": each.tenant,
            "instance_id": each.instance_id,
            "place": place,
            "source_id": source_id,
        }
        for place, source_id in enumerate(each.source_ids)
    ]


def _instance(row: RowMapping, source_ids: tuple[str, ...]) -> TrainingDataInstance:
    return TrainingDataInstance(
        instance_id=row["instance_id"],
        source_type=SourceType(row["source_type"]),
        source_ids=source_ids,
        task=LearningTask(row["task"]),
        prompt=tuple(Message(role, content) for role, content in row["prompt"]),
        completion=row["completion"],
        rejected=row["rejected"],
        liked=row["liked"],
        user_id=row["user_id"] or None,
        weight=row["weight"],
        category=Category(row["category"]),
        augmented=row["augmented"],
        parent=row["parent"],
        metadata=row["details"],
        tenant=row["tenant"],
        schema_version=row["schema_version"],
    )
