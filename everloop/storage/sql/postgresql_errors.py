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
    state, said = problem.sqlstate or "", _one_line(problem)
    if _is_gone(problem):
        return ShouldRetryLater(
            f"{name} does not answer ({said}).",
            "Start its server or correct the database URL, then send the same again.",
        )
    for states, error, happened, remedy in _MEANINGS:
        if state in states:
            return error(f"{name} {happened} ({said}).", remedy)
    return None


def _is_gone(problem: psycopg.Error) -> bool:
    if problem.sqlstate is None:
        return isinstance(problem, psycopg.OperationalError)
    return problem.sqlstate in _GONE or problem.sqlstate[:2] in _GONE_CLASSES


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split())
