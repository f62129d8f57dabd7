"""Tables of what a voice learns from, what it became, and its persona graphs.

The same on SQLite and PostgreSQL, as those of ``everloop/storage/schema.py``. ``user_id`` is empty where
something belongs to no person: a key's column cannot be null.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from everloop.storage.column_types import CanonicalJson, UtcTime
from everloop.storage.schema import NAME, PSEUDONYM, SHA256, TENANT, UUID, metadata

user_data_packages = Table(
    "user_data_packages",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("package_id", UUID, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("user_id", PSEUDONYM, nullable=False),
    Column("timestamp", UtcTime, nullable=False),
    Column("origin", Text, nullable=False),
    Column("persona", Text, nullable=False),
    Column("texts", CanonicalJson, nullable=False),
    Column("replies", CanonicalJson, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("payload_sha256", LargeBinary(32), nullable=False),
    PrimaryKeyConstraint("tenant", "package_id"),
    UniqueConstraint("tenant", "seq"),
    Index(None, "tenant", "user_id"),
)
"""``seq`` is the ingest number within the tenant, in commit order; ``persona`` is empty for every one."""

training_data_instances = Table(
    "training_data_instances",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("instance_id", UUID, nullable=False),
    Column("source_type", NAME, nullable=False),
    Column("task", NAME, nullable=False),
    Column("prompt", CanonicalJson, nullable=False),
    Column("completion", CanonicalJson, nullable=False),
    Column("rejected", CanonicalJson, nullable=False),
    Column("liked", Boolean, nullable=True),
    Column("user_id", PSEUDONYM, nullable=False),
    Column("weight", Double, nullable=False),
    Column("category", NAME, nullable=False),
    Column("augmented", Text, nullable=False),
    Column("parent", UUID, nullable=True),
    Column("details", CanonicalJson, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    Column("schema_version", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "instance_id"),
    CheckConstraint("weight > 0 AND weight <= 1", name="weight"),
    Index(None, "tenant", "user_id"),
    Index(None, "tenant", "parent"),
)
"""Texts are kept as JSON, which holds every text that people send; ``rejected`` is null in JSON."""

training_instance_sources = Table(
    "training_instance_sources",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("instance_id", UUID, nullable=False),
    Column("place", Integer, nullable=False),
    Column("source_id", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "instance_id", "place"),
    ForeignKeyConstraint(
        ["tenant", "instance_id"],
        ["training_data_instances.tenant", "training_data_instances.instance_id"],
    ),
    Index(None, "tenant", "source_id", "instance_id"),
)

model_version_instances = Table(
    "model_version_instances",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("instance_id", UUID, nullable=False),
    PrimaryKeyConstraint("tenant", "model_id", "instance_id"),
    ForeignKeyConstraint(
        ["tenant", "instance_id"],
        ["training_data_instances.tenant", "training_data_instances.instance_id"],
    ),
    Index(None, "tenant", "instance_id"),
)
"""Which model learned from which instance; a model is linked before it is a version."""

forgotten_instances = Table(
    "forgotten_instances",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("instances", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "model_id"),
)
"""From how many instances of people erased since a model learned; of whom is not kept."""

model_versions = Table(
    "model_versions",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("persona", Text, nullable=False),
    Column("user_id", PSEUDONYM, nullable=False),
    Column("base_model_name", Text, nullable=False),
    Column("version_number", BigInteger, nullable=False),
    Column("creation_date", UtcTime, nullable=False),
    Column("data_until", UtcTime, nullable=True),
    Column("continued_from", Text, nullable=True),
    Column("performance_metrics", CanonicalJson, nullable=False),
    Column("status", NAME, nullable=False),
    Column("schema_version", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "model_id"),
    UniqueConstraint("tenant", "persona", "user_id", "version_number"),
    Index(
        "uq_model_versions_one_active",
        "tenant",
        "persona",
        "user_id",
        unique=True,
        sqlite_where=text("status = 'active'"),
        postgresql_where=text("status = 'active'"),
    ),
    Index(None, "tenant", "user_id"),
)

voice_sides = Table(
    "voice_sides",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("persona", Text, nullable=False),
    Column("user_id", PSEUDONYM, nullable=False),
    Column("judges", Boolean, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tenant", "persona", "user_id"),
    Index(None, "tenant", "user_id"),
)
"""On which side a person was when a persona first learned: to judge, or to teach. It is never changed."""

voice_configurations = Table(
    "voice_configurations",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("loop", NAME, nullable=False),
    Column("instance", Text, nullable=False),
    Column("published_at", UtcTime, nullable=False),
    Column("settings", CanonicalJson, nullable=False),
    PrimaryKeyConstraint("tenant", "loop", "instance"),
)
"""What each running service speaks with, as it said last."""

persona_revisions = Table(
    "persona_revisions",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("persona", Text, nullable=False),
    Column("user_id", PSEUDONYM, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
    Column("sha256", SHA256, nullable=False),
    Column("cause", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    Column("undoes", BigInteger, nullable=True),
    Column("erased", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant", "persona", "user_id", "number"),
    Index(None, "tenant", "persona", "user_id", "cause", "number"),
    Index(None, "tenant", "user_id"),
)
"""Appended and never changed, but by an erasure or a change of pseudonyms: ``sha256`` is then that of
the content as it is now, and ``erased`` says that somebody's texts were taken out."""
