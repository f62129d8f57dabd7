"""Who judges a voice and who teaches it, as it was when a person was first seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from everloop.storage.column_types import UtcTime

revision = "0010_voice_sides"
down_revision = "0009_voices"


def upgrade() -> None:
    op.create_table(
        "voice_sides",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("persona", sa.Text(), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("judges", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "persona", "user_id", name=op.f("pk_voice_sides")),
    )
    op.create_index(
        op.f("ix_voice_sides_tenant_user_id"), "voice_sides", ["tenant", "user_id"], unique=False
    )
