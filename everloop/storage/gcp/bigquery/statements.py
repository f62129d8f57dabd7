"""Statements that change the mirror, in BigQuery's dialect.

Each is one transaction that begins by raising the tenant's generation from the value that the change was
computed at: of two changes that were computed side by side one happens and the other is computed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from everloop.storage.gcp.bigquery.log_rows import BLOCK, CODES, FACTOR
from everloop.storage.gcp.bigquery.tables import MIRRORED, STATE, WATERMARKS, Column, Kind, Table

MOVED = "everloop: the mirror moved"
"""What the transaction says when another process was first."""

Path = Callable[[str], str]
"""Name of a table -> how a statement names it."""

_KNOWN = ("pseudonym_key", "erasures", *WATERMARKS, "tail")


def read_state(path: Path) -> str:
    """The tenant's row of the state, if it has one."""
    shown = ", ".join(("generation", *_KNOWN))
    return f"SELECT {shown} FROM {path(STATE.name)} WHERE tenant = @tenant"  # noqa: S608


def begin_state(path: Path) -> str:
    """The tenant's first row of the state."""
    return (
        f"INSERT INTO {path(STATE.name)} (tenant, generation, {', '.join(_KNOWN)}) "  # noqa: S608
        "VALUES (@tenant, 0, '', 0, 0, 0, 0, 0, '')"
    )


def changed(path: Path, changes: Sequence[str]) -> str:
    """The changes and the new state, all or none."""
    told = ", ".join(f"{name} = @{name}" for name in _KNOWN)
    return f"""BEGIN
  BEGIN TRANSACTION;
  UPDATE {path(STATE.name)}
  SET generation = generation + 1, {told}, synced_at = CURRENT_TIMESTAMP()
  WHERE tenant = @tenant AND generation = @generation;
  IF @@row_count != 1 THEN RAISE USING MESSAGE = '{MOVED}'; END IF;
  {" ".join(f"{change};" for change in changes)}
  COMMIT TRANSACTION;
EXCEPTION WHEN ERROR THEN
  ROLLBACK TRANSACTION;
  RAISE USING MESSAGE = @@error.message;
END;"""  # noqa: S608


def merge(path: Path, table: Table, stage: str, bounded: bool) -> str:
    """Bring a stage's rows into their table; a row that is there stays one row.

    Args:
        bounded: the stage's days are ``@first_<table>`` to ``@last_<table>``, and no other is read.
    """
    columns = [column.name for column in table.columns]
    days = (
        f" AND t.{table.partition} BETWEEN @first_{table.name} AND @last_{table.name}"
        if bounded
        else ""
    )
    return f"""MERGE {path(table.name)} AS t USING {path(stage)} AS s
  ON t.tenant = s.tenant AND t.{table.number} = s.{table.number} AND t.tenant = @tenant{days}
  WHEN MATCHED THEN UPDATE SET {", ".join(f"{name} = s.{name}" for name in columns)}
  WHEN NOT MATCHED THEN INSERT ({", ".join(columns)})
    VALUES ({", ".join(f"s.{name}" for name in columns)})"""  # noqa: S608


def repair(path: Path, table: Table, stage: str) -> str:
    """Make the blocks ``@blocks_<table>``, up to the watermark, what the stage says of them."""
    return f"""{merge(path, table, stage, bounded=False)}
  WHEN NOT MATCHED BY SOURCE AND t.tenant = @tenant AND t.{table.number} <= @{table.watermark}
    AND t.{table.number} - MOD(t.{table.number}, {BLOCK}) IN UNNEST(@blocks_{table.name})
    THEN DELETE"""


def forget(path: Path) -> list[str]:
    """Delete everything of the tenant."""
    return [
        f"DELETE FROM {path(table.name)} WHERE tenant = @tenant"  # noqa: S608
        for table in MIRRORED
    ]


def blocks(path: Path, table: Table) -> str:
    """What the rows of each block amount to; see ``log_rows.blocks_of``."""
    row = "0"
    for column in table.summed:
        row = f"({row} * {FACTOR} + MOD({_code(column)}, {CODES}))"
    length = f"SUM(LENGTH({table.changing}))" if table.changing else "0"
    place = f"MOD({table.number}, {BLOCK})"
    return (
        f"SELECT {table.number} - {place} AS block, COUNT(*) AS found, "  # noqa: S608
        f"SUM({row} * ({place} + 1)) AS codes, {length} AS size "
        f"FROM {path(table.name)} WHERE tenant = @tenant AND {table.number} <= @upto GROUP BY block"
    )


def _code(column: Column) -> str:
    if column.kind is Kind.BOOL:
        return f"CASE WHEN {column.name} THEN 1 ELSE 0 END"
    if column.kind is Kind.TIMESTAMP:
        return f"UNIX_MICROS({column.name})"
    code = f"ASCII(SUBSTR({column.name}, 1, 1))"
    for place in (2, 3, 4):
        code = f"({code} * 256 + ASCII(SUBSTR({column.name}, {place}, 1)))"
    return code
