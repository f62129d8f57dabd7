"""A restored ledger learns what was spent since its backup: from its journal, or by the worst case.

Replaying charges exactly whom the journal says was charged. Noise seeds are not in a journal, so that a
reservation that comes back unfinished stays charged and is never computed: its noise may have been seen,
and another for the same charge would be a second release.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from everloop.contracts.errors import ShouldFixArgument, ShouldRepairLedger
from everloop.contracts.ledger_ports import LedgerTransaction
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import GaussianMechanism, LedgerRow, Recovered, ReleaseStatus
from everloop.privacy import plan
from everloop.privacy.journal_records import History, RenamedAll, Reserved, Spent
from everloop.privacy.ledger_journal import head_of

LOST = "lost:"
"""Before the address of an output that did not come back with its row."""

LOST_STAGE = "lost"
"""The stage of charges for nights whose spending nothing remembers."""

RECOVERED_SEED = b""
"""In place of the seed of a reservation that came back without it."""

Exists = Callable[[str, str], bool]
"""(url, sha256) -> whether an output is there."""


def replayed(ledger: LedgerTransaction, history: History, exists: Exists) -> Recovered:
    """Append what a journal has and the ledger lacks, in one transaction; idempotent.

    Raises:
        ShouldRepairLedger: the ledger is not a part of the journal's history, or its people have other
            numbers.
    """
    entries, states, head = history.entries, history.heads(), head_of(ledger)
    if history.waits_for_base(head):
        return Recovered(
            found_outputs=_found_again(ledger, exists), waits_for_key=history.base.pseudonym_key
        )
    if head not in states:
        raise ShouldRepairLedger(
            f"The privacy ledger's row {head.sequence} is not one of the journal's: they tell other "
            "histories.",
            "Name the right journal in EVERLOOP_LEDGER_JOURNAL, or restore the right backup.",
        )
    start = states.index(head)
    names: dict[int, str] = {}
    for entry in entries[:start]:
        names |= entry.new if isinstance(entry, Reserved) else {}
    done = Recovered(found_outputs=_found_again(ledger, exists))
    for entry in entries[start:]:
        match entry:
            case Reserved():
                names |= entry.new
                _charge(ledger, entry, names)
                done = replace(done, rows=done.rows + 1, charged=done.charged + entry.row.people)
            case Spent():
                done = replace(_complete(ledger, entry, exists, done), rows=done.rows + 1)
            case RenamedAll():
                return replace(done, waits_for_key=entry.pseudonym_key)
    return done


def _charge(ledger: LedgerTransaction, entry: Reserved, names: dict[int, str]) -> None:
    first = ledger.first_known_as(ledger.people())
    now = {name: person for person, name in first.items()}
    missing = [number for number in entry.numbers if number not in names]
    if missing:
        raise _other_people(entry.row, f"person {missing[0]} was never named")
    people = {number: now.get(names[number], names[number]) for number in entry.numbers}
    row = entry.row
    ledger.append(row)
    ledger.charge(tuple(people.values()), row.release_id, row.logical_date, row.mu_squared)
    numbers = ledger.numbers(tuple(people.values()))
    wrong = [number for number, person in people.items() if numbers[person] != number]
    if wrong:
        raise _other_people(row, f"person {wrong[0]} has another number here")
    ledger.seal(row.release_id, RECOVERED_SEED)


def _other_people(row: LedgerRow, problem: str) -> ShouldRepairLedger:
    return ShouldRepairLedger(
        f"The journal's row {row.sequence} does not fit this ledger's people: {problem}.",
        "Name the right journal in EVERLOOP_LEDGER_JOURNAL, or restore the right backup.",
    )


def _complete(
    ledger: LedgerTransaction, entry: Spent, exists: Exists, done: Recovered
) -> Recovered:
    ledger.append(entry.row)
    ledger.unseal(entry.row.release_id)
    url = entry.url
    if not exists(url.removeprefix(LOST), entry.sha256):
        url = f"{LOST}{url.removeprefix(LOST)}"
        done = replace(done, lost_outputs=(*done.lost_outputs, entry.row.release_id))
    ledger.store_output(entry.row.release_id, url, entry.sha256)
    return done


def _found_again(ledger: LedgerTransaction, exists: Exists) -> tuple[str, ...]:
    found = []
    for release_id in sorted(ledger.finished()):
        url, sha256 = ledger.output(release_id) or ("", "")
        if url.startswith(LOST) and exists(url.removeprefix(LOST), sha256):
            ledger.store_output(release_id, url.removeprefix(LOST), sha256)
            found.append(release_id)
    return tuple(found)


def worst_case_mu_squared(
    spec: LoopSpec, history: Sequence[LedgerRow], since: date, until: date
) -> float:
    """The most mu^2 that a loop's releases, of which nothing remembers any, can have cost anybody.

    A release is made for a date and not on it, so that any date up to ``until`` may have been caught up
    with: each that the ledger has no row of counts, from ``since`` or the pipeline's first row on, whatever
    is earlier. Of a pipeline without a row it is every date of the period. A stage's release is as dear as
    the specification has it, or any promise or price of the ledger's rows, whatever is more; it is a first
    one for as long as none was ever completed. Nobody can have lost more than the budget of a period.

    Args:
        spec: the loosest under which a release may have been made.
        history: rows of the pipeline, oldest first.

    Raises:
        ShouldFixArgument: the dates are in the wrong order, span more than a period, or end before the
            ledger does.
    """
    nights = (until - since).days + 1
    if not 1 <= nights <= spec.privacy.period_days:
        raise ShouldFixArgument(
            f"{since} to {until} are {nights} days, which is not within 1.."
            f"{spec.privacy.period_days}.",
            "Begin with the day of the backup that was restored.",
        )
    last = max((row.logical_date for row in history), default=until)
    if last > until:
        raise ShouldFixArgument(
            f"The ledger has a release of {last}, after {until}: later ones may be lost, too.",
            f"End with the last day of which something may have been released, {last} or later.",
        )
    terms = _terms(spec, history)
    longest = max(one.privacy.period_days for one in terms)
    earliest = until - timedelta(days=longest - 1)
    if history:
        earliest = max(earliest, min(since, *(row.logical_date for row in history)))
    total = sum(_most_of_a_stage(terms, stage, history, earliest, until) for stage in plan.STAGES)
    return min(max(plan.budget_mu_squared(one.privacy) for one in terms), total)


def _terms(spec: LoopSpec, history: Sequence[LedgerRow]) -> tuple[LoopSpec, ...]:
    """The specification, and what it would be under each promise that rows were charged under."""
    promises = {
        (row.epsilon, row.delta, row.period_days)
        for row in history
        if row.epsilon is not None and row.period_days is not None
    }
    return (
        spec,
        *(
            spec.model_copy(
                update={
                    "privacy": spec.privacy.model_copy(
                        update={"epsilon": epsilon, "delta": delta, "period_days": days}
                    )
                }
            )
            for epsilon, delta, days in promises
        ),
    )


def _most_of_a_stage(
    terms: Sequence[LoopSpec],
    stage: str,
    history: Sequence[LedgerRow],
    earliest: date,
    until: date,
) -> float:
    own = [row for row in history if row.stage == stage]
    completed = [row for row in own if row.status is ReleaseStatus.SPENT]
    first = not completed
    later = own if first else [row for row in own if row.sequence > completed[0].sequence]
    price = max(
        [
            *(row.mu_squared for row in later),
            *(
                plan.night_mu_squared(one, stage, first=kind)
                for one in terms
                for kind in {False, first}
            ),
        ]
    )
    days = range((until - earliest).days + 1)
    dates = (earliest + timedelta(days=day) for day in days)
    return price * sum(
        all(plan.served_by(one.privacy, stage, on, own) is None for one in terms)
        for on in dates
        if not any(row.logical_date == on for row in own)
    )


def lost_mechanism(mu_squared: float) -> GaussianMechanism:
    """The mechanism of a charge for lost nights: it costs just that."""
    return GaussianMechanism(sigma=1.0 / math.sqrt(mu_squared), clip=1.0, steps=1)


def is_lost(row: LedgerRow) -> bool:
    """Whether a row charges for nights whose spending nothing remembers."""
    return row.stage == LOST_STAGE or row.stage.startswith(f"{LOST_STAGE}-")


def lost_rows(rows: Sequence[LedgerRow]) -> tuple[LedgerRow, ...]:
    """The charges of everyone for lost nights, oldest first."""
    return tuple(row for row in rows if row.stage == LOST_STAGE)


def still_owed(rows: Sequence[LedgerRow], on: date) -> tuple[LedgerRow, ...]:
    """Charges for lost nights that whoever is first met on a date has to take on, too."""
    return tuple(
        row
        for row in lost_rows(rows)
        if row.logical_date + timedelta(days=row.period_days or 0) > on
    )


def lost_configuration(since: date, until: date, part: int = 0) -> str:
    """What stands in place of a configuration's checksum in a charge for lost nights."""
    told = f"lost|{since.isoformat()}|{until.isoformat()}|{part}"
    return hashlib.sha256(told.encode()).hexdigest()


def next_key(ledger: LedgerTransaction, history: History) -> str | None:
    """Fingerprint of the pseudonym key that a restored ledger's people get next; None for a row."""
    states, head = history.heads(), head_of(ledger)
    if history.waits_for_base(head):
        return history.base.pseudonym_key
    if head not in states[:-1]:
        return None
    entry = history.entries[states.index(head)]
    return entry.pseudonym_key if isinstance(entry, RenamedAll) else None
