"""Everything that is taken from the process before anything of a candidate's is opened, in that order.

It dies with its parent; it gains no rights by programs; it gets a network of its own without any device
where the kernel allows namespaces; it loses root's capabilities; files by Landlock; system calls by
seccomp; memory, time and core dumps by limits. Files and system calls are what counts: where one of
them cannot be set, ``confine`` says so and nothing is loaded.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from everloop.contracts.errors import ShouldProvideEngine
from everloop.sandbox.apart import landlock, libc, seccomp

_NEW_USER, _NEW_NET, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000
_CAPSET = {"x86_64": 126, "aarch64": 91}
_SYSTEM = (
    "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/lib", "/lib64", "/etc/ld.so.cache",
    "/etc/ld.so.preload", "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/proc/version", "/proc/filesystems", "/proc/sys/vm", "/sys/devices/system",
    "/dev/urandom", "/dev/random",
)  # fmt: skip
_WRITABLE = ("/dev/null",)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process may use: memory, CPU seconds of all threads, size of a file, open files, threads,
    and in its scratch folder bytes, files and folders."""

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int = 64 * 1024 * 1024
    open_files: int = 256
    threads: int = 512
    scratch_bytes: int = 256 * 1024 * 1024
    scratch_entries: int = 10_000


def confine(readable: Sequence[Path], scratch: Path, limits: Limits) -> tuple[str, ...]:
    """Take everything away; the process must have one thread.

    Args:
        readable: folders and files of the model, its code and its state.
        scratch: the one folder that may be written to.

    Returns:
        what enforces it: ``landlock <version>``, ``seccomp`` and, where permitted, ``namespace``.

    Raises:
        ShouldProvideEngine: files or system calls could not be restricted.
    """
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 — names of a pseudo-folder
    if threads != 1:
        raise ShouldProvideEngine(
            f"The sandbox has {threads} threads before it is closed, which its rules would not reach.",
            "Import nothing that starts threads before confine.",
        )
    libc.process_control(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.process_control(libc.PR_SET_NO_NEW_PRIVS, 1)
    _limit(limits)
    namespaces = _own_namespaces(limits)
    _drop_capabilities()
    code = (Path(sys.prefix), Path(sys.base_prefix) / "lib", *map(Path, _SYSTEM))
    own = Path("/proc/self").resolve()
    try:
        found = landlock.restrict((*code, own, *readable), (scratch, *map(Path, _WRITABLE)))
        seccomp.restrict()
    except OSError as problem:
        raise ShouldProvideEngine(
            f"The sandbox could not be closed: {problem}.",
            "Run it on Linux 6.2 or later with Landlock and seccomp, outside of gVisor.",
        ) from problem
    return (f"landlock {found}", "seccomp", *namespaces)


def _limit(limits: Limits) -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
    ):
        _set(kind, value)


def _set(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (allowed, allowed))


def _own_namespaces(limits: Limits) -> tuple[str, ...]:
    """A network and message queues of its own; a namespace of users first, which also ends root's power.

    Threads have a limit in a namespace of users alone, where the kernel counts nobody else's.
    """
    user, group = os.getuid(), os.getgid()
    try:
        libc.unshared(_NEW_USER | _NEW_NET | _NEW_IPC)
    except OSError:
        try:
            libc.unshared(_NEW_NET | _NEW_IPC)
        except OSError:
            return ()
        return ("namespace",)
    _set(resource.RLIMIT_NPROC, limits.threads)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        try:
            (Path("/proc/self") / name).write_text(text, encoding="ascii")
        except OSError:
            break
    return ("namespace",)


def _drop_capabilities() -> None:
    """Leave the process none of root's capabilities, where it has any."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    none = (ctypes.c_uint32 * 6)()
    number = _CAPSET.get(os.uname().machine)
    if number is not None:
        libc.called(number, ctypes.byref(header), ctypes.byref(none))
