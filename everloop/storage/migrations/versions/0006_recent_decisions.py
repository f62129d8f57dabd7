"""A person's recent decisions of some actions are found without reading all of theirs."""

from __future__ import annotations

from alembic import op

revision = "0006_recent_decisions"
down_revision = "0005_synthetic_jobs"


def upgrade() -> None:
    op.create_index(
        "ix_decisions_recent",
        "decisions",
        ["tenant", "user_id", "action_taken", "timestamp"],
        unique=False,
    )
    op.drop_index(op.f("ix_decisions_tenant_user_id"), table_name="decisions")
