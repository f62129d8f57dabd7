"""Which of a training's checkpoints is whole: a killed process may leave half a one behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from everloop.contracts.documents import sha256_of, write_atomically

_MARK = "whole.json"


def mark_whole(checkpoint: Path) -> None:
    """Say that every file of a checkpoint is written; it counts from here on."""
    sums = {path.name: sha256_of(path) for path in _files(checkpoint)}
    write_atomically(json.dumps(sums, sort_keys=True).encode(), checkpoint / _MARK)


def newest_checkpoint(folder: Path) -> str | None:
    """Path of the newest whole checkpoint of a training's folder; every half-written one is deleted."""
    found: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        if _is_whole(path):
            found.append((int(path.name.rpartition("-")[2]), path))
        else:
            shutil.rmtree(path)
    return str(max(found)[1]) if found else None


def _is_whole(checkpoint: Path) -> bool:
    try:
        marked = json.loads((checkpoint / _MARK).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(marked == {path.name: sha256_of(path) for path in _files(checkpoint)})


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.iterdir() if path.is_file() and path.name != _MARK)
