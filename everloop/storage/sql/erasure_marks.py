"""What erased people's data fed, and how an extraction notices that somebody was erased meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, select

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.privacy import ErasureMark
from everloop.storage.schema import model_checkpoints
from everloop.storage.service_tables import erasure_marks
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.engine import reading, writing

DATASET = "dataset"
CHECKPOINT = "checkpoint"
REPORT = "report"
ERASURES = "erasures"
"""The counter of a tenant's erasures."""


class PersonErased(Exception):
    """Somebody was erased while an extraction read the log: what it read is out of date."""


def is_erased(engine: Engine, dataset_id: str) -> bool:
    """Whether a dataset version holds an erased person."""
    marked = select(erasure_marks.c.artefact_id).where(
        erasure_marks.c.kind == DATASET, erasure_marks.c.artefact_id == dataset_id
    )
    with reading(engine) as connection:
        return connection.scalar(marked.limit(1)) is not None


def erased_files(engine: Engine) -> tuple[frozenset[str], frozenset[str]]:
    """(Ids of dataset versions, names of reports) that held erased people, of all tenants."""
    query = select(erasure_marks.c.kind, erasure_marks.c.artefact_id)
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    datasets = frozenset(name for kind, name in rows if kind == DATASET)
    return datasets, frozenset(name for kind, name in rows if kind == REPORT)


def refuse_erased(engine: Engine, dataset_id: str) -> None:
    """Refuse a dataset version that holds an erased person; ``ShouldRestoreArtefact``."""
    if is_erased(engine, dataset_id):
        raise ShouldRestoreArtefact(
            f"Dataset {dataset_id} was erased on a person's request.",
            "Extract its date again: it comes out at the same watermark, without the person. "
            "If it comes out the same, the person was logged anew: erase them again.",
        )


def erasures_so_far(engine: Engine, tenant: str) -> int:
    """How many erasures a tenant has had; read it before the log."""
    with reading(engine) as connection:
        return counters.last_number(connection, tenant, ERASURES)


@contextmanager
def unless_erased(engine: Engine, tenant: str, so_far: int) -> Iterator[None]:
    """Do something that no erasure of the tenant comes between.

    Raises:
        PersonErased: there were more than ``so_far`` erasures already; nothing was done.
    """
    with writing(engine) as connection:
        if counters.last_number(connection, tenant, ERASURES) != so_far:
            raise PersonErased
        yield


def marks_of(connection: Connection, tenant: str) -> tuple[ErasureMark, ...]:
    """Every mark of a tenant, newest first.

    A checkpoint whose lineage names a marked dataset is marked, also when its run registered it only
    after the erasure.
    """
    rows = connection.execute(
        select(erasure_marks)
        .where(erasure_marks.c.tenant == tenant)
        .order_by(erasure_marks.c.recorded_at.desc(), erasure_marks.c.artefact_id)
    ).mappings()
    marks = [ErasureMark(**row) for row in rows]
    datasets = {mark.artefact_id: mark for mark in reversed(marks) if mark.kind == DATASET}
    known = {mark.artefact_id for mark in marks if mark.kind == CHECKPOINT}
    for checkpoint_id, dataset in _lineages(connection, tenant):
        if checkpoint_id not in known and dataset in datasets:
            cause = datasets[dataset]
            marks.append(
                ErasureMark(CHECKPOINT, checkpoint_id, cause.erasure_id, cause.recorded_at, tenant)
            )
    return tuple(sorted(marks, key=lambda mark: mark.recorded_at, reverse=True))


def _lineages(connection: Connection, tenant: str) -> Iterator[tuple[str, str]]:
    """(checkpoint, its dataset) of every checkpoint that says so."""
    query = select(model_checkpoints.c.checkpoint_id, model_checkpoints.c.lineage).where(
        model_checkpoints.c.tenant == tenant
    )
    for checkpoint_id, lineage in connection.execute(query):
        if DATASET in lineage:
            yield checkpoint_id, lineage[DATASET]
