"""What running services speak with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from everloop.storage.column_types import CanonicalJson, UtcTime

revision = "0011_voice_configurations"
down_revision = "0010_voice_sides"


def upgrade() -> None:
    op.create_table(
        "voice_configurations",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("loop", sa.String(length=63), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("published_at", UtcTime(), nullable=False),
        sa.Column("settings", CanonicalJson(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "loop", "instance", name=op.f("pk_voice_configurations")),
    )
