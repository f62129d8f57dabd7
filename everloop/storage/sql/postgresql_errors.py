"""PostgreSQL's errors, named by their remedy."""

from __future__ import annotations

import psycopg

from everloop.contracts.errors import (
    EverloopError,
    ShouldFreeDisk,
    ShouldInitWorkspace,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)

_GONE = ("57P01", "57P02", "57P03", "57P05", "25006", "53200", "53300", "53400")
# Stopped, crashed, starting, idle too long, a standby that took the address over, out of memory or
# of connections.
_GONE_CLASSES = ("08",)
_MEANINGS: tuple[tuple[tuple[str, ...], type[EverloopError], str, str], ...] = (
    (
        ("53100",),
        ShouldFreeDisk,
        "has no room to write",
        "Free disk space on its server and repeat: nothing of this was stored.",
    ),
    (
        ("40001", "40P01", "55P03", "57014"),
        ShouldRetryLater,
        "was busy",
        "Repeat: nothing of this was stored.",
    ),
    (
        ("XX001", "XX002"),
        ShouldRestoreArtefact,
        "is damaged",
        "Restore it from a backup; do not drop it, it holds the privacy ledger.",
    ),
    (
        ("42501",),
        ShouldInitWorkspace,
        "does not let its user do this",
        "Make the user of the database URL the owner of the database.",
    ),
)


def named(problem: BaseException, name: str) -> EverloopError | None:
    """The error of ours that says what to do, or ``None`` where the statement itself was wrong.

    Args:
        problem: what the driver raised.
        name: what to call the database in the message.
    """
    if not isinstance(problem, psycopg.Error):
        return None
    lost = isinstance(problem, psycopg.OperationalError)
    return named_state(problem.sqlstate, lost, problem, name)


def named_state(state: str | None, lost: bool, said: object, name: str) -> EverloopError | None:
    """The same for any driver.

    Args:
        state: SQLSTATE, ``None`` when no answer came.
        lost: whether a missing answer means that there is no connection.
        said: the driver's words; without a password.
        name: what to call the database in the message.
    """
    words = " ".join(str(said).split())
    if lost if state is None else state in _GONE or state[:2] in _GONE_CLASSES:
        return ShouldRetryLater(
            f"{name} does not answer ({words}).",
            "Start its server or correct the database URL, then send the same again.",
        )
    for states, error, happened, remedy in _MEANINGS:
        if state in states:
            return error(f"{name} {happened} ({words}).", remedy)
    return None
