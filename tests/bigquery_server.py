"""The BigQuery emulator's process: run by ``.venv-bigquery``'s Python, with one repair.

The emulator's MERGE asks whether it is inside a transaction by trying to begin one. It was written for
a DuckDB that forgives this; ours gives the whole transaction up. now() is when the transaction began, so
that asking repeatedly tells the same and harms nothing.
"""

from __future__ import annotations

import sys
from typing import Any

import duckdb
from local_bigquery import cli
from local_bigquery.jobs import merge

_merge = merge.run


class _Inside:
    """A cursor within a transaction, which cannot begin another."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, *bound: Any) -> Any:
        if sql == "BEGIN":
            raise duckdb.TransactionException("inside a transaction")
        return self._cursor.execute(sql, *bound)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def _run(cursor: Any, *arguments: Any) -> Any:
    began = {cursor.execute("SELECT epoch_us(now())").fetchone() for _ in range(3)}
    return _merge(_Inside(cursor) if len(began) == 1 else cursor, *arguments)


if __name__ == "__main__":
    merge.run = _run
    cli.main(sys.argv[1:])
