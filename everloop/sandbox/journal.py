"""Logs of a run as they come, so that an interrupted one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from everloop.contracts.documents import from_json, to_json
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.sandboxes import TestRunLog


class RunJournal:
    """One JSON line a log, of one model with one set of scenarios and one seed.

    Args:
        path: the file; its folder exists.
        of: SHA-256 of everything that decides the run (model, scenarios, seed, settings). A file of
            another run is begun anew.
    """

    def __init__(self, path: Path, of: str) -> None:
        self._path, self._of = path, of

    def done(self) -> Mapping[str, TestRunLog]:
        """Logs of this run so far, by scenario; a half-written last line is dropped."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            lines = []
        if not lines or lines[0] != self._of.encode():
            self._path.write_bytes(self._of.encode() + b"\n")
            return {}
        logs = []
        for line in lines[1:]:
            try:
                logs.append(from_json(TestRunLog, line))
            except ShouldRestoreArtefact:
                break
        kept = [self._of.encode(), *(_line(log) for log in logs)]
        self._path.write_bytes(b"\n".join(kept) + b"\n")
        return {log.scenario_id: log for log in logs}

    def add(self, log: TestRunLog) -> None:
        """Keep one log."""
        with self._path.open("ab") as file:
            file.write(_line(log) + b"\n")


def _line(log: TestRunLog) -> bytes:
    return json.dumps(json.loads(to_json(log))).encode()
