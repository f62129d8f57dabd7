"""Ledger rows keep mechanisms of any kind, and who paid for a release is one set of people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from everloop.storage.append_only import append_only_triggers
from everloop.storage.column_types import CanonicalJson
from everloop.storage.person_sets import packed

revision = "0004_ledger_mechanisms"
down_revision = "0003_service"


def upgrade() -> None:
    for column in (
        sa.Column("epsilon", sa.Double(), nullable=True),
        sa.Column("period_days", sa.Integer(), nullable=True),
        sa.Column("key_id", sa.String(63), nullable=False, server_default=""),
        sa.Column("event", CanonicalJson(), nullable=True),
        sa.Column("rdp_version", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("rdp", CanonicalJson(), nullable=True),
    ):
        op.add_column("privacy_ledger", column)
    op.add_column("privacy_people", sa.Column("first_known_as", sa.String(64), nullable=True))
    _charges_as_sets()


def _charges_as_sets() -> None:
    bind = op.get_bind()
    paid = sa.table("privacy_charges", sa.column("person"), sa.column("release"))
    of_release = sa.select(paid.c.person).where(paid.c.release == sa.bindparam("number"))
    sets = [
        {
            "release": number,
            "people": packed(list(bind.execute(of_release, {"number": number}).scalars())),
        }
        for number in list(bind.execute(sa.select(paid.c.release).distinct()).scalars())
    ]
    op.drop_table("privacy_charges")
    if bind.dialect.name == "postgresql":
        op.execute("DROP FUNCTION privacy_charges_is_append_only()")
    made = op.create_table(
        "privacy_charges",
        sa.Column("release", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("people", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("release", name=op.f("pk_privacy_charges")),
        sa.ForeignKeyConstraint(
            ["release"], ["privacy_releases.number"], name=op.f("fk_privacy_charges_release")
        ),
    )
    if sets:
        op.bulk_insert(made, sets)
    for statement in append_only_triggers("privacy_charges", bind.dialect.name, ("release",)):
        op.execute(statement)
