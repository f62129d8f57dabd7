"""What one person's privacy has cost, as figures and in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date

from everloop.contracts.ledger_ports import LedgerTransaction
from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.privacy import LedgerRow, Statement, StatementEntry
from everloop.privacy.admission import period_start, promise_of, promised
from everloop.privacy.outlook import epsilon_together
from everloop.privacy.spending import releases_of

STAGE_WORDS = {
    "user_model": "a model of how people respond",
    "profiles": "statistics for made-up people",
    "quality": "figures on how true the made-up people are",
}


def statement_of(
    ledger: LedgerTransaction, rows: Sequence[LedgerRow], person: str, on: date
) -> Statement | None:
    """A person's statement up to a date; None for one who was never charged.

    The promise is the strictest that any of the releases was made under: the least epsilon, then the
    least delta, then the longest period.
    """
    past = releases_of(rows, lambda d: d <= on)
    charged = ledger.participation((person,), [row.release_id for row in past])
    mine = [row for row, (took_part,) in zip(past, charged, strict=True) if took_part]
    if not mine:
        return None
    made = {found for row in mine if (found := promised(row)) is not None}
    promise = min(
        made or {promise_of(PrivacySpec())}, key=lambda p: (p.epsilon, p.delta, -p.period_days)
    )
    start = period_start(on, promise.period_days)
    inside = [row for row in mine if row.logical_date > start]
    tonight = [row for row in mine if row.logical_date == on]
    return Statement(
        on=on,
        epsilon_budget=promise.epsilon,
        delta=promise.delta,
        period_days=promise.period_days,
        epsilon_tonight=epsilon_together(tonight, promise.delta),
        epsilon_period=epsilon_together(inside, promise.delta),
        epsilon_total=epsilon_together(mine, promise.delta),
        entries=tuple(
            StatementEntry(
                row.logical_date,
                row.pipeline,
                row.stage,
                row.release_id,
                epsilon_together([row], promise.delta),
            )
            for row in sorted(mine, key=lambda r: (r.logical_date, r.sequence))
        ),
    )


def in_words(statement: Statement) -> Iterator[str]:
    """The statement in plain words, a paragraph a line."""
    yield (
        f"Up to {statement.on}, what you did here was part of {len(statement.entries)} computations "
        "whose results others may see. Each result was blurred with noise before it was stored, so "
        "that nobody can tell from it whether you took part at all, except with a small and limited "
        "gain, which is counted as epsilon."
    )
    yield (
        f"You were promised no more than epsilon {statement.epsilon_budget:g} in any "
        f"{statement.period_days} days (with delta {statement.delta:g}, the chance that the limit does "
        "not hold)."
    )
    yield (
        f"On {statement.on} itself: epsilon {statement.epsilon_tonight:.4g}. In the "
        f"{statement.period_days} days that end then: {statement.epsilon_period:.4g}. Since you were "
        f"first counted: {statement.epsilon_total:.4g}."
    )
    yield (
        "What it means: whatever someone believed about you before, having seen every one of these "
        f"results they may change the odds at most {_factor(statement.epsilon_period):.3g}-fold by what "
        f"came out in that period, and at most {_factor(statement.epsilon_total):.3g}-fold by "
        "everything since the beginning."
    )
    yield (
        "Once your part of a period is used up you are left out until older computations are further "
        "back than the period. Erasing your data does not give it back, since the results stay out."
    )
    for entry in statement.entries:
        what = STAGE_WORDS.get(entry.stage, entry.stage)
        yield f"{entry.logical_date}  {what} ({entry.pipeline}): epsilon {entry.epsilon:.4g}"


def _factor(epsilon: float) -> float:
    return math.exp(min(epsilon, 700.0))
