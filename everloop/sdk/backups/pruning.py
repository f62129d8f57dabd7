"""Which backups to keep, and what nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from everloop.contracts.backups import BackupManifest, BackupPlace
from everloop.contracts.errors import ShouldFixArgument
from everloop.sdk.backups.claims import pruning
from everloop.sdk.backups.places import manifest_of


@dataclass(frozen=True, slots=True)
class Kept:
    """How many backups to keep: the newest of each of so many days, weeks and months that have one."""

    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    def __post_init__(self) -> None:
        if min(self.daily, self.weekly, self.monthly) < 0 or not any(
            (self.daily, self.weekly, self.monthly)
        ):
            raise ShouldFixArgument(
                f"Keeping {self.daily} daily, {self.weekly} weekly and {self.monthly} monthly backups "
                "keeps none.",
                "Keep at least one.",
            )


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted. ``objects``: that no backup that is kept needs; ``size``: their bytes."""

    backups: tuple[str, ...]
    objects: int
    size: int


def to_keep(made: Sequence[tuple[str, datetime]], keep: Kept) -> frozenset[str]:
    """Ids of the backups to keep; the newest one is always among them.

    Args:
        made: (id, moment) of every backup.
    """
    newest_first = sorted(made, key=lambda one: one[1], reverse=True)
    kept = {backup_id for backup_id, _ in newest_first[:1]}
    for count, form in ((keep.daily, "%Y-%m-%d"), (keep.weekly, "%G-%V"), (keep.monthly, "%Y-%m")):
        periods: dict[str, str] = {}
        for backup_id, moment in newest_first:
            periods.setdefault(moment.astimezone(UTC).strftime(form), backup_id)
        kept |= set(list(periods.values())[:count])
    return frozenset(kept)


def prune_backups(place: BackupPlace, keep: Kept) -> Pruned:
    """Delete what need not be kept, manifests first; one that is killed is made up for by the next.

    Raises:
        ShouldWaitForWorker: a backup is being made here; nothing was deleted.
        ShouldRestoreArtefact: a manifest is damaged; nothing was deleted.
    """
    dropped: list[str] = []
    objects = size = 0
    while True:
        with pruning(place) as until:
            manifests = [manifest_of(place, backup_id) for backup_id in place.manifests()]
            kept = to_keep([(one.backup_id, one.created_at) for one in manifests], keep)
            for one in manifests:
                if one.backup_id not in kept:
                    place.delete_manifest(one.backup_id)
                    dropped.append(one.backup_id)
            needed = _needed(one for one in manifests if one.backup_id in kept)
            for sha256 in [sha256 for sha256 in place.objects() if sha256 not in needed]:
                if datetime.now(UTC) >= until:
                    break  # look again at who is at work, and at what is needed
                freed = place.delete(sha256)
                objects, size = objects + (freed > 0), size + freed
            else:
                return Pruned(tuple(dropped), objects, size)


def _needed(manifests: Iterable[BackupManifest]) -> frozenset[str]:
    return frozenset(file.sha256 for manifest in manifests for file in manifest.files)
