"""Files that a process may touch, by Landlock (Linux 6.2 and later; no rights are needed).

After ``restrict`` nothing outside the named places can be opened, listed, made, moved, cut or removed, by
this thread and by whatever it starts. It can never be taken back. What Landlock does not rule over
(modes, owners, times, extended attributes) is denied by the filter of system calls.

Numbers and structures: ``linux/landlock.h``.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from everloop.sandbox.apart.libc import called

LEAST = 3
"""The version that rules over truncation: with those before it (Linux 5.13 to 6.1) whatever may be read
may be cut to nothing by opening it."""
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FIRST = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_REMOVE = (1 << 4) | (1 << 5)
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_NET = (1 << 0) | (1 << 1)
_SCOPES = (1 << 0) | (1 << 1)


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's version of Landlock; 0 where it has none or it is switched off."""
    try:
        return called(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Deny every file but these and what lies beneath them; nothing may be executed or removed.

    What is written stays where it can be counted: a file that is removed and still open has no name.
    Places that do not exist are left out. From version 4 on TCP is denied as well, from 6 on abstract
    UNIX sockets and signals to other processes.

    Returns:
        the version that it was done with.

    Raises:
        OSError: the kernel has no Landlock or one before ``LEAST``, or refused.
    """
    found = version()
    if found < LEAST:
        raise OSError(
            f"the kernel has Landlock {found}, which lets files be cut; {LEAST} does not"
            if found
            else "the kernel has no Landlock"
        )
    handled = _FIRST | _REFER | _TRUNCATE | (_IOCTL_DEV if found >= 5 else 0)
    rules = _Ruleset(handled, _NET if found >= 4 else 0, _SCOPES if found >= 6 else 0)
    size = 8 if found < 4 else 16 if found < 6 else 24
    ruleset = called(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for place in readable:
            _allow(ruleset, place, _READ_FILE | _READ_DIR)
        for place in writable:
            _allow(ruleset, place, handled & ~(_EXECUTE | _REMOVE))
        called(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return found


def _allow(ruleset: int, place: Path, rights: int) -> None:
    try:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        beneath = _PathBeneath(rights if place.is_dir() else rights & _OF_FILES, opened)
        called(
            _ADD,
            ctypes.c_int(ruleset),
            ctypes.c_int(_PATH_BENEATH),
            ctypes.byref(beneath),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(opened)
