"""What a ledger does with its journal: follow it, learn from it, and pay for what it cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from everloop.contracts.errors import ShouldFixArgument, ShouldKeepRelease
from everloop.contracts.ledger_ports import LedgerTransaction
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import LedgerRow, Recovered, ReleaseRequest, mechanism_from
from everloop.privacy import recovery
from everloop.privacy.admission import Promise, promise_of, promised
from everloop.privacy.ledger_journal import LedgerJournal
from everloop.privacy.ledger_rows import LedgerRows

_NO_DATASET = "lost"


def follow(journal: LedgerJournal | None, ledger: LedgerTransaction) -> None:
    """Have the journal follow a ledger that keeps one; see ``LedgerJournal.follow``."""
    if journal is not None:
        journal.follow(ledger)


def recover(
    journal: LedgerJournal | None, ledger: LedgerTransaction, exists: recovery.Exists
) -> Recovered:
    """Charge what the journal says was spent and the ledger lacks; see ``Ledger.recover``."""
    if journal is None:
        raise ShouldFixArgument("This ledger keeps no journal.", "Open it as a workspace.")
    journal.require_own(ledger)
    if journal.can_follow(ledger):
        journal.follow(ledger)
    done = recovery.replayed(ledger, journal.history(), exists)
    if not done.waits_for_key:
        journal.adopt(ledger)
    return done


def require_rename(journal: LedgerJournal | None, ledger: LedgerTransaction, key: str) -> None:
    """Refuse to rename the people of a restored ledger to another key than its journal goes on with.

    Args:
        key: fingerprint of the new pseudonym key.

    Raises:
        ShouldFixArgument: it is another one, or there is something to recover before.
        ShouldRepairLedger: the journal cannot be trusted.
    """
    if journal is None or journal.is_empty():
        return
    if journal.can_follow(ledger):
        journal.follow(ledger)
        return
    following = recovery.next_key(ledger, journal.history())
    if following is None:
        raise ShouldFixArgument(
            "This restored ledger lacks what its journal has.",
            "Run `everloop privacy recover` before its people are renamed.",
        )
    if following != key:
        raise ShouldFixArgument(
            f"The journal of this restored ledger goes on with the pseudonym key {following}, not {key}.",
            "Put that key into EVERLOOP_PSEUDONYM_KEY_NEXT.",
        )


def charge_everyone(
    writer: LedgerRows,
    ledger: LedgerTransaction,
    journal: LedgerJournal | None,
    rows: tuple[LedgerRow, ...],
    loops: Mapping[str, LoopSpec],
    since: date,
    until: date,
) -> tuple[LedgerRow, ...]:
    """Charge everyone for lost nights, once; see ``Ledger.charge_everyone``."""
    if journal is not None and not journal.is_empty():
        raise ShouldFixArgument(
            f"There is a journal at {journal.address}.",
            "Run `everloop privacy recover` without --charge-everyone-since; move a damaged journal "
            "away first.",
        )
    if not loops:
        raise ShouldFixArgument("No loop is named.", "Name every loop that may have run.")
    unnamed = sorted({row.pipeline for row in rows} - loops.keys())
    if unnamed:
        raise ShouldFixArgument(
            f"The ledger has releases of {', '.join(unnamed)}, of which no loop is named.",
            "Name every loop and tenant at once: everyone pays for each.",
        )
    made = []
    for pipeline, spec in sorted(loops.items()):
        own = [row for row in rows if row.pipeline == pipeline]
        price = recovery.worst_case_mu_squared(spec, own, since, until)
        request = ReleaseRequest(
            pipeline=pipeline,
            logical_date=until,
            stage=recovery.LOST_STAGE,
            configuration_sha256=recovery.lost_configuration(since, until),
            dataset_id=_NO_DATASET,
            mechanism=recovery.lost_mechanism(price),
        )
        before = [
            row
            for row in recovery.lost_rows(own)
            if (row.logical_date, row.configuration_sha256) == (until, request.configuration_sha256)
        ]
        made.append(
            before[0]
            if before
            else _charged(writer, ledger, request, ledger.people(), promise_of(spec.privacy), price)
        )
    if journal is not None:
        journal.start(ledger)
    return tuple(made)


def settle_lost(
    writer: LedgerRows,
    ledger: LedgerTransaction,
    rows: tuple[LedgerRow, ...],
    on: date,
    offered: tuple[str, ...],
) -> tuple[LedgerRow, ...]:
    """Refuse dates whose spending was lost; charge for them whoever is met for the first time.

    Somebody who first came in those nights is unknown to a restored ledger, and may have lost as much as
    anybody.

    Args:
        on: date of a release.
        offered: whom it is for.

    Returns:
        Every row of the ledger.

    Raises:
        ShouldKeepRelease: nothing is released for this date any more.
    """
    lost = recovery.lost_rows(rows)
    closed = max((row.logical_date for row in lost), default=date.min)
    if lost and on <= closed:
        raise ShouldKeepRelease(
            f"What was spent up to {closed} was lost, and everyone was charged the most for it.",
            f"Use the last release, or a date after {closed}.",
        )
    known = ledger.numbers(offered)
    strangers = tuple(person for person in offered if person not in known)
    owed = recovery.still_owed(rows, on)
    if not owed or not strangers:
        return rows
    for row in owed:
        promise = promised(row) or Promise(1.0, row.delta, 1)
        told = sum(1 for one in ledger.rows() if recovery.is_lost(one))
        request = ReleaseRequest(
            pipeline=row.pipeline,
            logical_date=row.logical_date,
            stage=f"{recovery.LOST_STAGE}-{told + 1}",
            configuration_sha256=recovery.lost_configuration(row.logical_date, on, told + 1),
            dataset_id=row.dataset_id,
            mechanism=mechanism_from(row.mechanism),
        )
        _charged(writer, ledger, request, strangers, promise, row.mu_squared)
    return tuple(ledger.rows())


def _charged(
    writer: LedgerRows,
    ledger: LedgerTransaction,
    request: ReleaseRequest,
    people: tuple[str, ...],
    promise: Promise,
    mu_squared: float,
) -> LedgerRow:
    row = writer.charge(ledger, request, people, promise, mu_squared)
    ledger.seal(row.release_id, recovery.RECOVERED_SEED)
    return row
