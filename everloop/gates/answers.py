"""Making a ``Check``: its answers, and numbers as they appear in reasons."""

from __future__ import annotations

import math

from everloop.contracts.evaluation import Check, CheckStatus


def passed(
    name: str, reason: str, value: float | None = None, threshold: float | None = None
) -> Check:
    return Check(name, CheckStatus.PASSED, reason, value, threshold)


def failed(
    name: str, reason: str, value: float | None = None, threshold: float | None = None
) -> Check:
    return Check(name, CheckStatus.FAILED, reason, value, threshold)


def insufficient(
    name: str, reason: str, value: float | None = None, threshold: float | None = None
) -> Check:
    return Check(name, CheckStatus.INSUFFICIENT, reason, value, threshold)


def waits(
    name: str, reason: str, value: float | None = None, threshold: float | None = None
) -> Check:
    """Not enough evidence, and a person may decide."""
    return Check(name, CheckStatus.INSUFFICIENT, reason, value, threshold, person_decides=True)


def number(value: float) -> str:
    """Three significant digits, thousands separated, no exponent."""
    if not math.isfinite(value):
        return "not known" if math.isnan(value) else f"{value}"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 8)}f}"


def interval(low: float, high: float) -> str:
    return f"[{number(low)}, {number(high)}]"


def count(n: int, one: str, many: str = "") -> str:
    """``1 person``, ``2 people``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
