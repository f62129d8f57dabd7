"""Tables of the privacy ledger, in the same database and metadata as everything else.

``privacy_ledger`` and ``privacy_charges`` are append-only: the database itself refuses to change or
delete their rows. People span loops: their pseudonyms carry the tenant already.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from everloop.storage.column_types import CanonicalJson, UtcTime
from everloop.storage.schema import NAME, PSEUDONYM, SHA256, metadata

RELEASE_ID = String(32)

privacy_ledger = Table(
    "privacy_ledger",
    metadata,
    Column("sequence", BigInteger, nullable=False, autoincrement=False),
    Column("release_id", RELEASE_ID, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("stage", NAME, nullable=False),
    Column("configuration_sha256", SHA256, nullable=False),
    Column("dataset_id", Text, nullable=False),
    Column("mechanism", CanonicalJson, nullable=False),
    Column("mu_squared", Double, nullable=False),
    Column("delta", Double, nullable=False),
    Column("people", BigInteger, nullable=False),
    Column("people_commitment", SHA256, nullable=False),
    Column("status", NAME, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    Column("library", Text, nullable=False),
    Column("unit", NAME, nullable=False),
    Column("neighbours", NAME, nullable=False),
    Column("epsilon", Double, nullable=True),
    Column("period_days", Integer, nullable=True),
    Column("key_id", NAME, nullable=False, server_default=""),
    Column("event", CanonicalJson, nullable=True),
    Column("rdp_version", Integer, nullable=False, server_default="0"),
    Column("rdp", CanonicalJson, nullable=True),
    Column("previous_sha256", SHA256, nullable=False),
    Column("row_sha256", SHA256, nullable=False),
    PrimaryKeyConstraint("sequence"),
    UniqueConstraint("release_id", "status"),
    Index(
        "uq_privacy_ledger_slot",
        "pipeline",
        "logical_date",
        "stage",
        unique=True,
        sqlite_where=text("status = 'reserved'"),
        postgresql_where=text("status = 'reserved'"),
    ),
)
"""One row per change of a release's status, chained by hash."""

privacy_releases = Table(
    "privacy_releases",
    metadata,
    Column("number", Integer, nullable=False),
    Column("release_id", RELEASE_ID, nullable=False),
    Column("charged_on", Date, nullable=True),
    Column("mu_squared", Double, nullable=True),
    Column("sealed_seed", LargeBinary(32), nullable=True),
    Column("output_url", Text, nullable=True),
    Column("output_sha256", SHA256, nullable=True),
    PrimaryKeyConstraint("number"),
    UniqueConstraint("release_id"),
)
"""What a release keeps besides its rows: what each of its people pays, the seed while it is
unfinished, and where its output lies."""

privacy_people = Table(
    "privacy_people",
    metadata,
    Column("number", Integer, nullable=False),
    Column("person", PSEUDONYM, nullable=False),
    Column("mu_squared", Double, nullable=False),
    Column("first_known_as", PSEUDONYM, nullable=True),
    PrimaryKeyConstraint("number"),
    UniqueConstraint("person"),
)
"""Everyone who was ever charged, with the total since first seen.

``first_known_as``: the pseudonym in the commitments of rows, where another key has given a new one
since; NULL where it is ``person``."""

privacy_charges = Table(
    "privacy_charges",
    metadata,
    Column("release", Integer, nullable=False, autoincrement=False),
    Column("people", LargeBinary, nullable=False),
    PrimaryKeyConstraint("release"),
    ForeignKeyConstraint(["release"], ["privacy_releases.number"]),
)
"""Who paid for what: of each release the numbers of its people, as ``person_sets`` packs them."""

privacy_journal = Table(
    "privacy_journal",
    metadata,
    Column("one", Integer, nullable=False, autoincrement=False),
    Column("journal_id", NAME, nullable=False),
    Column("renames", Integer, nullable=False),
    Column("pseudonym_key", NAME, nullable=False),
    PrimaryKeyConstraint("one"),
)
"""A single row: which journal outside this database keeps a copy of the spending."""

APPEND_ONLY = ("privacy_ledger", "privacy_charges")
