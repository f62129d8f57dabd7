"""One cell of a file as a typed value, or ``BadCell`` with the column, the value and the fix."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from everloop.contracts.episodes import Json
from everloop.intake.mapping import TimeFormat


class BadCell(Exception):
    """A cell that cannot be used; caught by the import, which writes it to the rejects file."""

    def __init__(self, column: str | None, value: Any, problem: str, fix: str) -> None:
        super().__init__(f"{column}: {problem}")
        self.column = column
        self.value = value
        self.problem = problem
        self.fix = fix


def is_blank(value: Any) -> bool:
    """True for null and for text of nothing but spaces."""
    return value is None or (isinstance(value, str) and not value.strip())


def text_of(value: Any) -> str:
    """A scalar as text: trimmed; true and false in lower case; 3.0 as 3."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def number(column: str | None, value: Any) -> float:
    """A finite number; true is 1 and false 0."""
    try:
        if isinstance(value, str) and "_" in value:
            raise ValueError
        if not isinstance(value, str | int | float | Decimal):
            raise TypeError
        parsed = float(value)
    except (ValueError, TypeError, OverflowError):
        raise BadCell(column, value, "is not a number", "Write a plain decimal number.") from None
    if not math.isfinite(parsed):
        raise BadCell(
            column, value, "is not finite", "Leave the cell empty where there is no value."
        )
    return parsed


def moment(column: str | None, value: Any, written: TimeFormat) -> datetime:
    """A moment in UTC."""
    try:
        if written is TimeFormat.RFC3339:
            parsed = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())
        else:
            scale = 1000.0 if written is TimeFormat.EPOCH_MS else 1.0
            parsed = datetime.fromtimestamp(number(column, value) / scale, UTC)
    except (ValueError, AttributeError, OverflowError, OSError):
        raise BadCell(
            column,
            value,
            f"is not a moment in format {written}",
            "Correct it, or set format: rfc3339, epoch_s or epoch_ms.",
        ) from None
    if parsed.tzinfo is None:
        raise BadCell(
            column, value, "has no time zone", "Write the offset: 2026-03-01T08:00:00+00:00."
        )
    return parsed.astimezone(UTC)


def listing(column: str | None, value: Any) -> list[Json]:
    """A list: as it is, from JSON text, or from text separated by ``|``."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        raise BadCell(column, value, "is not a list", "Write a JSON list, or values split by |.")
    if not value.lstrip().startswith("["):
        return [part.strip() for part in value.split("|")]
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        raise BadCell(column, value, "is not a JSON list", "Correct the JSON.") from None
    return list(parsed)
