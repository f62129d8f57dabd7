"""What a persona may learn from, as it was at one moment: an immutable folder.

``feedback.jsonl.zst`` holds feedback with the interaction that it speaks of, ``packages.jsonl.zst``
people's own texts, both in stored order; ``manifest.json`` is written last. Who judges is kept beside them
in ``judging.json``.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from everloop.adaptation.held_out import Judging, is_held_out, salt_of
from everloop.adaptation.line_file import reading_lines, writing_lines
from everloop.contracts import documents
from everloop.contracts.canonical import canonical_bytes
from everloop.contracts.datasets import FileEntry
from everloop.contracts.errors import (
    EverloopError,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
)
from everloop.contracts.voice_ports import SpokenFeedback, VoiceLog, VoiceWatermark
from everloop.contracts.voices import UserDataPackage

FEEDBACK_FILE = "feedback.jsonl.zst"
PACKAGES_FILE = "packages.jsonl.zst"
MANIFEST_FILE = "manifest.json"
JUDGING_FILE = "judging.json"

T = TypeVar("T", SpokenFeedback, UserDataPackage)


@dataclass(frozen=True, slots=True)
class CollectedFigures:
    """A folder's manifest.

    ``collected_id``: SHA-256 of tenant, persona and the files' lines; equal content, equal id, whatever
    else the log holds. ``feedback``: type -> rows, disputed ones included. ``people``: distinct ones of
    both files. ``newest``: when the newest row of both arrived; None without any.
    """

    collected_id: str
    persona: str
    tenant: str
    watermark: VoiceWatermark
    feedback: Mapping[str, int]
    disputed: int
    packages: int
    people: int
    files: tuple[FileEntry, ...]
    schema_version: int = 1
    newest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """A folder whose files are what its manifest says."""

    folder: Path
    figures: CollectedFigures

    def feedback(self) -> Iterator[SpokenFeedback]:
        """Feedback in stored order, one at a time."""
        return _read(self.folder / FEEDBACK_FILE, TypeAdapter(SpokenFeedback))

    def packages(self) -> Iterator[UserDataPackage]:
        """Packages in stored order, one at a time."""
        return _read(self.folder / PACKAGES_FILE, TypeAdapter(UserDataPackage))

    def people(self) -> frozenset[str]:
        """Everyone who is in it, with those whose conversations others spoke of."""
        found = {package.user_id for package in self.packages()}
        for spoken in self.feedback():
            found |= {spoken.feedback.user_id, spoken.interaction.user_id}
        return frozenset(found)

    def judges(self, share: float) -> Callable[[str], bool]:
        """Who of its people judges and never teaches: as is kept beside it, or, where nothing is, as
        people are parted who are seen for the first time.

        Raises:
            ShouldRestoreArtefact: what is kept cannot be read.
            ShouldFixArgument: the share is not within (0, 1).
        """
        path = self.folder / JUDGING_FILE
        if path.exists():
            return frozenset(documents.read(Judging, path).people).__contains__
        salt = salt_of(self.figures.tenant, self.figures.persona)
        return lambda user_id: is_held_out(user_id, salt, share)


class _Tally:
    """Counts what passes. Holds a digest of 8 bytes for each person, and no row."""

    def __init__(self) -> None:
        self.feedback: Counter[str] = Counter()
        self.disputed = 0
        self.packages = 0
        self.people: set[bytes] = set()
        self.newest: datetime | None = None

    def spoken(self, rows: Iterable[SpokenFeedback]) -> Iterator[SpokenFeedback]:
        for row in rows:
            self.feedback[row.feedback.feedback_type.value] += 1
            self.disputed += row.disputed
            self._arrived(row.feedback.received_at or row.feedback.timestamp)
            self._person(row.feedback.user_id)
            yield row

    def given(self, rows: Iterable[UserDataPackage]) -> Iterator[UserDataPackage]:
        for row in rows:
            self.packages += 1
            self._arrived(row.received_at or row.timestamp)
            self._person(row.user_id)
            yield row

    def _arrived(self, moment: datetime) -> None:
        self.newest = moment if self.newest is None else max(self.newest, moment)

    def _person(self, user_id: str) -> None:
        self.people.add(hashlib.blake2b(user_id.encode(), digest_size=8).digest())


def collect(log: VoiceLog, persona: str, tenant: str, out: Path) -> CollectedFigures:
    """Write what a persona may learn from, up to the log's present end, into the folder ``out``.

    Raises:
        ShouldResolveConflict: ``out`` holds something else.
        ShouldFreeDisk: the disk is full; ``out`` is as it was.
    """
    until = log.watermark(tenant)
    tally = _Tally()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        made = Path(temporary) / "made"
        spoken = tally.spoken(log.spoken_feedback(persona, until, tenant))
        given = tally.given(log.packages(persona, until, tenant))
        lines = {
            FEEDBACK_FILE: _write(made / FEEDBACK_FILE, spoken, TypeAdapter(SpokenFeedback)),
            PACKAGES_FILE: _write(made / PACKAGES_FILE, given, TypeAdapter(UserDataPackage)),
        }
        figures = CollectedFigures(
            collected_id=_id(
                persona, tenant, {name: digest for name, (digest, _) in lines.items()}
            ),
            persona=persona,
            tenant=tenant,
            watermark=until,
            feedback=dict(sorted(tally.feedback.items())),
            disputed=tally.disputed,
            packages=tally.packages,
            people=len(tally.people),
            files=tuple(_entry(made / name, rows) for name, (_, rows) in lines.items()),
            newest=tally.newest,
        )
        documents.write(figures, made / MANIFEST_FILE)
        return _moved(made, figures, out)


def read_collected(folder: Path) -> Collected:
    """A folder that ``collect`` wrote, its files verified.

    Raises:
        ShouldRestoreArtefact: a file is missing, or is not what the manifest says.
    """
    figures = documents.read(CollectedFigures, folder / MANIFEST_FILE)
    for entry in figures.files:
        path = folder / entry.name
        if not path.is_file() or documents.sha256_of(path) != entry.sha256:
            raise ShouldRestoreArtefact(
                f"{path} is missing or is not what {MANIFEST_FILE} says (sha256 {entry.sha256}).",
                "Collect the feedback again.",
            )
    return Collected(folder, figures)


def _write(path: Path, rows: Iterable[T], kind: TypeAdapter[T]) -> tuple[str, int]:
    """SHA-256 of the lines, and how many."""
    with writing_lines(path) as lines:
        for row in rows:
            lines.write(canonical_bytes(kind.dump_python(row, mode="json")))
    return lines.sha256, lines.rows


def _read(path: Path, kind: TypeAdapter[T]) -> Iterator[T]:
    for number, line in enumerate(reading_lines(path), start=1):
        try:
            yield kind.validate_json(line)
        except (ValidationError, EverloopError) as problem:
            raise ShouldRestoreArtefact(
                f"{path}, line {number}, cannot be read ({problem}).", "Collect the feedback again."
            ) from problem


def _id(persona: str, tenant: str, lines: Mapping[str, str]) -> str:
    return hashlib.sha256(canonical_bytes([tenant, persona, lines])).hexdigest()


def _entry(path: Path, rows: int) -> FileEntry:
    return FileEntry(path.name, documents.sha256_of(path), rows, path.stat().st_size)


def _moved(made: Path, figures: CollectedFigures, out: Path) -> CollectedFigures:
    """Put the folder in its place in one step; one with the same content stays as it is."""
    if out.is_dir() and any(out.iterdir()):
        return _same(out, figures)
    made.replace(out)
    return figures


def _same(out: Path, figures: CollectedFigures) -> CollectedFigures:
    there = read_collected(out).figures if (out / MANIFEST_FILE).is_file() else None
    if there is None or there.collected_id != figures.collected_id:
        raise ShouldResolveConflict(
            f"{out} holds something else than {figures.collected_id}.",
            "Collect into an empty folder.",
        )
    return there
