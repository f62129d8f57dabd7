"""What a voice's runs left in a workspace of somebody: rows under zstd, and pages that were made of them.

A run that holds somebody's rows is taken whole: its samples and pages quote people without saying whom.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa

ROWS = "*.jsonl.zst"
_OUTPUTS = ("artifacts", "cache")
_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PIECE = 1 << 18
_LONGEST = 128
"""Bytes of what is looked for, at most: so much of a piece is looked through with the next one."""


def row_files(home: Path) -> tuple[str, ...]:
    """Every file of rows in the folders of runs, relative to the workspace."""
    found = (home / "runs").rglob(ROWS)
    return tuple(sorted(path.relative_to(home).as_posix() for path in found))


def holds_any(path: Path, person: str, sources: Collection[str]) -> bool:
    """Whether a file of rows names a person or one of some sources; one that cannot be read does."""
    wanted, named = {source.encode() for source in sources}, person.encode()
    try:
        for piece in _pieces(path):
            if named in piece or not wanted.isdisjoint(_UUID.findall(piece)):
                return True
    except (OSError, pa.ArrowException):
        return path.exists()
    return False


def run_folder(file: str) -> PurePosixPath:
    """The folder of the run that a file of rows is of."""
    parents = PurePosixPath(file).parents
    outputs = [place for place in parents if place.name in _OUTPUTS]
    return (outputs[-1] if outputs else PurePosixPath(file)).parent


def pages_of(home: Path, files: Collection[str]) -> tuple[str, ...]:
    """Names of the kept reports that are copies of a page of one of the files' runs."""
    folders = {home / run_folder(file) for file in files}
    sizes = {
        page.stat().st_size for folder in folders for page in folder.rglob("*") if page.is_file()
    }
    kept = [page for page in (home / "reports").glob("*.html") if page.stat().st_size in sizes]
    if not kept:
        return ()
    wanted = {page.stat().st_size for page in kept}
    made = {
        _digest(page)
        for folder in folders
        for page in folder.rglob("*")
        if page.is_file() and page.stat().st_size in wanted
    }
    return tuple(sorted(page.name for page in kept if _digest(page) in made))


def _pieces(path: Path) -> Iterator[bytes]:
    tail = b""
    with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as stream:
        while piece := stream.read(_PIECE):
            yield tail + piece
            tail = piece[-_LONGEST:]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
