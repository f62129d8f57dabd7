"""The privacy ledger: rows, releases, people and who paid for what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from everloop.storage.append_only import append_only_triggers
from everloop.storage.column_types import CanonicalJson, UtcTime

revision = "0002_ledger"
down_revision = "0001_events"


def upgrade() -> None:
    op.create_table(
        "privacy_ledger",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("release_id", sa.String(32), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("stage", sa.String(63), nullable=False),
        sa.Column("configuration_sha256", sa.String(64), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("mechanism", CanonicalJson(), nullable=False),
        sa.Column("mu_squared", sa.Double(), nullable=False),
        sa.Column("delta", sa.Double(), nullable=False),
        sa.Column("people", sa.BigInteger(), nullable=False),
        sa.Column("people_commitment", sa.String(64), nullable=False),
        sa.Column("status", sa.String(63), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.Column("library", sa.Text(), nullable=False),
        sa.Column("unit", sa.String(63), nullable=False),
        sa.Column("neighbours", sa.String(63), nullable=False),
        sa.Column("previous_sha256", sa.String(64), nullable=False),
        sa.Column("row_sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_privacy_ledger")),
        sa.UniqueConstraint(
            "release_id", "status", name=op.f("uq_privacy_ledger_release_id_status")
        ),
    )
    op.create_index(
        "uq_privacy_ledger_slot",
        "privacy_ledger",
        ["pipeline", "logical_date", "stage"],
        unique=True,
        sqlite_where=sa.text("status = 'reserved'"),
        postgresql_where=sa.text("status = 'reserved'"),
    )
    op.create_table(
        "privacy_people",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("mu_squared", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_privacy_people")),
        sa.UniqueConstraint("person", name=op.f("uq_privacy_people_person")),
    )
    op.create_table(
        "privacy_releases",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.String(32), nullable=False),
        sa.Column("charged_on", sa.Date(), nullable=True),
        sa.Column("mu_squared", sa.Double(), nullable=True),
        sa.Column("sealed_seed", sa.LargeBinary(32), nullable=True),
        sa.Column("output_url", sa.Text(), nullable=True),
        sa.Column("output_sha256", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_privacy_releases")),
        sa.UniqueConstraint("release_id", name=op.f("uq_privacy_releases_release_id")),
    )
    op.create_table(
        "privacy_charges",
        sa.Column("person", sa.Integer(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("person", "release", name=op.f("pk_privacy_charges")),
        sa.ForeignKeyConstraint(
            ["person"], ["privacy_people.number"], name=op.f("fk_privacy_charges_person")
        ),
        sa.ForeignKeyConstraint(
            ["release"], ["privacy_releases.number"], name=op.f("fk_privacy_charges_release")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_privacy_charges_release"), "privacy_charges", ["release"], unique=False
    )
    dialect = op.get_bind().dialect.name
    for table, key in (
        ("privacy_ledger", ("sequence",)),
        ("privacy_charges", ("person", "release")),
    ):
        for statement in append_only_triggers(table, dialect, key):
            op.execute(statement)
