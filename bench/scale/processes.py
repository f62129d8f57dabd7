"""What a tree of processes uses, read from the kernel while it runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EVERY_S: Final = 0.05
_PROC: Final = Path("/proc")
_MIB: Final = 1024.0 * 1024.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A process at one moment: its parent and its resident memory in bytes, now and at its peak."""

    parent: int
    resident: int
    peak: int


def parent_of(stat: str) -> int:
    """The parent's id in a line of ``/proc/PID/stat``.

    A command's name stands in parentheses and may hold spaces and parentheses of its own, so fields
    are counted from its last one.
    """
    return int(stat[stat.rindex(")") + 2 :].split()[1])


def memory_of(status: str) -> tuple[int, int]:
    """(resident bytes, their peak) in the text of ``/proc/PID/status``; zeros where there are none, as
    of a process that has ended."""
    found = {"VmRSS": 0, "VmHWM": 0}
    for line in status.splitlines():
        name, _, told = line.partition(":")
        if name in found:
            found[name] = int(told.split()[0]) * 1024
    return found["VmRSS"], found["VmHWM"]


def processes(root: Path = _PROC) -> dict[int, Seen]:
    """Every process that can be read; one that ends meanwhile is left out."""
    found: dict[int, Seen] = {}
    for entry in root.iterdir():
        if entry.name.isdigit():
            try:
                parent = parent_of((entry / "stat").read_text())
                resident, peak = memory_of((entry / "status").read_text())
            except (OSError, ValueError):
                continue
            found[int(entry.name)] = Seen(parent, resident, peak)
    return found


def below(pid: int, seen: Mapping[int, Seen]) -> set[int]:
    """A process's descendants, itself left out."""
    children: dict[int, list[int]] = {}
    for one, process in seen.items():
        children.setdefault(process.parent, []).append(one)
    found: set[int] = set()
    waiting = list(children.get(pid, ()))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += children.get(one, ())
    return found


def tree_peak(pid: int, seen: Mapping[int, Seen]) -> int:
    """Bytes of a process's descendants: their resident memory together, or the highest peak that one of
    them had between two looks. Pages that they share count once for each, so this is an upper bound."""
    tree = [seen[one] for one in below(pid, seen)]
    together = sum(process.resident for process in tree)
    return max(together, max((process.peak for process in tree), default=0))


class PeakWatch:
    """Looks at this process's descendants every ``EVERY_S`` seconds and keeps the most memory seen."""

    def __init__(self) -> None:
        self._most = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> PeakWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def lap(self) -> float:
        """MiB at the peak since the last lap; the next one starts now."""
        with self._lock:
            most, self._most = self._most, 0
        return most / _MIB

    def _look(self) -> None:
        while not self._ended.wait(EVERY_S):
            most = tree_peak(os.getpid(), processes())
            with self._lock:
                self._most = max(self._most, most)
