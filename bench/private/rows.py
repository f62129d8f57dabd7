"""Rows that were measured, kept by what they measure: a benchmark that is killed loses nothing.

A row's key is its configuration and the source that computes it, so that nothing is answered from a
cache that other code filled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.record import ROOT

FOLDER = ROOT / ".cache" / "bench-private"


def source_sha256(*folders: str) -> str:
    """SHA-256 of every Python file in folders of the repository, and of the shipped loops."""
    total = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                total.update(str(path.relative_to(ROOT)).encode())
                total.update(path.read_bytes())
    return total.hexdigest()


class Rows:
    """Kept rows.

    Args:
        folder: where they lie.
        source: what computes them; other source is another row.
        fresh: measure everything anew.
    """

    def __init__(self, folder: Path = FOLDER, source: str = "", fresh: bool = False) -> None:
        self._folder, self._source, self._fresh = folder, source, fresh

    def path(self, part: str, configuration: Mapping[str, Any]) -> Path:
        """Where a row lies."""
        named = json.dumps([part, dict(configuration), self._source], sort_keys=True)
        return self._folder / f"{part}-{hashlib.sha256(named.encode()).hexdigest()[:24]}.json"

    def known(self, part: str, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
        """A row that was measured before."""
        path = self.path(part, configuration)
        if self._fresh or not path.exists():
            return None
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def keep(
        self, part: str, configuration: Mapping[str, Any], row: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Keep a row and return it."""
        path = self.path(part, configuration)
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half")
        half.write_text(json.dumps(dict(row)))
        half.replace(path)
        return dict(row)
