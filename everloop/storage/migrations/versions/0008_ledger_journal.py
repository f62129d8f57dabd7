"""Which journal outside the database keeps a copy of the ledger's spending."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_ledger_journal"
down_revision = "0007_deployments"


def upgrade() -> None:
    op.create_table(
        "privacy_journal",
        sa.Column("one", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("journal_id", sa.String(63), nullable=False),
        sa.Column("renames", sa.Integer(), nullable=False),
        sa.Column("pseudonym_key", sa.String(63), nullable=False),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_privacy_journal")),
    )
