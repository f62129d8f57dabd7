"""What a voice learns from and became: packages, training instances, model versions, persona graphs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from everloop.storage.column_types import CanonicalJson, UtcTime

revision = "0009_voices"
down_revision = "0008_ledger_journal"


def upgrade() -> None:
    op.create_table(
        "forgotten_instances",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model_id", name=op.f("pk_forgotten_instances")),
    )
    op.create_table(
        "model_versions",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("persona", sa.Text(), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("base_model_name", sa.Text(), nullable=False),
        sa.Column("version_number", sa.BigInteger(), nullable=False),
        sa.Column("creation_date", UtcTime(), nullable=False),
        sa.Column("data_until", UtcTime(), nullable=True),
        sa.Column("continued_from", sa.Text(), nullable=True),
        sa.Column("performance_metrics", CanonicalJson(), nullable=False),
        sa.Column("status", sa.String(length=63), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model_id", name=op.f("pk_model_versions")),
        sa.UniqueConstraint(
            "tenant",
            "persona",
            "user_id",
            "version_number",
            name=op.f("uq_model_versions_tenant_persona_user_id_version_number"),
        ),
    )
    op.create_index(
        op.f("ix_model_versions_tenant_user_id"),
        "model_versions",
        ["tenant", "user_id"],
        unique=False,
    )
    op.create_index(
        "uq_model_versions_one_active",
        "model_versions",
        ["tenant", "persona", "user_id"],
        unique=True,
        sqlite_where=sa.text("status = 'active'"),
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "persona_revisions",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("persona", sa.Text(), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.Column("undoes", sa.BigInteger(), nullable=True),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "persona", "user_id", "number", name=op.f("pk_persona_revisions")
        ),
    )
    op.create_index(
        op.f("ix_persona_revisions_tenant_persona_user_id_cause_number"),
        "persona_revisions",
        ["tenant", "persona", "user_id", "cause", "number"],
        unique=False,
    )
    op.create_index(
        op.f("ix_persona_revisions_tenant_user_id"),
        "persona_revisions",
        ["tenant", "user_id"],
        unique=False,
    )
    op.create_table(
        "training_data_instances",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("source_type", sa.String(length=63), nullable=False),
        sa.Column("task", sa.String(length=63), nullable=False),
        sa.Column("prompt", CanonicalJson(), nullable=False),
        sa.Column("completion", CanonicalJson(), nullable=False),
        sa.Column("rejected", CanonicalJson(), nullable=False),
        sa.Column("liked", sa.Boolean(), nullable=True),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("category", sa.String(length=63), nullable=False),
        sa.Column("augmented", sa.Text(), nullable=False),
        sa.Column("parent", sa.String(length=36), nullable=True),
        sa.Column("details", CanonicalJson(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "weight > 0 AND weight <= 1", name=op.f("ck_training_data_instances_weight")
        ),
        sa.PrimaryKeyConstraint("tenant", "instance_id", name=op.f("pk_training_data_instances")),
    )
    op.create_index(
        op.f("ix_training_data_instances_tenant_parent"),
        "training_data_instances",
        ["tenant", "parent"],
        unique=False,
    )
    op.create_index(
        op.f("ix_training_data_instances_tenant_user_id"),
        "training_data_instances",
        ["tenant", "user_id"],
        unique=False,
    )
    op.create_table(
        "user_data_packages",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("package_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("persona", sa.Text(), nullable=False),
        sa.Column("texts", CanonicalJson(), nullable=False),
        sa.Column("replies", CanonicalJson(), nullable=False),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "package_id", name=op.f("pk_user_data_packages")),
        sa.UniqueConstraint("tenant", "seq", name=op.f("uq_user_data_packages_tenant_seq")),
    )
    op.create_index(
        op.f("ix_user_data_packages_tenant_user_id"),
        "user_data_packages",
        ["tenant", "user_id"],
        unique=False,
    )
    op.create_table(
        "model_version_instances",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "instance_id"],
            ["training_data_instances.tenant", "training_data_instances.instance_id"],
            name=op.f("fk_model_version_instances_tenant_instance_id"),
        ),
        sa.PrimaryKeyConstraint(
            "tenant", "model_id", "instance_id", name=op.f("pk_model_version_instances")
        ),
    )
    op.create_index(
        op.f("ix_model_version_instances_tenant_instance_id"),
        "model_version_instances",
        ["tenant", "instance_id"],
        unique=False,
    )
    op.create_table(
        "training_instance_sources",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "instance_id"],
            ["training_data_instances.tenant", "training_data_instances.instance_id"],
            name=op.f("fk_training_instance_sources_tenant_instance_id"),
        ),
        sa.PrimaryKeyConstraint(
            "tenant", "instance_id", "place", name=op.f("pk_training_instance_sources")
        ),
    )
    op.create_index(
        op.f("ix_training_instance_sources_tenant_source_id_instance_id"),
        "training_instance_sources",
        ["tenant", "source_id", "instance_id"],
        unique=False,
    )
