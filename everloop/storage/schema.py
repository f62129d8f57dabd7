"""Tables of the workspace database, the same on SQLite and PostgreSQL.

``training_episodes``, ``reward_signals``, ``model_checkpoints`` and ``synthetic_profiles`` are the
product specification's, extended by what learning needs. Every primary key starts with the tenant.
Migrations in ``migrations/versions`` make these tables; a test compares the two.

``seq`` is the ingest number of a row within its tenant, given in commit order from
``ingest_counters``: whoever sees number n sees every smaller one, so ``seq <= watermark`` names a
fixed set of rows for ever. A sequence of the database doesn't promise that on PostgreSQL.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from everloop.storage.column_types import CanonicalJson, FloatVector, UtcTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

TENANT = String(63)
NAME = String(63)
UUID = String(36)
PSEUDONYM = String(64)
SHA256 = String(64)

ingest_counters = Table(
    "ingest_counters",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("counter", NAME, nullable=False),
    Column("last", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "counter"),
)

training_episodes = Table(
    "training_episodes",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("episode_id", UUID, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("user_id", PSEUDONYM, nullable=False),
    Column("timestamp", UtcTime, nullable=False),
    Column("action_taken", Text, nullable=False),
    Column("propensity", Double, nullable=True),
    Column("arm", NAME, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("outcome", NAME, nullable=True),
    Column("reward_score", Double, nullable=True),
    Column("schema_version", Integer, nullable=False),
    Column("ingested_at", UtcTime, nullable=False),
    Column("payload_sha256", LargeBinary(32), nullable=False),
    Column("valid_actions", CanonicalJson, nullable=False),
    Column("action_arguments", CanonicalJson, nullable=False),
    Column("context_snapshot", CanonicalJson, nullable=False),
    PrimaryKeyConstraint("tenant", "episode_id"),
    UniqueConstraint("tenant", "seq"),
    CheckConstraint("propensity > 0 AND propensity <= 1", name="propensity"),
    CheckConstraint("reward_score >= -1 AND reward_score <= 1", name="reward_score"),
    Index(None, "tenant", "loop", "timestamp", "episode_id"),
    Index(None, "tenant", "user_id", "timestamp"),
)

reward_signals = Table(
    "reward_signals",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("signal_id", UUID, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("episode_id", UUID, nullable=False),
    Column("signal_type", NAME, nullable=False),
    Column("value", Double, nullable=False),
    Column("latency", BigInteger, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("ingested_at", UtcTime, nullable=False),
    Column("payload_sha256", LargeBinary(32), nullable=False),
    PrimaryKeyConstraint("tenant", "signal_id"),
    UniqueConstraint("tenant", "seq"),
    CheckConstraint("latency >= 0", name="latency"),
    CheckConstraint("confidence >= 0 AND confidence <= 1", name="confidence"),
    ForeignKeyConstraint(
        ["tenant", "episode_id"], ["training_episodes.tenant", "training_episodes.episode_id"]
    ),
    Index(None, "tenant", "episode_id"),
)

consents = Table(
    "consents",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("user_id", PSEUDONYM, nullable=False),
    Column("purpose", NAME, nullable=False),
    Column("granted", Boolean, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tenant", "revision"),
    Index(None, "tenant", "user_id", "purpose", "recorded_at"),
    Index(
        "ix_consents_refusals",
        "tenant",
        "purpose",
        "user_id",
        sqlite_where=text("granted = 0"),
        postgresql_where=text("NOT granted"),
    ),
)

disputes = Table(
    "disputes",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("signal_id", UUID, nullable=False),
    Column("status", NAME, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tenant", "revision"),
    ForeignKeyConstraint(
        ["tenant", "signal_id"], ["reward_signals.tenant", "reward_signals.signal_id"]
    ),
    Index(None, "tenant", "signal_id"),
)

dataset_pins = Table(
    "dataset_pins",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("episode_watermark", BigInteger, nullable=False),
    Column("signal_watermark", BigInteger, nullable=False),
    Column("consent_revision", BigInteger, nullable=False),
    Column("window_days", Integer, nullable=True),
    Column("spec_sha256", SHA256, nullable=True),
    Column("dataset_id", SHA256, nullable=True),
    Column("cutoff", UtcTime, nullable=True),
    Column("review_revision", BigInteger, nullable=True),
    PrimaryKeyConstraint("tenant", "loop", "logical_date"),
)

model_checkpoints = Table(
    "model_checkpoints",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("checkpoint_id", UUID, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("model_type", NAME, nullable=False),
    Column("weights_url", Text, nullable=False),
    Column("weights_sha256", SHA256, nullable=False),
    Column("performance_metrics", CanonicalJson, nullable=False),
    Column("training_date", UtcTime, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("provenance", NAME, nullable=False),
    Column("lineage", CanonicalJson, nullable=False),
    Column("files", CanonicalJson, nullable=False),
    Column("verdict", NAME, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("payload_sha256", LargeBinary(32), nullable=False),
    PrimaryKeyConstraint("tenant", "checkpoint_id"),
    UniqueConstraint("checkpoint_id"),
    Index(None, "tenant", "loop", "training_date"),
)

model_aliases = Table(
    "model_aliases",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("alias", NAME, nullable=False),
    Column("checkpoint_id", UUID, nullable=True),
    Column("generation", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "loop", "alias"),
    ForeignKeyConstraint(
        ["tenant", "checkpoint_id"],
        ["model_checkpoints.tenant", "model_checkpoints.checkpoint_id"],
    ),
)

deployment_log = Table(
    "deployment_log",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("alias", NAME, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("previous_checkpoint_id", UUID, nullable=True),
    Column("checkpoint_id", UUID, nullable=True),
    Column("reason", Text, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tenant", "loop", "alias", "generation"),
)
"""Append-only: triggers refuse UPDATE and DELETE."""

synthetic_profiles = Table(
    "synthetic_profiles",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("profile_id", UUID, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("source", NAME, nullable=False),
    Column("persona_vector", FloatVector, nullable=False),
    Column("traits", CanonicalJson, nullable=False),
    Column("interaction_history", CanonicalJson, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("payload_sha256", LargeBinary(32), nullable=False),
    PrimaryKeyConstraint("tenant", "profile_id"),
    CheckConstraint("source IN ('generated', 'augmented', 'real')", name="source"),
    Index(None, "tenant", "loop", "release_id"),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("rollout_id", Text, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("active", Text, nullable=True),
    Column("state", NAME, nullable=False),
    Column("traffic_percent", Double, nullable=False),
    Column("reasons", CanonicalJson, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    Column("generation", BigInteger, nullable=False, server_default=text("0")),
    Column("document", CanonicalJson, nullable=True),
    PrimaryKeyConstraint("tenant", "rollout_id"),
    Index(
        "uq_rollouts_one_live",
        "tenant",
        "loop",
        unique=True,
        sqlite_where=text("state IN ('shadow', 'started', 'paused')"),
        postgresql_where=text("state IN ('shadow', 'started', 'paused')"),
    ),
    Index(None, "tenant", "loop", "recorded_at"),
)

runs = Table(
    "runs",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("pipeline", NAME, nullable=False),
    Column("logical_date", Text, nullable=False),
    Column("status", NAME, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "run_id"),
    Index(None, "started_at"),
)
