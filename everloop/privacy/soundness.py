"""Does a ledger's storage agree with its rows? Whatever disagrees stops every release."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import date

import numpy as np

from everloop.contracts.errors import ShouldRepairLedger
from everloop.contracts.ledger_ports import LedgerTransaction
from everloop.contracts.privacy import LedgerRow, ReleaseStatus
from everloop.privacy.chain import broken, check_chain
from everloop.privacy.spending import releases_of

_RELATIVE = 1e-9
"""Relative difference allowed between two float sums of the same charges."""
_REMEDY = "Restore the ledger from a backup; no release is made until it verifies."


def sound_rows(ledger: LedgerTransaction) -> tuple[LedgerRow, ...]:
    """Every row, after checking the chain, the charges of each release and its output."""
    rows = tuple(ledger.rows())
    newest = check_chain(rows)
    charges = ledger.charges_by_release()
    stray = sorted(set(charges) - set(newest))
    if stray:
        raise ShouldRepairLedger(
            f"Release {stray[0]} is charged to {charges[stray[0]][0]} people but has no ledger row.",
            _REMEDY,
        )
    finished = ledger.finished()
    for release_id, row in newest.items():
        people, mu_squared = charges.get(release_id, (0, 0.0))
        if people != row.people:
            raise broken(row, f"covers {row.people} people, but {people} are charged")
        if not _close(mu_squared, row.people * row.mu_squared):
            raise broken(
                row,
                f"costs mu^2 {row.people * row.mu_squared:.6g} in all, but {mu_squared:.6g} is charged",
            )
        if (release_id in finished) != (row.status is ReleaseStatus.SPENT):
            raise broken(row, "lost its completion: output and status disagree")
    return rows


def check_people(
    ledger: LedgerTransaction,
    rows: Iterable[LedgerRow],
    commits: Callable[[LedgerRow, Iterable[str]], bool],
) -> None:
    """Check who was charged against the commitments, and every person's sums against the rows.

    Args:
        ledger: of the transaction that read ``rows``.
        rows: every row.
        commits: whether a row is committed to people, by the names that they were first known by.

    Raises:
        ShouldRepairLedger: naming the first bad row, or the person whose sums are wrong.
    """
    first = ledger.first_known_as(ledger.people())
    everyone = sorted(first, key=first.__getitem__)
    names = np.array([first[person] for person in everyone], dtype=np.str_)
    releases = releases_of(tuple(rows))
    owed = np.zeros(len(everyone))
    charged = ledger.participation(everyone, [row.release_id for row in releases])
    for row, paid in zip(releases, charged, strict=True):
        if not commits(row, names[paid].tolist()):
            raise broken(row, "is charged to other people than it committed to")
        owed += paid * row.mu_squared
    within, totals = ledger.spent(everyone, date.min, date.max)
    for person, expected in zip(everyone, owed.tolist(), strict=True):
        sums = (within.get(person, 0.0), totals.get(person, 0.0))
        if not all(_close(expected, found) for found in sums):
            raise ShouldRepairLedger(
                f"Person {person[:12]} was charged mu^2 {expected:.6g} by the ledger's rows, "
                f"but {sums[0]:.6g} by charge and {sums[1]:.6g} in total.",
                _REMEDY,
            )


def output_of(ledger: LedgerTransaction, row: LedgerRow) -> tuple[str, str]:
    output = ledger.output(row.release_id)
    if output is None:
        raise broken(row, "is spent but its output's address is missing")
    return output


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_RELATIVE, abs_tol=1e-15)
