"""``Tenancy`` in the workspace database: whose row an id names."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Engine, Select, Table, select

from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import ShouldFixArgument
from everloop.storage.rollout_tables import deployments, reviews, variant_experiments
from everloop.storage.schema import (
    ingest_counters,
    model_checkpoints,
    reward_signals,
    rollouts,
    training_episodes,
)
from everloop.storage.service_tables import (
    decisions,
    feedback,
    interactions,
    synthetic_jobs,
    training_jobs,
)
from everloop.storage.sql.engine import reading

_NUMBERED: Mapping[str, tuple[Table, Column[str]]] = {
    "episode": (training_episodes, training_episodes.c.episode_id),
    "signal": (reward_signals, reward_signals.c.signal_id),
    "decision": (decisions, decisions.c.decision_id),
    "interaction": (interactions, interactions.c.log_id),
    "feedback": (feedback, feedback.c.feedback_id),
}
_UNIQUE: Mapping[str, tuple[Table, Column[str]]] = {
    "experiment": (variant_experiments, variant_experiments.c.experiment_id),
    "checkpoint": (model_checkpoints, model_checkpoints.c.checkpoint_id),
    "deployment": (deployments, deployments.c.deployment_id),
    "job": (training_jobs, training_jobs.c.job_id),
    "synthetic_job": (synthetic_jobs, synthetic_jobs.c.job_id),
    "rollout": (rollouts, rollouts.c.rollout_id),  # no index: a loop has one a day
    "review": (reviews, reviews.c.review_id),
}

KINDS = (*_NUMBERED, *_UNIQUE)


class SqlTenancy:
    """Owners of the rows of one workspace.

    Args:
        engine: from ``open_workspace_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def owner(self, kind: str, row_id: str) -> str | None:
        """See ``Tenancy``; the first by name where several tenants have a row of that id.

        Raises:
            ShouldFixArgument: ``kind`` is none of ``KINDS``.
        """
        if kind not in KINDS:
            raise ShouldFixArgument(f"Rows of kind {kind!r} have no owner.", f"Use one of {KINDS}.")
        try:
            row_id = canonical_uuid(row_id)
        except ValueError:
            return None
        with reading(self._engine) as connection:
            return connection.scalar(owner_query(kind, row_id))


def owner_query(kind: str, row_id: str) -> Select[str]:
    """The query behind ``owner``.

    Primary keys start with the tenant, so an id alone would scan the table, and an index on the ids
    of events would cost every insert. Every row with an ingest number has its tenant in the small
    table of counters: one probe of the primary key per tenant finds the row.
    """
    if kind in _UNIQUE:
        table, column = _UNIQUE[kind]
        return select(table.c.tenant).where(column == row_id).limit(1)
    table, column = _NUMBERED[kind]
    tenants = select(ingest_counters.c.tenant)
    return (
        select(table.c.tenant)
        .where(table.c.tenant.in_(tenants), column == row_id)
        .order_by(table.c.tenant)
        .limit(1)
    )
