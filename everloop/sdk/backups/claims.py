"""Whoever makes a backup and whoever prunes keep out of one another's way.

Each says that it is at work before it looks for the other, so that of two at once one sees the other at
least. Work that was cut short by a kill stops others only until it is stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from everloop.contracts.backups import BackupPlace
from everloop.contracts.errors import ShouldRetryLater, ShouldWaitForWorker

_PRUNING = "pruning-"
_STAMP = "%Y%m%dT%H%M%S%fZ"
_MAKING_STALE = timedelta(hours=24)
"""A backup that has been in the making for longer was killed, or is told that it took too long."""
_PRUNING_STALE = timedelta(hours=1)
_LOOK = timedelta(minutes=30)
"""How long a pruner may delete by what it saw: much less than until its claim is stale."""


def backup_id_of(moment: datetime) -> str:
    """The id of a backup that begins at a moment, UTC; ids sort as moments do."""
    return f"{moment:{_STAMP}}"


@contextmanager
def making(place: BackupPlace, backup_id: str) -> Iterator[None]:
    """Nobody prunes what is found within the block.

    Raises:
        ShouldWaitForWorker: somebody prunes; nothing was done.
    """
    with _claimed(place, backup_id):
        for claim in place.claims():
            if claim.startswith(_PRUNING) and not _is_stale(place, claim, _PRUNING_STALE):
                raise ShouldWaitForWorker(
                    f"Backups at {place.address} are being pruned, or pruning was cut short.",
                    f"Repeat when that is done, or after {_until(claim, _PRUNING_STALE)} UTC.",
                )
        yield


def require_made(place: BackupPlace, backup_id: str) -> None:
    """``ShouldRetryLater`` when a pruner took the backup's claim for stale, and its manifest is deleted.

    Asked once the manifest is there: who dismisses the claim after this sees the manifest.
    """
    if backup_id not in place.claims():
        place.delete_manifest(backup_id)
        raise ShouldRetryLater(
            f"Backup {backup_id} took more than {_MAKING_STALE.total_seconds() / 3600:.0f} hours, and "
            "others pruned meanwhile what it counts on.",
            "Repeat it: what is there is not copied again.",
        )


@contextmanager
def pruning(place: BackupPlace) -> Iterator[datetime]:
    """No backup is begun within the block; until when it may delete, UTC.

    Raises:
        ShouldWaitForWorker: a backup is being made; nothing was done.
    """
    now = datetime.now(UTC)
    with _claimed(place, f"{_PRUNING}{backup_id_of(now)}"):
        for claim in place.claims():
            if not claim.startswith(_PRUNING) and not _is_stale(place, claim, _MAKING_STALE):
                raise ShouldWaitForWorker(
                    f"Backup {claim} is being made at {place.address}, or was cut short.",
                    f"Prune when it is done, or after {_until(claim, _MAKING_STALE)} UTC.",
                )
        yield now + _LOOK


@contextmanager
def _claimed(place: BackupPlace, claim: str) -> Iterator[None]:
    place.claim(claim)
    try:
        yield
    except BaseException:
        with suppress(Exception):  # what went wrong first is what is told
            place.release(claim)
        raise
    place.release(claim)


def _is_stale(place: BackupPlace, claim: str, age: timedelta) -> bool:
    stale = datetime.now(UTC) - _began(claim) >= age
    if stale:
        place.release(claim)
    return stale


def _began(claim: str) -> datetime:
    return datetime.strptime(claim.removeprefix(_PRUNING), _STAMP).replace(tzinfo=UTC)


def _until(claim: str, age: timedelta) -> str:
    return f"{_began(claim) + age:%Y-%m-%d %H:%M}"
