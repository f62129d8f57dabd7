"""What the ingest path asks of a table before it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Table


@dataclass(frozen=True, slots=True)
class Lookup:
    """Which of a tenant's ids a table has, and some columns of their rows."""

    table: Table
    key: str
    columns: tuple[str, ...]
    tenant: str
    ids: Sequence[str]
