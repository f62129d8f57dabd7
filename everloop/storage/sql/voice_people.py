"""Which rows of what voices learn from and became speak of a person."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.sql import ColumnElement

from everloop.contracts.models import ModelType
from everloop.storage.schema import model_checkpoints
from everloop.storage.sql.upsert import upsert
from everloop.storage.voice_tables import (
    forgotten_instances,
    model_version_instances,
    model_versions,
    persona_revisions,
    training_data_instances,
    training_instance_sources,
    user_data_packages,
    voice_sides,
)

_IDS = 500
BY_INSTANCE = (model_version_instances, training_instance_sources, training_data_instances)
"""Children before their parent."""
BY_PERSON = (user_data_packages, persona_revisions, model_versions, voice_sides)


def instances_of_person(
    connection: Connection, person: str, tenant: str, sources: Sequence[str]
) -> tuple[str, ...]:
    """Ids of a person's instances, of those made of some sources, and of what was paraphrased from them."""
    table, source = training_data_instances.c, training_instance_sources.c
    own = select(table.instance_id).where(table.tenant == tenant, table.user_id == person)
    found = set(connection.scalars(own))
    for some in _lists(sources):
        made = select(source.instance_id).where(source.tenant == tenant, source.source_id.in_(some))
        found.update(connection.scalars(made))
    new = found
    while new:
        children: set[str] = set()
        for some in _lists(sorted(new)):
            query = select(table.instance_id).where(table.tenant == tenant, table.parent.in_(some))
            children.update(connection.scalars(query))
        new = children - found
        found |= new
    return tuple(sorted(found))


def instance_rows(
    tenant: str, instance_ids: Sequence[str]
) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    """Each table of ``BY_INSTANCE`` with where some instances are in it, in lists that fit a statement."""
    for table in BY_INSTANCE:
        for some in _lists(instance_ids) if instance_ids else ((),):
            yield table, (table.c.tenant == tenant) & table.c.instance_id.in_(some)


def models_taught(
    connection: Connection, tenant: str, instance_ids: Sequence[str]
) -> dict[str, int]:
    """How many of some instances each model learned from."""
    table, found = model_version_instances.c, dict[str, int]()
    for some in _lists(instance_ids):
        query = (
            select(table.model_id, func.count().label("rows"))
            .where(table.tenant == tenant, table.instance_id.in_(some))
            .group_by(table.model_id)
        )
        for row in connection.execute(query):
            found[row.model_id] = found.get(row.model_id, 0) + row.rows
    return found


def note_erased(connection: Connection, tenant: str, taught: dict[str, int]) -> list[str]:
    """Add to what models are to forget; all models that hold some of it, by going on from one too."""
    table = forgotten_instances.c
    for model_id, count in taught.items():
        known = connection.scalar(
            select(table.instances).where(table.tenant == tenant, table.model_id == model_id)
        )
        key = {"tenant": tenant, "model_id": model_id}
        upsert(connection, forgotten_instances, key, {"instances": (known or 0) + count})
    if not taught:
        return []
    return sorted({*taught, *descended(connection, tenant, frozenset(taught))})


def twins_of(connection: Connection, person: str, tenant: str) -> list[str]:
    """Models that speak as the person."""
    query = select(model_versions.c.model_id).where(
        model_versions.c.tenant == tenant, model_versions.c.user_id == person
    )
    return list(connection.scalars(query))


def checkpoints_of(connection: Connection, tenant: str, checksums: Collection[str]) -> list[str]:
    """Checkpoints whose weights have one of some checksums: a persona graph serves as one."""
    query = select(model_checkpoints.c.checkpoint_id, model_checkpoints.c.weights_sha256).where(
        model_checkpoints.c.tenant == tenant, model_checkpoints.c.model_type == ModelType.PROMPT
    )
    if not checksums:
        return []
    return [row.checkpoint_id for row in connection.execute(query) if row[1] in checksums]


def descended(connection: Connection, tenant: str, models: frozenset[str]) -> set[str]:
    """Versions that went on from one of some models, however long ago."""
    lines = select(model_versions.c.model_id, model_versions.c.continued_from).where(
        model_versions.c.tenant == tenant
    )
    rows = connection.execute(lines).all()
    found = set(models)
    size = 0
    while size != len(found):
        size = len(found)
        found |= {row.model_id for row in rows if row.continued_from in found}
    return found


def _lists(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IDS):
        yield ids[start : start + _IDS]
