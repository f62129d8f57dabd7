"""Whether a failed commit is the fault of what was to be stored, or of where."""

from __future__ import annotations

import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError, StatementError

_OF_DATA = (
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    # ProgrammingError is what both drivers call a value of a type that they can't store.
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.ProgrammingError,
)


def is_of_data(problem: BaseException) -> bool:
    """Whether other rows could be stored in spite of it; else nothing can be at the moment."""
    if isinstance(problem, DBAPIError):
        return isinstance(problem.orig, _OF_DATA)
    return isinstance(problem, (*_OF_DATA, StatementError))
