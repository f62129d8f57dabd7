"""Jobs that make synthetic people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from everloop.storage.column_types import CanonicalJson, UtcTime

revision = "0005_synthetic_jobs"
down_revision = "0004_ledger_mechanisms"


def upgrade() -> None:
    op.create_table(
        "synthetic_jobs",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("state", sa.String(63), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("parameters", CanonicalJson(), nullable=False),
        sa.Column("spec_sha256", sa.String(64), nullable=False),
        sa.Column("releases", CanonicalJson(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=True),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("heartbeat_at", UtcTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("outputs", CanonicalJson(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('generate', 'augment')", name=op.f("ck_synthetic_jobs_kind")),
        sa.PrimaryKeyConstraint("tenant", "job_id", name=op.f("pk_synthetic_jobs")),
        sa.UniqueConstraint("job_id", name=op.f("uq_synthetic_jobs_job_id")),
    )
    op.create_index(
        op.f("ix_synthetic_jobs_tenant_created_at"),
        "synthetic_jobs",
        ["tenant", "created_at"],
        unique=False,
    )
    op.create_index(
        "ix_synthetic_jobs_open",
        "synthetic_jobs",
        ["created_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
