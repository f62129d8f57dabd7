"""The service: decisions, interactions, feedback, keys, audit, training jobs and erasures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from everloop.storage.append_only import append_only_triggers
from everloop.storage.column_types import CanonicalJson, UtcTime

revision = "0003_service"
down_revision = "0002_ledger"


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(63), nullable=False),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("scopes", CanonicalJson(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_id", name=op.f("uq_api_keys_key_id")),
    )
    op.create_table(
        "audit_log",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(63), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("detail", CanonicalJson(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sequence", name=op.f("pk_audit_log")),
    )
    op.create_table(
        "decisions",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("action_taken", sa.Text(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=False),
        sa.Column("arm", sa.String(63), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("epsilon", sa.Double(), nullable=False),
        sa.Column("fallback", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("ingested_at", UtcTime(), nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("valid_actions", CanonicalJson(), nullable=False),
        sa.Column("action_arguments", CanonicalJson(), nullable=False),
        sa.Column("context_snapshot", CanonicalJson(), nullable=False),
        sa.CheckConstraint(
            "propensity > 0 AND propensity <= 1", name=op.f("ck_decisions_propensity")
        ),
        sa.PrimaryKeyConstraint("tenant", "decision_id", name=op.f("pk_decisions")),
    )
    op.create_index(
        op.f("ix_decisions_tenant_user_id"), "decisions", ["tenant", "user_id"], unique=False
    )
    op.create_index(op.f("ix_decisions_timestamp"), "decisions", ["timestamp"], unique=False)
    op.create_table(
        "erasures",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("erasure_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.Column("deleted", CanonicalJson(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "erasure_id", name=op.f("pk_erasures")),
    )
    op.create_index(
        op.f("ix_erasures_tenant_user_id"), "erasures", ["tenant", "user_id"], unique=False
    )
    op.create_table(
        "interactions",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("log_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("input_type", sa.String(63), nullable=False),
        sa.Column("input_data", CanonicalJson(), nullable=False),
        sa.Column("output_type", sa.String(63), nullable=False),
        sa.Column("output_data", CanonicalJson(), nullable=False),
        sa.Column("context", CanonicalJson(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("persona", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("episode_id", sa.String(36), nullable=True),
        sa.Column("response_ms", sa.Double(), nullable=True),
        sa.Column("tokens_in", sa.BigInteger(), nullable=True),
        sa.Column("tokens_out", sa.BigInteger(), nullable=True),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("tools", CanonicalJson(), nullable=False),
        sa.Column("escalated", sa.Boolean(), nullable=False),
        sa.Column("client", CanonicalJson(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("ingested_at", UtcTime(), nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "log_id", name=op.f("pk_interactions")),
    )
    op.create_index(
        op.f("ix_interactions_tenant_timestamp"),
        "interactions",
        ["tenant", "timestamp"],
        unique=False,
    )
    op.create_index(
        op.f("ix_interactions_tenant_user_id_timestamp"),
        "interactions",
        ["tenant", "user_id", "timestamp"],
        unique=False,
    )
    op.create_table(
        "key_fingerprints",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("fingerprint", sa.String(63), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_key_fingerprints")),
    )
    op.create_table(
        "training_jobs",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("loop", sa.String(63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("cause", sa.String(63), nullable=False),
        sa.Column("state", sa.String(63), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("watermark", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=True),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("heartbeat_at", UtcTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "job_id", name=op.f("pk_training_jobs")),
        sa.UniqueConstraint("job_id", name=op.f("uq_training_jobs_job_id")),
    )
    op.create_index(
        op.f("ix_training_jobs_tenant_loop_created_at"),
        "training_jobs",
        ["tenant", "loop", "created_at"],
        unique=False,
    )
    op.create_index(
        "uq_training_jobs_one_open",
        "training_jobs",
        ["tenant", "loop"],
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_table(
        "erasure_marks",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("artefact_id", sa.Text(), nullable=False),
        sa.Column("erasure_id", sa.String(36), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "erasure_id"],
            ["erasures.tenant", "erasures.erasure_id"],
            name=op.f("fk_erasure_marks_tenant_erasure_id"),
        ),
        sa.PrimaryKeyConstraint(
            "tenant", "kind", "artefact_id", "erasure_id", name=op.f("pk_erasure_marks")
        ),
    )
    op.create_table(
        "feedback",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("feedback_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("log_id", sa.String(36), nullable=True),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("feedback_type", sa.String(63), nullable=False),
        sa.Column("source", sa.String(63), nullable=False),
        sa.Column("target_element", sa.String(63), nullable=False),
        sa.Column("target", CanonicalJson(), nullable=False),
        sa.Column("raw_value", CanonicalJson(), nullable=False),
        sa.Column("value", CanonicalJson(), nullable=False),
        sa.Column("clamped", sa.Boolean(), nullable=False),
        sa.Column("interpretations", CanonicalJson(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("quality", sa.Double(), nullable=False),
        sa.Column("quality_reasons", CanonicalJson(), nullable=False),
        sa.Column("status", sa.String(63), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("persona", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("client", CanonicalJson(), nullable=False),
        sa.Column("received_at", UtcTime(), nullable=True),
        sa.Column("shown_at", UtcTime(), nullable=True),
        sa.Column("output_chars", sa.BigInteger(), nullable=True),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("ingested_at", UtcTime(), nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "log_id"],
            ["interactions.tenant", "interactions.log_id"],
            name=op.f("fk_feedback_tenant_log_id"),
        ),
        sa.PrimaryKeyConstraint("tenant", "feedback_id", name=op.f("pk_feedback")),
    )
    op.create_index(
        op.f("ix_feedback_tenant_log_id"), "feedback", ["tenant", "log_id"], unique=False
    )
    op.create_index(
        op.f("ix_feedback_tenant_session_id_seq"),
        "feedback",
        ["tenant", "session_id", "seq"],
        unique=False,
    )
    op.create_index(
        op.f("ix_feedback_tenant_status_seq"),
        "feedback",
        ["tenant", "status", "seq"],
        unique=False,
    )
    op.create_index(
        "ix_feedback_trust_surveys",
        "feedback",
        ["tenant", "feedback_type", "user_id", "timestamp", "seq", "status"],
        unique=False,
        postgresql_include=["value"],
        sqlite_where=sa.text("feedback_type = 'trust_survey'"),
        postgresql_where=sa.text("feedback_type = 'trust_survey'"),
    )
    op.create_index(
        op.f("ix_feedback_tenant_timestamp"), "feedback", ["tenant", "timestamp"], unique=False
    )
    op.create_index(
        op.f("ix_feedback_tenant_user_id"), "feedback", ["tenant", "user_id"], unique=False
    )
    op.create_table(
        "feedback_reviews",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("feedback_id", sa.String(36), nullable=False),
        sa.Column("status", sa.String(63), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "feedback_id"],
            ["feedback.tenant", "feedback.feedback_id"],
            name=op.f("fk_feedback_reviews_tenant_feedback_id"),
        ),
        sa.PrimaryKeyConstraint("tenant", "revision", name=op.f("pk_feedback_reviews")),
    )
    op.create_index(
        op.f("ix_feedback_reviews_tenant_feedback_id"),
        "feedback_reviews",
        ["tenant", "feedback_id"],
        unique=False,
    )
    op.drop_index("ix_consents_tenant_user_id_purpose", "consents")
    op.create_index(
        op.f("ix_consents_tenant_user_id_purpose_recorded_at"),
        "consents",
        ["tenant", "user_id", "purpose", "recorded_at"],
        unique=False,
    )
    op.create_index(
        "ix_consents_refusals",
        "consents",
        ["tenant", "purpose", "user_id"],
        unique=False,
        sqlite_where=sa.text("granted = 0"),
        postgresql_where=sa.text("NOT granted"),
    )
    op.add_column("dataset_pins", sa.Column("cutoff", UtcTime(), nullable=True))
    dialect = op.get_context().dialect.name
    for statement in append_only_triggers("audit_log", dialect, ("tenant", "sequence")):
        op.execute(statement)
