"""One erasure within its transaction: rows, marks, pins and the audit entry."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from everloop.contracts.privacy import ErasureRecord
from everloop.storage.local.erased_artefacts import HeldFiles
from everloop.storage.schema import consents, dataset_pins, model_checkpoints, training_episodes
from everloop.storage.service_tables import erasure_marks, erasures
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.blanking import blank
from everloop.storage.sql.erasure_marks import CHECKPOINT, DATASET, ERASURES, REPORT
from everloop.storage.sql.mentions import Mentions
from everloop.storage.sql.person_rows import Implied, PersonRows, erasable_rows
from everloop.storage.sql.persona_texts import PersonaTexts
from everloop.storage.sql.voice_people import (
    checkpoints_of,
    models_taught,
    note_erased,
    twins_of,
)


class Erasure:
    """Forgets one person.

    Args:
        connection: of a write transaction.
        person: pseudonym.
        erasure_id: what it will be known by.
    """

    def __init__(
        self, connection: Connection, person: str, tenant: str, erasure_id: str, now: datetime
    ) -> None:
        self._connection = connection
        self._person = person
        self._tenant = tenant
        self._erasure_id = erasure_id
        self._now = now

    def carry_out(
        self,
        mentions: Mentions,
        graphs: PersonaTexts,
        implied: Implied,
        held: HeldFiles,
        on_disk: Collection[str],
        actor: str,
        reason: str,
        again: bool = False,
    ) -> ErasureRecord:
        """Delete, mark and write down; the earlier erasure where nothing is left to delete.

        Args:
            mentions: where others' decisions name the person.
            graphs: where others' persona graphs hold what the person said.
            implied: what the person's feedback taught of others' decisions.
            held: files that hold the person.
            on_disk: dataset versions that are there at all.
            again: write it down also where nothing is left: it took place before.
        """
        checkpoints = self._fed_checkpoints(held.datasets, on_disk, implied.loops)
        voices = self._fed_voices(implied)
        deleted: dict[str, int] = {}
        parts = list(erasable_rows(self._person, self._tenant, implied))
        for part in parts:
            blank(self._connection, part.table, part.where)
        graph_rows, contents = graphs.erase(
            self._connection, implied.sources, self._erasure_id, self._now
        )
        for part in parts:
            name = str(part.table.name)
            deleted[name] = deleted.get(name, 0) + self._delete(part)
        deleted["mentions"] = mentions.erase(self._connection)
        deleted["persona_texts"] = graph_rows
        prompts = checkpoints_of(self._connection, self._tenant, contents)
        checkpoints = list(dict.fromkeys((*checkpoints, *voices, *prompts)))
        before = self._before()
        nothing = not any(deleted.values()) and not self._unmarked(held.datasets)
        if before is not None and nothing and not again:
            return self._record(before)
        self._connection.execute(
            insert(erasures).values(
                tenant=self._tenant,
                erasure_id=self._erasure_id,
                user_id=self._person,
                recorded_at=self._now,
                deleted=deleted,
            )
        )
        self._mark(DATASET, held.datasets)
        self._mark(CHECKPOINT, checkpoints)
        self._mark(REPORT, held.reports)
        self._connection.execute(
            update(dataset_pins)
            .where(
                dataset_pins.c.tenant == self._tenant, dataset_pins.c.dataset_id.in_(held.datasets)
            )
            .values(dataset_id=None)
        )
        counters.advance(self._connection, self._tenant, ERASURES, 1)
        append_audit(
            self._connection,
            self._tenant,
            actor,
            "person.erase",
            self._erasure_id,
            sum(deleted.values()),
            {"deleted": deleted} | ({"reason": reason} if reason else {}),
            self._now,
        )
        return ErasureRecord(
            erasure_id=self._erasure_id,
            tenant=self._tenant,
            recorded_at=self._now,
            deleted=deleted,
            datasets=held.datasets,
            checkpoints=tuple(checkpoints),
        )

    def _fed_voices(self, implied: Implied) -> list[str]:
        """Models that learned from the person, which are to forget them, and those that speak as them."""
        connection, tenant = self._connection, self._tenant
        taught = models_taught(connection, tenant, implied.instance_ids)
        own = twins_of(connection, self._person, tenant)
        return [*note_erased(connection, tenant, taught), *own]

    def _delete(self, part: PersonRows) -> int:
        where = part.where
        if part.table is consents:
            where &= consents.c.revision.not_in(self._newest_refusals())
        return self._connection.execute(delete(part.table).where(where)).rowcount

    def _newest_refusals(self) -> list[int]:
        """Who had withdrawn stays withdrawn: of each purpose, the newest word if it is a refusal."""
        said = (
            select(consents.c.purpose, consents.c.granted, consents.c.revision)
            .where(consents.c.tenant == self._tenant, consents.c.user_id == self._person)
            .order_by(consents.c.recorded_at.desc(), consents.c.revision.desc())
        )
        newest: dict[str, tuple[bool, int]] = {}
        for purpose, granted, revision in self._connection.execute(said):
            newest.setdefault(purpose, (granted, revision))
        return [revision for granted, revision in newest.values() if not granted]

    def _fed_checkpoints(
        self, datasets: Collection[str], on_disk: Collection[str], taught: Collection[str]
    ) -> list[str]:
        """Checkpoints made from the versions; where a version is gone, those that may have been.

        ``taught``: loops of which others' decisions were judged by the person.
        """
        own = (
            select(training_episodes.c.loop)
            .where(
                training_episodes.c.tenant == self._tenant,
                training_episodes.c.user_id == self._person,
            )
            .distinct()
        )
        loops = {*self._connection.scalars(own), *taught}
        query = select(
            model_checkpoints.c.checkpoint_id, model_checkpoints.c.loop, model_checkpoints.c.lineage
        ).where(model_checkpoints.c.tenant == self._tenant)
        return [
            checkpoint_id
            for checkpoint_id, loop, lineage in self._connection.execute(query)
            if DATASET in lineage
            and (
                lineage[DATASET] in datasets or (lineage[DATASET] not in on_disk and loop in loops)
            )
        ]

    def _unmarked(self, datasets: Collection[str]) -> set[str]:
        """Versions that no erasure has marked; one that ran meanwhile may have marked all."""
        marked = select(erasure_marks.c.artefact_id).where(
            erasure_marks.c.tenant == self._tenant,
            erasure_marks.c.kind == DATASET,
            erasure_marks.c.artefact_id.in_(datasets),
        )
        return set(datasets) - set(self._connection.scalars(marked))

    def _mark(self, kind: str, artefact_ids: Collection[str]) -> None:
        rows = [
            {
                "tenant": self._tenant,
                "kind": kind,
                "artefact_id": artefact_id,
                "erasure_id": self._erasure_id,
                "recorded_at": self._now,
            }
            for artefact_id in artefact_ids
        ]
        if rows:
            self._connection.execute(insert(erasure_marks), rows)

    def _before(self) -> RowMapping | None:
        query = (
            select(erasures)
            .where(erasures.c.tenant == self._tenant, erasures.c.user_id == self._person)
            .order_by(erasures.c.recorded_at.desc())
        )
        return self._connection.execute(query.limit(1)).mappings().first()

    def _record(self, row: RowMapping) -> ErasureRecord:
        query = select(erasure_marks.c.kind, erasure_marks.c.artefact_id).where(
            erasure_marks.c.tenant == self._tenant,
            erasure_marks.c.erasure_id == row["erasure_id"],
        )
        marked = self._connection.execute(query.order_by(erasure_marks.c.artefact_id)).all()
        return ErasureRecord(
            erasure_id=row["erasure_id"],
            tenant=self._tenant,
            recorded_at=row["recorded_at"],
            deleted=row["deleted"],
            datasets=tuple(name for kind, name in marked if kind == DATASET),
            checkpoints=tuple(name for kind, name in marked if kind == CHECKPOINT),
        )
