"""Tables of deployments, trials, oversight, reviews, variants and notifications.

The same on SQLite and PostgreSQL, as those of ``everloop/storage/schema.py``.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from everloop.storage.column_types import CanonicalJson, UtcTime
from everloop.storage.schema import NAME, PSEUDONYM, TENANT, UUID, metadata

deployments = Table(
    "deployments",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("deployment_id", UUID, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("artefacts", CanonicalJson, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("verdict", CanonicalJson, nullable=True),
    Column("predicted", CanonicalJson, nullable=True),
    Column("baseline", CanonicalJson, nullable=True),
    Column("measured", CanonicalJson, nullable=True),
    Column("outcome", NAME, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "deployment_id"),
    UniqueConstraint("deployment_id"),
    Index(None, "tenant", "loop", "made_at"),
)

deployment_heads = Table(
    "deployment_heads",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("deployment_id", Text, nullable=False),
    Column("breaker", CanonicalJson, nullable=False),
    PrimaryKeyConstraint("tenant", "loop"),
)
"""``revision`` is raised by every change of what serves: of an alias under which something serves, of a
live rollout, of the breaker. ``deployment_id`` is empty where parts were moved one by one."""

rollout_events = Table(
    "rollout_events",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("kind", NAME, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("deployment_id", Text, nullable=False),
    Column("rollout_id", Text, nullable=False),
    Column("evidence", CanonicalJson, nullable=False),
    PrimaryKeyConstraint("tenant", "loop", "sequence"),
    Index(None, "tenant", "rollout_id", "sequence"),
)
"""Append-only: triggers refuse UPDATE and DELETE."""

trial_tallies = Table(
    "trial_tallies",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("rollout_id", Text, nullable=False),
    Column("phase", NAME, nullable=False),
    Column("worker", Text, nullable=False),
    Column("counts", CanonicalJson, nullable=False),
    Column("counted_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tenant", "rollout_id", "phase", "worker"),
)

oversights = Table(
    "oversights",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("oversight_id", UUID, nullable=False),
    Column("kind", NAME, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("evidence", CanonicalJson, nullable=False),
    PrimaryKeyConstraint("tenant", "oversight_id"),
    UniqueConstraint("oversight_id"),
    Index(None, "tenant", "loop", "kind", "at"),
)
"""Append-only: triggers refuse UPDATE and DELETE."""

reviews = Table(
    "reviews",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("review_id", UUID, nullable=False),
    Column("kind", NAME, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("episode_id", UUID, nullable=False),
    Column("reason", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("flagged_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tenant", "review_id"),
    UniqueConstraint("review_id"),
    ForeignKeyConstraint(
        ["tenant", "episode_id"], ["training_episodes.tenant", "training_episodes.episode_id"]
    ),
    Index(None, "tenant", "loop", "flagged_at", "review_id"),
    Index(None, "tenant", "episode_id"),
)

review_decisions = Table(
    "review_decisions",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("review_id", UUID, nullable=False),
    Column("state", NAME, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("decided_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tenant", "revision"),
    ForeignKeyConstraint(["tenant", "review_id"], ["reviews.tenant", "reviews.review_id"]),
    Index(None, "tenant", "review_id", "revision"),
)
"""The newest revision of a review is its state; a review without any is open."""

variant_experiments = Table(
    "variant_experiments",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("experiment_id", UUID, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("subject", NAME, nullable=False),
    Column("base", Text, nullable=False),
    Column("state", NAME, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("document", CanonicalJson, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tenant", "experiment_id"),
    UniqueConstraint("experiment_id"),
    Index(
        "uq_variant_experiments_one_running",
        "tenant",
        "loop",
        "base",
        unique=True,
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
)

exposures = Table(
    "exposures",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("experiment_id", UUID, nullable=False),
    Column("user_id", PSEUDONYM, nullable=False),
    Column("variant_id", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tenant", "experiment_id", "user_id"),
    ForeignKeyConstraint(
        ["tenant", "experiment_id"],
        ["variant_experiments.tenant", "variant_experiments.experiment_id"],
    ),
    Index(None, "tenant", "user_id"),
)

notices = Table(
    "notices",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("notice_id", UUID, nullable=False),
    Column("channel", NAME, nullable=False),
    Column("kind", NAME, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("document", CanonicalJson, nullable=False),
    Column("state", NAME, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("queued_at", UtcTime, nullable=False),
    Column("next_attempt_at", UtcTime, nullable=True),
    Column("sent_at", UtcTime, nullable=True),
    Column("last_error", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "notice_id", "channel"),
    Index(None, "state", "next_attempt_at"),
)
"""``notice_id`` is a UUID of the notice's key: the same thing is told once."""
