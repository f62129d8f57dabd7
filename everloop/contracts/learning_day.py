"""Which day a run is for, of what a graph's parameters say."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from everloop.contracts.errors import ShouldFixArgument

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNFILLED = re.compile(r"\{\{.*\}\}|\[\[.*\]\]")
_FIX = "Give a day as YYYY-MM-DD, or nothing on Kubeflow Pipelines 2.17 and later."


def learning_day(logical_date: str, scheduled: str = "") -> date:
    """The day that a run learns for.

    Args:
        logical_date: YYYY-MM-DD means itself; a moment (ISO 8601, UTC if it names no zone) means the last
            day that had ended by then, in UTC; empty means the same of ``scheduled``.
        scheduled: the moment that a run was scheduled for, as Kubeflow fills it in.

    Raises:
        ShouldFixArgument: neither says a day; a place that Kubeflow did not fill in says none.
    """
    text = logical_date.strip() or scheduled.strip()
    if not text or _UNFILLED.search(text):
        raise ShouldFixArgument(
            f"No day to learn for: logical_date is empty, and the scheduled moment is {text!r}."
            if not logical_date.strip()
            else f"logical_date={logical_date!r} was not filled in.",
            _FIX,
        )
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ShouldFixArgument(f"{text!r} is neither a day nor a moment.", _FIX) from None
    return last_ended(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def last_ended(moment: datetime) -> date:
    """The last day, in UTC, that had ended by a moment; a day ends as the next begins."""
    try:
        return moment.astimezone(UTC).date() - timedelta(days=1)
    except OverflowError:
        raise ShouldFixArgument(f"{moment} is no moment that ends a day.", _FIX) from None
