"""Events, datasets, models, rollouts and runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from everloop.storage.append_only import append_only_triggers
from everloop.storage.column_types import CanonicalJson, FloatVector, UtcTime

revision = "0001_events"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(63), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "revision", name=op.f("pk_consents")),
    )
    op.create_index(
        op.f("ix_consents_tenant_user_id_purpose"),
        "consents",
        ["tenant", "user_id", "purpose"],
        unique=False,
    )
    op.create_table(
        "dataset_pins",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("episode_watermark", sa.BigInteger(), nullable=False),
        sa.Column("signal_watermark", sa.BigInteger(), nullable=False),
        sa.Column("consent_revision", sa.BigInteger(), nullable=False),
        sa.Column("window_days", sa.Integer(), nullable=True),
        sa.Column("spec_sha256", sa.String(64), nullable=True),
        sa.Column("dataset_id", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "loop", "logical_date", name=op.f("pk_dataset_pins")),
    )
    op.create_table(
        "deployment_log",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("alias", sa.String(63), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("previous_checkpoint_id", sa.String(36), nullable=True),
        sa.Column("checkpoint_id", sa.String(36), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "loop", "alias", "generation", name=op.f("pk_deployment_log")
        ),
    )
    op.create_table(
        "ingest_counters",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("counter", sa.String(63), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "counter", name=op.f("pk_ingest_counters")),
    )
    op.create_table(
        "model_checkpoints",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("checkpoint_id", sa.String(36), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("model_type", sa.String(63), nullable=False),
        sa.Column("weights_url", sa.Text(), nullable=False),
        sa.Column("weights_sha256", sa.String(64), nullable=False),
        sa.Column("performance_metrics", CanonicalJson(), nullable=False),
        sa.Column("training_date", UtcTime(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("provenance", sa.String(63), nullable=False),
        sa.Column("lineage", CanonicalJson(), nullable=False),
        sa.Column("files", CanonicalJson(), nullable=False),
        sa.Column("verdict", sa.String(63), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "checkpoint_id", name=op.f("pk_model_checkpoints")),
        sa.UniqueConstraint("checkpoint_id", name=op.f("uq_model_checkpoints_checkpoint_id")),
    )
    op.create_index(
        op.f("ix_model_checkpoints_tenant_loop_training_date"),
        "model_checkpoints",
        ["tenant", "loop", "training_date"],
        unique=False,
    )
    op.create_table(
        "rollouts",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("rollout_id", sa.Text(), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("active", sa.Text(), nullable=True),
        sa.Column("state", sa.String(63), nullable=False),
        sa.Column("traffic_percent", sa.Double(), nullable=False),
        sa.Column("reasons", CanonicalJson(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rollout_id", name=op.f("pk_rollouts")),
    )
    op.create_index(
        op.f("ix_rollouts_tenant_loop_recorded_at"),
        "rollouts",
        ["tenant", "loop", "recorded_at"],
        unique=False,
    )
    op.create_index(
        "uq_rollouts_one_started",
        "rollouts",
        ["tenant", "loop"],
        unique=True,
        sqlite_where=sa.text("state = 'started'"),
        postgresql_where=sa.text("state = 'started'"),
    )
    op.create_table(
        "runs",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("pipeline", sa.String(63), nullable=False),
        sa.Column("logical_date", sa.Text(), nullable=False),
        sa.Column("status", sa.String(63), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "run_id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_started_at"), "runs", ["started_at"], unique=False)
    op.create_table(
        "synthetic_profiles",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("profile_id", sa.String(36), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("source", sa.String(63), nullable=False),
        sa.Column("persona_vector", FloatVector(), nullable=False),
        sa.Column("traits", CanonicalJson(), nullable=False),
        sa.Column("interaction_history", CanonicalJson(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary(32), nullable=False),
        sa.CheckConstraint(
            "source IN ('generated', 'augmented', 'real')",
            name=op.f("ck_synthetic_profiles_source"),
        ),
        sa.PrimaryKeyConstraint("tenant", "profile_id", name=op.f("pk_synthetic_profiles")),
    )
    op.create_index(
        op.f("ix_synthetic_profiles_tenant_loop_release_id"),
        "synthetic_profiles",
        ["tenant", "loop", "release_id"],
        unique=False,
    )
    op.create_table(
        "training_episodes",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("episode_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("action_taken", sa.Text(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=True),
        sa.Column("arm", sa.String(63), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(63), nullable=True),
        sa.Column("reward_score", sa.Double(), nullable=True),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("ingested_at", UtcTime(), nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("valid_actions", CanonicalJson(), nullable=False),
        sa.Column("action_arguments", CanonicalJson(), nullable=False),
        sa.Column("context_snapshot", CanonicalJson(), nullable=False),
        sa.CheckConstraint(
            "propensity > 0 AND propensity <= 1", name=op.f("ck_training_episodes_propensity")
        ),
        sa.CheckConstraint(
            "reward_score >= -1 AND reward_score <= 1",
            name=op.f("ck_training_episodes_reward_score"),
        ),
        sa.PrimaryKeyConstraint("tenant", "episode_id", name=op.f("pk_training_episodes")),
        sa.UniqueConstraint("tenant", "seq", name=op.f("uq_training_episodes_tenant_seq")),
    )
    op.create_index(
        op.f("ix_training_episodes_tenant_loop_timestamp_episode_id"),
        "training_episodes",
        ["tenant", "loop", "timestamp", "episode_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_training_episodes_tenant_user_id_timestamp"),
        "training_episodes",
        ["tenant", "user_id", "timestamp"],
        unique=False,
    )
    op.create_table(
        "model_aliases",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("alias", sa.String(63), nullable=False),
        sa.Column("checkpoint_id", sa.String(36), nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "checkpoint_id"],
            ["model_checkpoints.tenant", "model_checkpoints.checkpoint_id"],
            name=op.f("fk_model_aliases_tenant_checkpoint_id"),
        ),
        sa.PrimaryKeyConstraint("tenant", "loop", "alias", name=op.f("pk_model_aliases")),
    )
    op.create_table(
        "reward_signals",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("signal_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("episode_id", sa.String(36), nullable=False),
        sa.Column("signal_type", sa.String(63), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("latency", sa.BigInteger(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("ingested_at", UtcTime(), nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary(32), nullable=False),
        sa.CheckConstraint(
            "confidence >= 0 AND confidence <= 1", name=op.f("ck_reward_signals_confidence")
        ),
        sa.CheckConstraint("latency >= 0", name=op.f("ck_reward_signals_latency")),
        sa.ForeignKeyConstraint(
            ["tenant", "episode_id"],
            ["training_episodes.tenant", "training_episodes.episode_id"],
            name=op.f("fk_reward_signals_tenant_episode_id"),
        ),
        sa.PrimaryKeyConstraint("tenant", "signal_id", name=op.f("pk_reward_signals")),
        sa.UniqueConstraint("tenant", "seq", name=op.f("uq_reward_signals_tenant_seq")),
    )
    op.create_index(
        op.f("ix_reward_signals_tenant_episode_id"),
        "reward_signals",
        ["tenant", "episode_id"],
        unique=False,
    )
    op.create_table(
        "disputes",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("signal_id", sa.String(36), nullable=False),
        sa.Column("status", sa.String(63), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "signal_id"],
            ["reward_signals.tenant", "reward_signals.signal_id"],
            name=op.f("fk_disputes_tenant_signal_id"),
        ),
        sa.PrimaryKeyConstraint("tenant", "revision", name=op.f("pk_disputes")),
    )
    op.create_index(
        op.f("ix_disputes_tenant_signal_id"), "disputes", ["tenant", "signal_id"], unique=False
    )
    key = ("tenant", "loop", "alias", "generation")
    for statement in append_only_triggers("deployment_log", op.get_context().dialect.name, key):
        op.execute(statement)
