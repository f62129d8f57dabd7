"""``VariantStore`` in the workspace database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import ColumnElement

from everloop.contracts.documents import from_json, to_json
from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldNameKnownId,
    ShouldResolveConflict,
)
from everloop.contracts.ports import Clock
from everloop.contracts.variants import Exposure, PersonaPerformanceMetrics, VariantExperiment
from everloop.storage.rollout_tables import exposures, variant_experiments
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.storable import refuse_unstorable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SqlVariantStore:
    """Experiments with variants of one workspace. What feedback says of them is computed, never stored.

    Args:
        engine: from ``open_workspace_database``.
        clock: dates the audit log.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def create(self, experiment: VariantExperiment, actor: str) -> VariantExperiment:
        """See ``VariantStore``. ``ShouldFixArgument``: the id is no UUID."""
        made = _storable(experiment)
        try:
            with writing(self._engine) as connection:
                row = _row(connection, made.experiment_id)
                if row is None:
                    connection.execute(insert(variant_experiments).values(**_values(made)))
                    self._audit(connection, made, actor, "create", "")
                    return made
        except IntegrityError:
            raise ShouldResolveConflict(
                f"Another experiment with {made.variants[0].base_persona_id!r} of loop "
                f"{made.loop!r} is running.",
                "End it first: everloop variants stop.",
            ) from None
        known = _experiment(row)
        if known.tenant != made.tenant or _terms(known) != _terms(made):
            raise ShouldResolveConflict(
                f"Experiment {made.experiment_id} is stored with other terms.", "Use another id."
            )
        return known

    def advance(self, experiment: VariantExperiment, actor: str, reason: str) -> VariantExperiment:
        """See ``VariantStore``."""
        following = replace(_storable(experiment), generation=experiment.generation + 1)
        table = variant_experiments.c
        key = (table.tenant == experiment.tenant, table.experiment_id == experiment.experiment_id)
        with writing(self._engine) as connection:
            done = connection.execute(
                update(variant_experiments)
                .where(*key, table.generation == experiment.generation)
                .values(**_values(following))
            )
            if done.rowcount == 1:
                self._audit(connection, following, actor, following.state, reason)
                return following
        found = self.experiment(experiment.experiment_id, experiment.tenant)
        raise ShouldResolveConflict(
            f"Experiment {experiment.experiment_id} is at generation {found.generation}, not at "
            f"{experiment.generation}: somebody else changed it.",
            "Read it again.",
        )

    def experiment(self, experiment_id: str, tenant: str = "default") -> VariantExperiment:
        """See ``VariantStore``."""
        with reading(self._engine) as connection:
            row = _row(connection, experiment_id, variant_experiments.c.tenant == tenant)
        if row is None:
            raise ShouldNameKnownId(
                f"There is no experiment {experiment_id!r}.", "List them: everloop variants list."
            )
        return _experiment(row)

    def experiments(
        self, loop: str | None = None, tenant: str = "default"
    ) -> tuple[VariantExperiment, ...]:
        """See ``VariantStore``."""
        table = variant_experiments.c
        query = select(variant_experiments).where(table.tenant == tenant)
        if loop is not None:
            query = query.where(table.loop == loop)
        query = query.order_by(table.started_at.desc(), table.experiment_id)
        with reading(self._engine) as connection:
            return tuple(_experiment(row) for row in connection.execute(query).mappings())

    def expose(self, seen: Sequence[Exposure]) -> int:
        """See ``VariantStore``."""
        table, new = exposures.c, 0
        with reading(self._engine) as connection:  # mostly they met it before
            first = [each for each in seen if not _is_known(connection, each)]
        if not first:
            return 0
        with writing(self._engine) as connection:
            for each in first:
                if _is_known(connection, each):
                    continue
                connection.execute(
                    insert(exposures).values(
                        {
                            table.tenant: each.tenant,
                            table.experiment_id: each.experiment_id,
                            table.user_id: each.user_id,
                            table.variant_id: each.variant_id,
                            table.at: each.at,
                        }
                    )
                )
                new += 1
        return new

    def met(self, experiment_id: str, user_id: str, tenant: str = "default") -> str | None:
        """See ``VariantStore``."""
        table = exposures.c
        query = select(table.variant_id).where(
            table.tenant == tenant,
            table.experiment_id == experiment_id,
            table.user_id == user_id,
        )
        with reading(self._engine) as connection:
            return connection.scalar(query)

    def exposures(self, experiment_id: str, tenant: str = "default") -> tuple[Exposure, ...]:
        """See ``VariantStore``."""
        table = exposures.c
        query = (
            select(exposures)
            .where(table.tenant == tenant, table.experiment_id == experiment_id)
            .order_by(table.at, table.user_id)
        )
        with reading(self._engine) as connection:
            return tuple(
                Exposure(
                    row["experiment_id"],
                    row["user_id"],
                    row["variant_id"],
                    row["at"],
                    row["tenant"],
                )
                for row in connection.execute(query).mappings()
            )

    def _audit(
        self,
        connection: Connection,
        experiment: VariantExperiment,
        actor: str,
        verb: str,
        reason: str,
    ) -> None:
        append_audit(
            connection,
            experiment.tenant,
            actor,
            f"variants.{verb}",
            experiment.experiment_id,
            1,
            {"loop": experiment.loop, "winner": experiment.winner, "reason": reason},
            self._clock.now(),
        )


def _storable(experiment: VariantExperiment) -> VariantExperiment:
    """Without what was measured; refused where a database would not keep it."""
    try:
        canonical_uuid(experiment.experiment_id)
    except ValueError:
        raise ShouldFixArgument(
            f"experiment_id={experiment.experiment_id!r} is not a UUID.", "Give a new UUID."
        ) from None
    bare = tuple(replace(v, metrics=PersonaPerformanceMetrics()) for v in experiment.variants)
    kept = replace(experiment, variants=bare)
    what = f"Experiment {kept.experiment_id}"
    refuse_unstorable(variant_experiments, _values(kept), what)
    for variant in kept.variants:
        refuse_unstorable(exposures, {"variant_id": variant.variant_id}, what)
    return kept


def _terms(experiment: VariantExperiment) -> VariantExperiment:
    """What a repeated creation must agree in: all but when it was asked for and what became of it."""
    return replace(
        experiment, state="running", winner="", reason="", generation=0, started_at=_EPOCH
    )


def _values(experiment: VariantExperiment) -> dict[str, object]:
    return {
        "tenant": experiment.tenant,
        "experiment_id": experiment.experiment_id,
        "loop": experiment.loop,
        "subject": experiment.subject,
        "base": experiment.variants[0].base_persona_id,
        "state": experiment.state,
        "generation": experiment.generation,
        "document": json.loads(to_json(experiment)),
        "started_at": experiment.started_at,
    }


def _row(
    connection: Connection, experiment_id: str, *conditions: ColumnElement[bool]
) -> RowMapping | None:
    known = variant_experiments.c.experiment_id == experiment_id
    query = select(variant_experiments).where(known, *conditions)
    return connection.execute(query).mappings().first()


def _experiment(row: RowMapping) -> VariantExperiment:
    return from_json(VariantExperiment, json.dumps(row["document"]).encode())


def _is_known(connection: Connection, each: Exposure) -> bool:
    table = exposures.c
    query = select(table.variant_id).where(
        table.tenant == each.tenant,
        table.experiment_id == each.experiment_id,
        table.user_id == each.user_id,
    )
    return connection.execute(query).first() is not None
