"""Rows that an import refused: one JSON object a line, published whole at the end."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from everloop.intake.unnamed_file import UnnamedFile, no_room

_SHOWN = 200


def _shown(value: Any) -> Any:
    """The value as JSON, shortened; what JSON cannot say, as text."""
    if isinstance(value, bool | int | None) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class Rejects(UnnamedFile):
    """Collects refused rows and counts their problems."""

    def __init__(self) -> None:
        super().__init__("the refused rows")
        self._problems: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._problems.total()

    @property
    def problems(self) -> tuple[tuple[str, int], ...]:
        """(column and problem, number of rows), most frequent first."""
        return tuple(sorted(self._problems.items(), key=lambda item: (-item[1], item[0])))

    def add(self, line: int, column: str | None, value: Any, problem: str, fix: str) -> None:
        """Record a refused row. Raises ``ShouldFreeDisk`` when there is no room."""
        self._problems[f"{column} {problem}" if column else f"the row {problem}"] += 1
        record = {
            "line": line,
            "column": column,
            "value": _shown(value),
            "problem": problem,
            "fix": fix,
        }
        self.write(json.dumps(record).encode())

    def publish(self, path: Path) -> Path | None:
        """Write the rejects file atomically; without rejects, remove an older one. Its path or None.

        Raises:
            ShouldFreeDisk: the disk is full; an older file is as it was.
        """
        if not self:
            path.unlink(missing_ok=True)
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as target:
                target.writelines(self.lines())
                target.flush()
                os.fsync(target.fileno())
            Path(temporary).replace(path)
        except BaseException as problem:
            Path(temporary).unlink(missing_ok=True)
            if isinstance(problem, OSError):
                raise no_room(problem, str(path)) from problem
            raise
        return path
