"""The kernel's calls that Python does not offer, for this process."""

from __future__ import annotations

import ctypes
import os

_C = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def called(number: int, *arguments: object) -> int:
    """Result of a system call.

    Raises:
        OSError: the kernel refused it.
    """
    result = int(_C.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem))
    return result


def process_control(option: int, value: int) -> None:
    """``prctl``; ``OSError`` where it is refused."""
    if _C.prctl(option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3) != 0:
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem))


def unshared(flags: int) -> None:
    """``unshare``; ``OSError`` where it is refused."""
    if _C.unshare(ctypes.c_int(flags)) != 0:
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem))
