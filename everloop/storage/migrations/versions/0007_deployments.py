"""Deployments and trials: manifests, events, oversight, reviews, variants and notifications."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from everloop.storage.append_only import append_only_triggers
from everloop.storage.column_types import CanonicalJson, UtcTime

revision = "0007_deployments"
down_revision = "0006_recent_decisions"

_APPEND_ONLY = {
    "rollout_events": ("tenant", "loop", "sequence"),
    "oversights": ("tenant", "oversight_id"),
}


def upgrade() -> None:
    op.create_table(
        "deployment_heads",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column("breaker", CanonicalJson(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "loop", name=op.f("pk_deployment_heads")),
    )
    op.create_table(
        "deployments",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("deployment_id", sa.String(36), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("artefacts", CanonicalJson(), nullable=False),
        sa.Column("made_at", UtcTime(), nullable=False),
        sa.Column("verdict", CanonicalJson(), nullable=True),
        sa.Column("predicted", CanonicalJson(), nullable=True),
        sa.Column("baseline", CanonicalJson(), nullable=True),
        sa.Column("measured", CanonicalJson(), nullable=True),
        sa.Column("outcome", sa.String(63), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "deployment_id", name=op.f("pk_deployments")),
        sa.UniqueConstraint("deployment_id", name=op.f("uq_deployments_deployment_id")),
    )
    op.create_index(
        op.f("ix_deployments_tenant_loop_made_at"),
        "deployments",
        ["tenant", "loop", "made_at"],
        unique=False,
    )
    op.create_table(
        "notices",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("notice_id", sa.String(36), nullable=False),
        sa.Column("channel", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("document", CanonicalJson(), nullable=False),
        sa.Column("state", sa.String(63), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("queued_at", UtcTime(), nullable=False),
        sa.Column("next_attempt_at", UtcTime(), nullable=True),
        sa.Column("sent_at", UtcTime(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "notice_id", "channel", name=op.f("pk_notices")),
    )
    op.create_index(
        op.f("ix_notices_state_next_attempt_at"),
        "notices",
        ["state", "next_attempt_at"],
        unique=False,
    )
    op.create_table(
        "oversights",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("oversight_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("evidence", CanonicalJson(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "oversight_id", name=op.f("pk_oversights")),
        sa.UniqueConstraint("oversight_id", name=op.f("uq_oversights_oversight_id")),
    )
    op.create_index(
        op.f("ix_oversights_tenant_loop_kind_at"),
        "oversights",
        ["tenant", "loop", "kind", "at"],
        unique=False,
    )
    op.create_table(
        "rollout_events",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column("rollout_id", sa.Text(), nullable=False),
        sa.Column("evidence", CanonicalJson(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "loop", "sequence", name=op.f("pk_rollout_events")),
    )
    op.create_index(
        op.f("ix_rollout_events_tenant_rollout_id_sequence"),
        "rollout_events",
        ["tenant", "rollout_id", "sequence"],
        unique=False,
    )
    op.create_table(
        "trial_tallies",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("rollout_id", sa.Text(), nullable=False),
        sa.Column("phase", sa.String(63), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("counts", CanonicalJson(), nullable=False),
        sa.Column("counted_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "rollout_id", "phase", "worker", name=op.f("pk_trial_tallies")
        ),
    )
    op.create_table(
        "variant_experiments",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("experiment_id", sa.String(36), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("subject", sa.String(63), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("state", sa.String(63), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("document", CanonicalJson(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "experiment_id", name=op.f("pk_variant_experiments")),
        sa.UniqueConstraint("experiment_id", name=op.f("uq_variant_experiments_experiment_id")),
    )
    op.create_index(
        "uq_variant_experiments_one_running",
        "variant_experiments",
        ["tenant", "loop", "base"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "exposures",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("experiment_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("variant_id", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "experiment_id"],
            ["variant_experiments.tenant", "variant_experiments.experiment_id"],
            name=op.f("fk_exposures_tenant_experiment_id"),
        ),
        sa.PrimaryKeyConstraint("tenant", "experiment_id", "user_id", name=op.f("pk_exposures")),
    )
    op.create_index(
        op.f("ix_exposures_tenant_user_id"), "exposures", ["tenant", "user_id"], unique=False
    )
    op.create_table(
        "reviews",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("review_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("episode_id", sa.String(36), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("flagged_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "episode_id"],
            ["training_episodes.tenant", "training_episodes.episode_id"],
            name=op.f("fk_reviews_tenant_episode_id"),
        ),
        sa.PrimaryKeyConstraint("tenant", "review_id", name=op.f("pk_reviews")),
        sa.UniqueConstraint("review_id", name=op.f("uq_reviews_review_id")),
    )
    op.create_index(
        op.f("ix_reviews_tenant_episode_id"), "reviews", ["tenant", "episode_id"], unique=False
    )
    op.create_index(
        op.f("ix_reviews_tenant_loop_flagged_at_review_id"),
        "reviews",
        ["tenant", "loop", "flagged_at", "review_id"],
        unique=False,
    )
    op.create_table(
        "review_decisions",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("review_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(63), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("decided_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "review_id"],
            ["reviews.tenant", "reviews.review_id"],
            name=op.f("fk_review_decisions_tenant_review_id"),
        ),
        sa.PrimaryKeyConstraint("tenant", "revision", name=op.f("pk_review_decisions")),
    )
    op.create_index(
        op.f("ix_review_decisions_tenant_review_id_revision"),
        "review_decisions",
        ["tenant", "review_id", "revision"],
        unique=False,
    )
    op.add_column("dataset_pins", sa.Column("review_revision", sa.BigInteger(), nullable=True))
    op.add_column(
        "rollouts",
        sa.Column("generation", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("rollouts", sa.Column("document", CanonicalJson(), nullable=True))
    op.drop_index(
        op.f("uq_rollouts_one_started"),
        table_name="rollouts",
        sqlite_where=sa.text("state = 'started'"),
    )
    op.create_index(
        "uq_rollouts_one_live",
        "rollouts",
        ["tenant", "loop"],
        unique=True,
        sqlite_where=sa.text("state IN ('shadow', 'started', 'paused')"),
        postgresql_where=sa.text("state IN ('shadow', 'started', 'paused')"),
    )
    for table, key in _APPEND_ONLY.items():
        for statement in append_only_triggers(table, op.get_context().dialect.name, key):
            op.execute(statement)
