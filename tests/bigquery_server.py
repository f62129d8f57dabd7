"""The BigQuery emulator's process: run by ``.venv-bigquery``'s Python, with two repairs.

The emulator's MERGE asks whether it is inside a transaction by trying to begin one. It was written for
a DuckDB that forgives this; ours gives the whole transaction up. now() is when the transaction began, so
that asking repeatedly tells the same and harms nothing.

It looks whether a job's id is taken and then takes it: of two requests at once one met its database's own
refusal (400) where BigQuery answers that the job exists (409). Requests that make jobs take turns here.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import duckdb
from local_bigquery import cli
from local_bigquery.jobs import merge, runner

_merge = merge.run
_submit = runner.submit
_turn = threading.Lock()


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


def _in_turn(*arguments: Any, **named: Any) -> Any:
    with _turn:
        return _submit(*arguments, **named)


if __name__ == "__main__":
    merge.run = _run
    runner.submit = _in_turn
    cli.main(sys.argv[1:])
