"""The parent's watch over a sandbox: past its time, its memory or its disk it is ended from outside.

The kernel's own limits (``confinement``) leave gaps: a process that sleeps uses no CPU time, stacks and
page tables are no data, a limit of a file's size says nothing about how many there are, and root may
start as many threads as it likes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

from everloop.contracts.errors import EverloopError, ShouldFixInput, ShouldRetryLater
from everloop.sandbox.apart.confinement import Limits
from everloop.sandbox.apart.messages import TOO_LONG

_EVERY = 0.1
_MEMORY = frozenset({"RssAnon", "RssShmem", "VmSwap", "VmPTE", "HugetlbPages"})
"""Fields of ``/proc/<pid>/status`` in KiB, but for what a model's mapped files take."""
_MIB = 1024 * 1024


class Watch:
    """A thread that ends a process' group once it is past a limit.

    Args:
        process: leader of a group of its own, not waited for before ``stop``.
        scratch: the folder that it writes to, and from which it cannot remove anything.
        limits: memory, threads, bytes and entries of the folder.
        deadline: of ``time.monotonic``.
    """

    def __init__(self, process: int, scratch: Path, limits: Limits, deadline: float) -> None:
        self._process, self._scratch, self._limits = process, scratch, limits
        self._deadline = deadline
        self._stop = threading.Event()
        self._problem: EverloopError | None = None
        self._thread = threading.Thread(target=self._watch, name="sandbox watch", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> EverloopError | None:
        """Why it was ended; None where it was not."""
        return self._problem

    def stop(self) -> None:
        """End the watch, before the process is waited for and its id may be another's."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            try:
                self._problem = self._found()
            except (OSError, ValueError) as problem:
                self._problem = ShouldFixInput(
                    f"What the sandbox uses cannot be counted ({problem}).",
                    "Trust nothing of this run; check the adapter.",
                )
            if self._problem is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process, signal.SIGKILL)
                return

    def _found(self) -> EverloopError | None:
        if time.monotonic() >= self._deadline:
            return ShouldRetryLater(
                TOO_LONG, "Give voice.sandbox.timeout_seconds more, or fewer scenarios."
            )
        limits = self._limits
        memory, threads = used(self._process)
        if memory > limits.memory_bytes:
            return _too_much(
                f"{memory // _MIB} MiB of memory", f"{limits.memory_bytes // _MIB} MiB"
            )
        if threads > limits.threads:
            return _too_much(f"{threads} threads", str(limits.threads))
        size, entries = written(self._scratch, limits.scratch_entries)
        if size > limits.scratch_bytes:
            return _too_much(f"{size // _MIB} MiB of disk", f"{limits.scratch_bytes // _MIB} MiB")
        if entries > limits.scratch_entries:
            return _too_much(f"{entries} files and folders", str(limits.scratch_entries))
        return None


def used(process: int) -> tuple[int, int]:
    """Bytes of memory, private, shared and swapped, that a process holds, and its threads.

    Files mapped into it count for nothing; both are 0 once it has ended.
    """
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if "VmPTE" not in fields:
        return 0, 0
    return 1024 * sum(int(fields[name].split()[0]) for name in _MEMORY & fields.keys()), int(
        fields["Threads"]
    )


def written(folder: Path, most: int) -> tuple[int, int]:
    """Bytes and entries of everything in a folder; it stops counting past ``most`` entries."""
    size = entries = 0
    left = [os.fspath(folder)]
    while left and entries <= most:
        with os.scandir(left.pop()) as found:
            for entry in found:
                entries += 1
                if entries > most:
                    break
                has = entry.stat(follow_symlinks=False)
                size += max(has.st_size, 512 * has.st_blocks)
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
    return size, entries


def _too_much(what: str, most: str) -> ShouldFixInput:
    return ShouldFixInput(
        f"The sandbox used {what}; it may use {most}.",
        "Check the adapter; give voice.sandbox.memory_mb more where its base needs it.",
    )
