"""Rows of deployments: a manifest as it is kept, and what is added to it later."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, RowMapping, insert, select, update

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.evaluation import Estimate, Verdict
from everloop.contracts.rollouts import Artefact, Deployment, deployment_id_of
from everloop.storage.rollout_tables import deployments

_ARTEFACTS = TypeAdapter(tuple[Artefact, ...])
_VERDICT = TypeAdapter(Verdict)
_ESTIMATE = TypeAdapter(Estimate)


def record_deployment(connection: Connection, deployment: Deployment) -> Deployment:
    """Store a manifest once; what is stored.

    A judgement that the stored one lacks is added: the same parts may serve by hand before a gate
    judges them. What is there stays.

    Raises:
        ShouldFixArgument: its id is not the one of its parts.
    """
    wanted = deployment_id_of(deployment.loop, deployment.tenant, deployment.artefacts)
    if deployment.deployment_id != wanted:
        raise ShouldFixArgument(
            f"Deployment {deployment.deployment_id!r} of loop {deployment.loop!r} holds the parts of "
            f"{wanted}.",
            "Take its id from deployment_id_of.",
        )
    given = _row(deployment)
    stored = _stored(connection, deployment.deployment_id, deployment.tenant)
    if stored is None:
        connection.execute(insert(deployments).values(given))
        return deployment
    missing = {
        name: given[name]
        for name in ("verdict", "predicted", "baseline", "run_id")
        if not stored[name] and given[name]
    }
    if missing and not stored["outcome"]:
        change_deployment(connection, deployment.deployment_id, deployment.tenant, missing)
    return deployment_row(connection, deployment.deployment_id, deployment.tenant)


def change_deployment(
    connection: Connection, deployment_id: str, tenant: str, values: dict[str, Any]
) -> None:
    """Give a stored manifest's row other values; its parts are no concern of anybody's."""
    table = deployments.c
    connection.execute(
        update(deployments)
        .where(table.tenant == tenant, table.deployment_id == deployment_id)
        .values(**values)
    )


def end_service(connection: Connection, deployment_id: str, tenant: str) -> None:
    """Turn the outcome of a promoted deployment into ``withdrawn``; any other one stays."""
    table = deployments.c
    connection.execute(
        update(deployments)
        .where(
            table.tenant == tenant,
            table.deployment_id == deployment_id,
            table.outcome == "promoted",
        )
        .values(outcome="withdrawn")
    )


def deployment_row(connection: Connection, deployment_id: str, tenant: str) -> Deployment:
    """A tenant's deployment; ``ShouldNameKnownId`` where it has none of that id."""
    row = _stored(connection, deployment_id, tenant)
    if row is None:
        raise ShouldNameKnownId(
            f"There is no deployment {deployment_id!r}.", "List the deployments."
        )
    return _deployment(row)


def deployments_of(
    connection: Connection, loop: str, limit: int, tenant: str
) -> tuple[Deployment, ...]:
    """A loop's deployments, newest first."""
    table = deployments.c
    query = (
        select(deployments)
        .where(table.tenant == tenant, table.loop == loop)
        .order_by(table.made_at.desc(), table.deployment_id)
        .limit(limit)
    )
    return tuple(_deployment(row) for row in connection.execute(query).mappings())


def written_estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    """An estimate as it is kept; a bound that is no number is kept as its name."""
    return None if estimate is None else _finite(asdict(estimate))


def _stored(connection: Connection, deployment_id: str, tenant: str) -> RowMapping | None:
    table = deployments.c
    query = select(deployments).where(table.tenant == tenant, table.deployment_id == deployment_id)
    return connection.execute(query).mappings().first()


def _row(deployment: Deployment) -> dict[str, Any]:
    verdict = deployment.verdict
    return {
        "tenant": deployment.tenant,
        "deployment_id": deployment.deployment_id,
        "loop": deployment.loop,
        "artefacts": [asdict(artefact) for artefact in deployment.artefacts],
        "made_at": deployment.made_at,
        "verdict": None if verdict is None else _finite(asdict(verdict)),
        "predicted": written_estimate(deployment.predicted),
        "baseline": written_estimate(deployment.baseline),
        "measured": written_estimate(deployment.measured),
        "outcome": deployment.outcome,
        "run_id": deployment.run_id,
        "schema_version": deployment.schema_version,
    }


def _deployment(row: RowMapping) -> Deployment:
    verdict = row["verdict"]
    estimates = {
        name: None if row[name] is None else _ESTIMATE.validate_python(row[name])
        for name in ("predicted", "baseline", "measured")
    }
    return Deployment(
        deployment_id=row["deployment_id"],
        loop=row["loop"],
        artefacts=_ARTEFACTS.validate_python(row["artefacts"]),
        made_at=row["made_at"],
        tenant=row["tenant"],
        verdict=None if verdict is None else _VERDICT.validate_python(verdict),
        outcome=row["outcome"],
        run_id=row["run_id"],
        schema_version=row["schema_version"],
        **estimates,
    )


def _finite(value: Any) -> Any:
    """A JSON value of one that may hold NaN and infinities: these become their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, dict):
        return {name: _finite(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(held) for held in value]
    return value
