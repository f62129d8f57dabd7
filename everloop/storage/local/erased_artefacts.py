"""Files that hold a person: dataset versions, the runs made from them or that hold what a voice learned,
reports that show them, and blobs with a persona's graph.

An erasure notes what it will delete in ``erasing/<erasure_id>.json`` before it commits, and deletes
after; a note that is left when the process dies is followed when the workspace is opened next.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from everloop.contracts import documents
from everloop.contracts.datasets import EPISODES_FILE, SIGNALS_FILE
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.storage.local.erased_voices import holds_any, pages_of, row_files, run_folder

CACHED = "cache/datasets"
"""Where a workspace keeps copies of versions that are published elsewhere."""
_NOTES = "erasing"
_VERSIONS = ("datasets", CACHED)
_BLOBS = ("blobs", "cache/blobs")
_ABANDONED_SECONDS = 3600.0
_LARGEST_DOCUMENT = 1 << 20
_UNFINISHED = ("voice-*", "sandbox-*")
_RUN_OUTPUTS = ("artifacts", "cache", "run.log")
_DATASET_ID = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BATCH = 65_536


@dataclass(frozen=True, slots=True)
class HeldFiles:
    """What holds a person: ids of dataset versions, names of reports, files of voices' runs, and
    checksums of blobs."""

    datasets: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()

    def __add__(self, other: HeldFiles) -> HeldFiles:
        return HeldFiles(
            tuple(dict.fromkeys((*self.datasets, *other.datasets))),
            tuple(dict.fromkeys((*self.reports, *other.reports))),
            tuple(dict.fromkeys((*self.rows, *other.rows))),
            tuple(dict.fromkeys((*self.blobs, *other.blobs))),
        )


@dataclass(frozen=True, slots=True)
class Traces:
    """What a person is known by in files.

    Attributes:
        person: pseudonym.
        episode_ids: the person's decisions, and others' that the person judged; reports name them.
        signal_ids: evidence that the person gave of others' decisions.
        sources: their feedback, interactions and packages; rows that a voice learned from name them.
        contents: checksums of persona graphs that hold what they said.
    """

    person: str
    episode_ids: frozenset[str] = frozenset()
    signal_ids: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()


class HeldArtefacts(Protocol):
    """Everything beside the database that may hold a person."""

    def present(self) -> HeldFiles:
        """Every dataset version, wherever it is, and every report."""

    def holding(self, traces: Traces, but: HeldFiles | None = None) -> HeldFiles:
        """Which of it holds the person; what cannot be read counts. ``but``: what needs no look."""

    def note(self, erasure_id: str, held: HeldFiles) -> None:
        """Write down durably what an erasure is about to delete, before its transaction ends."""

    def forget(self, erasure_id: str) -> None:
        """Drop a note; idempotent."""

    def finish(self, committed: Callable[[str], bool]) -> None:
        """Delete what committed erasures noted. ``committed``: whether an erasure took place."""


class ErasedArtefacts:
    """``HeldArtefacts`` of one workspace's folder.

    Args:
        home: the workspace folder.
    """

    def __init__(self, home: Path | str) -> None:
        self._home = Path(home)

    def present(self) -> HeldFiles:
        """Every dataset version, copies included, and every report."""
        return HeldFiles(
            tuple(sorted({folder.name for folder in self._folders()})),
            tuple(sorted(path.name for path in (self._home / "reports").glob("*.html"))),
            row_files(self._home),
        )

    def holding(self, traces: Traces, but: HeldFiles | None = None) -> HeldFiles:
        """Look through datasets and reports; a file that cannot be read counts as holding.

        Args:
            but: what needs no look.
        """
        known, present = but or HeldFiles(), self.present()
        versions = [folder for folder in self._folders() if folder.name not in known.datasets]
        pages = [
            (name, self._home / "reports" / name)
            for name in present.reports
            if traces.episode_ids and name not in known.reports
        ]
        rows = tuple(
            file
            for file in present.rows
            if file not in known.rows
            and holds_any(self._home / file, traces.person, traces.sources)
        )
        shown = [name for name, path in pages if _shows(path, traces.episode_ids)]
        return HeldFiles(
            tuple(dict.fromkeys(folder.name for folder in versions if _holds(folder, traces))),
            tuple(dict.fromkeys((*shown, *pages_of(self._home, rows)))),
            rows,
            tuple(sorted(traces.contents)),
        )

    def note(self, erasure_id: str, held: HeldFiles) -> None:
        """Write down durably what an erasure is about to delete; ``ShouldFreeDisk`` when it can't."""
        documents.write(held, self._home / _NOTES / f"{erasure_id}.json")

    def forget(self, erasure_id: str) -> None:
        """Drop a note; idempotent."""
        (self._home / _NOTES / f"{erasure_id}.json").unlink(missing_ok=True)

    def noted(self, committed: Callable[[str], bool]) -> frozenset[str]:
        """Dataset versions that committed erasures of this workspace noted and nobody has followed."""
        found: set[str] = set()
        for path in (self._home / _NOTES).glob("*.json"):
            with suppress(ShouldRestoreArtefact):  # another process has followed it
                if committed(path.stem):
                    found.update(documents.read(HeldFiles, path).datasets)
        return frozenset(found)

    def finish(self, committed: Callable[[str], bool]) -> None:
        """Delete what committed erasures noted; notes of others are dropped once they are old.

        Args:
            committed: whether an erasure took place.
        """
        for path in sorted((self._home / _NOTES).glob("*.json")):
            if committed(path.stem):
                self._follow(path)
            else:
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                        self.forget(path.stem)

    def remove_datasets(self) -> int:
        """Delete every dataset version and what runs made of it; how many versions there were."""
        versions = self.present().datasets
        self._delete(HeldFiles(versions))
        return len(versions)

    def remove_made_from(self, dataset_ids: Collection[str], reports: Collection[str] = ()) -> None:
        """Delete versions, what runs made of them, some reports, and every one that names a version.

        For erasures that took place elsewhere: whom a report shows is not known any longer.
        """
        wanted = [dataset_id.encode() for dataset_id in dataset_ids]
        pages = (self._home / "reports").glob("*.html")
        named = {path.name for path in pages if _has_any(path, wanted)}
        self._delete(HeldFiles(tuple(dataset_ids), tuple(sorted(named.union(reports)))))

    def _folders(self) -> list[Path]:
        found = (path for place in _VERSIONS for path in sorted((self._home / place).glob("*")))
        return [path for path in found if _DATASET_ID.fullmatch(path.name)]

    def _remove_trainings(self) -> None:
        """What voices' trainings and sandboxes left when they were stopped: rows as numbers, and disliked
        conversations. One under way begins anew."""
        for pattern in _UNFINISHED:
            for folder in (self._home / "training").glob(pattern):
                _remove(folder)

    def _follow(self, note: Path) -> None:
        try:
            held = documents.read(HeldFiles, note)
        except ShouldRestoreArtefact:
            if note.exists():
                raise
            return  # another process has followed it
        self._delete(held)
        self._remove_trainings()
        self.forget(note.stem)

    def _delete(self, held: HeldFiles) -> None:
        for run in self._runs_made_from(held.datasets):
            for name in _RUN_OUTPUTS:
                _remove(run / name)
        for folder in {run_folder(file) for file in held.rows}:
            for name in _RUN_OUTPUTS:
                _remove(self._home / folder / name)
        for sha256 in held.blobs:
            for root in _BLOBS:
                _remove(self._home / root / sha256[:2] / sha256)
        for name in held.reports:
            _remove(self._home / "reports" / name)
        for dataset_id in held.datasets:
            for place in _VERSIONS:
                _remove(self._home / place / dataset_id)

    def _runs_made_from(self, dataset_ids: Collection[str]) -> list[Path]:
        """Folders of the runs one of whose documents names one of the versions."""
        wanted = [dataset_id.encode() for dataset_id in dataset_ids]
        if not wanted:
            return []
        folders = sorted({path.parent for path in (self._home / "runs").rglob("artifacts")})
        return [folder for folder in folders if _names_any(folder / "artifacts", wanted)]


def _holds(folder: Path, traces: Traces) -> bool:
    """Whether a version's episodes are of the person or about them, or a signal came of them."""
    try:
        return is_in(folder / EPISODES_FILE, traces.person) or taught(
            folder / SIGNALS_FILE, traces.signal_ids
        )
    except (OSError, ValueError):
        return True


def is_in(path: Path | IO[bytes], person: str) -> bool:
    """Whether an episodes file has a row of the person or about them."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH, columns=["person", "action_arguments"]):
            own = pc.any(pc.equal(batch["person"], person)).as_py()
            about = pc.any(pc.match_substring(batch["action_arguments"], person)).as_py()
            if own or about:
                return True
    return False


def taught(path: Path | IO[bytes], signal_ids: frozenset[str]) -> bool:
    """Whether a signals file has one of the signals."""
    if not signal_ids:
        return False
    wanted = pa.array(sorted(signal_ids), pa.string())
    with pq.ParquetFile(path) as file:
        return any(
            pc.any(pc.is_in(batch["signal_id"], wanted)).as_py()
            for batch in file.iter_batches(_BATCH, columns=["signal_id"])
        )


def _shows(page: Path, episode_ids: frozenset[str]) -> bool:
    return not episode_ids.isdisjoint(_UUID.findall(page.read_text(errors="replace")))


def _names_any(folder: Path, wanted: Collection[bytes]) -> bool:
    return any(
        path.is_file() and path.stat().st_size <= _LARGEST_DOCUMENT and _has_any(path, wanted)
        for path in folder.rglob("*")
    )


def _has_any(path: Path, wanted: Collection[bytes]) -> bool:
    data = path.read_bytes()
    return any(text in data for text in wanted)


def _remove(path: Path) -> None:
    """Delete a file or a folder, also when another process deletes it at the same time."""
    while path.is_dir() and not path.is_symlink():
        with suppress(FileNotFoundError):
            shutil.rmtree(path)
    path.unlink(missing_ok=True)
