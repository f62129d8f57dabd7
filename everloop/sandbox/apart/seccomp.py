"""System calls that a process may not make, by a seccomp filter (no rights are needed).

Denied calls fail with EPERM, so that a library that can do without goes on. Sockets of every kind, new
processes, programs, other processes' memory, signals, limits and scheduling, System V's shared objects,
namespaces and mounts, the kernel's other ways of asking for those (``io_uring``), and changes of files
that Landlock does not rule over. Threads are allowed, and so are the process' own limits. Memory that no
limit counts is denied: shared without a file, files without a name.

A classic BPF program over ``struct seccomp_data`` (``linux/seccomp.h``, ``linux/filter.h``): the
architecture is checked first, since numbers mean another call elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from everloop.sandbox.apart.libc import called

_SET_MODE_FILTER, _TSYNC = 1, 1
_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_THIRD_ARGUMENT, _FOURTH_ARGUMENT = 32, 40
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

_X86_64: Mapping[str, int] = MappingProxyType({
    "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49,
    "listen": 50, "socketpair": 53, "accept4": 288, "sendmmsg": 307, "recvmmsg": 299, "recvmsg": 47,
    "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "ptrace": 101,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_open": 434,
    "pidfd_getfd": 438, "pidfd_send_signal": 424, "tkill": 200, "rt_sigqueueinfo": 129,
    "rt_tgsigqueueinfo": 297, "setsid": 112, "setpgid": 109, "process_madvise": 440,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "setns": 308, "unshare": 272,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "mount_setattr": 442, "open_by_handle_at": 304, "name_to_handle_at": 303,
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248,
    "request_key": 249, "init_module": 175, "finit_module": 313, "delete_module": 176,
    "kexec_load": 246, "kexec_file_load": 320, "reboot": 169, "swapon": 167, "swapoff": 168,
    "acct": 163, "quotactl": 179, "sethostname": 170, "setdomainname": 171, "settimeofday": 164,
    "clock_settime": 227, "adjtimex": 159, "iopl": 172, "ioperm": 173, "personality": 135,
    "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "setgroups": 116,
    "setresuid": 117, "setresgid": 119, "capset": 126, "syslog": 103, "vhangup": 153,
    "truncate": 76, "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92,
    "fchown": 93, "lchown": 94, "fchownat": 260, "setxattr": 188, "lsetxattr": 189,
    "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
    "setxattrat": 463, "removexattrat": 466, "utime": 132, "utimes": 235, "futimesat": 261,
    "utimensat": 280, "mknod": 133, "mknodat": 259, "shmget": 29, "shmat": 30, "msgget": 68,
    "semget": 64, "mq_open": 240, "clone": 56, "clone3": 435, "kill": 62, "tgkill": 234,
    "prlimit64": 302, "sched_setparam": 142, "sched_setscheduler": 144, "sched_setaffinity": 203,
    "sched_setattr": 314, "setpriority": 141, "ioprio_set": 251, "move_pages": 279,
    "migrate_pages": 256, "fcntl": 72, "prctl": 157, "shmctl": 31, "semctl": 66, "semop": 65,
    "semtimedop": 220, "msgctl": 71, "msgsnd": 69, "msgrcv": 70, "mq_unlink": 241, "io_setup": 206,
    "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
    "process_mrelease": 448, "quotactl_fd": 443, "open_tree_attr": 467, "file_setattr": 469,
    "memfd_create": 319, "memfd_secret": 447, "mmap": 9, "open": 2, "openat": 257, "openat2": 437,
})  # fmt: skip
_AARCH64: Mapping[str, int] = MappingProxyType({
    "socket": 198, "connect": 203, "accept": 202, "sendto": 206, "sendmsg": 211, "bind": 200,
    "listen": 201, "socketpair": 199, "accept4": 242, "sendmmsg": 269, "recvmmsg": 243,
    "recvmsg": 212, "execve": 221, "execveat": 281, "ptrace": 117, "process_vm_readv": 270,
    "process_vm_writev": 271, "kcmp": 272, "pidfd_open": 434, "pidfd_getfd": 438,
    "pidfd_send_signal": 424, "tkill": 130, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240,
    "setsid": 157, "setpgid": 154, "process_madvise": 440, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "mount": 40, "umount2": 39, "pivot_root": 41,
    "chroot": 51, "setns": 268, "unshare": 97, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "open_by_handle_at": 265,
    "name_to_handle_at": 264, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
    "keyctl": 219, "add_key": 217, "request_key": 218, "init_module": 105, "finit_module": 273,
    "delete_module": 106, "kexec_load": 104, "kexec_file_load": 294, "reboot": 142, "swapon": 224,
    "swapoff": 225, "acct": 89, "quotactl": 60, "sethostname": 161, "setdomainname": 162,
    "settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "personality": 92, "setuid": 146,
    "setgid": 144, "setreuid": 145, "setregid": 143, "setgroups": 159, "setresuid": 147,
    "setresgid": 149, "capset": 91, "syslog": 116, "vhangup": 58, "truncate": 45, "fchmod": 52,
    "fchmodat": 53, "fchmodat2": 452, "fchown": 55, "fchownat": 54, "setxattr": 5, "lsetxattr": 6,
    "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "setxattrat": 463,
    "removexattrat": 466, "utimensat": 88, "mknodat": 33, "shmget": 194, "shmat": 196,
    "msgget": 186, "semget": 190, "mq_open": 180, "clone": 220, "clone3": 435, "kill": 129,
    "tgkill": 131, "prlimit64": 261, "sched_setparam": 118, "sched_setscheduler": 119,
    "sched_setaffinity": 122, "sched_setattr": 274, "setpriority": 140, "ioprio_set": 30,
    "move_pages": 239, "migrate_pages": 238, "fcntl": 25, "prctl": 167, "shmctl": 195, "semctl": 191,
    "semop": 193, "semtimedop": 192, "msgctl": 187, "msgsnd": 189, "msgrcv": 188, "mq_unlink": 181,
    "io_setup": 0, "landlock_create_ruleset": 444, "landlock_add_rule": 445,
    "landlock_restrict_self": 446, "process_mrelease": 448, "quotactl_fd": 443,
    "open_tree_attr": 467, "file_setattr": 469,
    "memfd_create": 279, "memfd_secret": 447, "mmap": 222, "openat": 56, "openat2": 437,
})  # fmt: skip
_MACHINES: Mapping[str, tuple[int, int, Mapping[str, int]]] = MappingProxyType(
    {"x86_64": (0xC000003E, 317, _X86_64), "aarch64": (0xC00000B7, 277, _AARCH64)}
)
_MAP_SHARED, _MAP_ANONYMOUS, _O_TMPFILE = 0x01, 0x20, 0x400000
_F_SETOWN, _F_SETOWN_EX = 8, 15
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_OWN_ALONE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"kill": (), "tgkill": (), "prlimit64": (0,)}
)
"""Calls whose first argument is a process: allowed on this one, which goes by these values as well."""
_WITHOUT: Mapping[str, tuple[int, tuple[int, ...]]] = MappingProxyType(
    {
        "fcntl": (_SECOND_ARGUMENT, (_F_SETOWN, _F_SETOWN_EX)),
        "prctl": (_FIRST_ARGUMENT, (_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE)),
    }
)
"""Calls that are allowed but with these values of one argument: a file may signal nobody else, and the
process neither outlives its parent nor hides from it."""
_WITHOUT_BITS: Mapping[str, tuple[int, tuple[int, ...]]] = MappingProxyType(
    {
        "mmap": (_FOURTH_ARGUMENT, (_MAP_SHARED, _MAP_ANONYMOUS)),
        "open": (_SECOND_ARGUMENT, (_O_TMPFILE,)),
        "openat": (_THIRD_ARGUMENT, (_O_TMPFILE,)),
    }
)
"""Calls that are allowed unless one argument has all of these bits."""
_BEHIND_A_POINTER = ("clone3", "openat2")
"""Calls whose flags cannot be read here; who is told that there are none takes their forerunners."""
_BY_ARGUMENT = frozenset({"clone", *_BEHIND_A_POINTER, *_OWN_ALONE, *_WITHOUT, *_WITHOUT_BITS})


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def program(machine: str, process: int) -> bytes:
    """The filter's instructions, 8 bytes each.

    Args:
        machine: as ``platform.machine()`` names it.
        process: the id to which signals may be sent, and whose limits may be set.

    Raises:
        OSError: the machine's system calls are not known here.
    """
    if machine not in _MACHINES:
        raise OSError(f"no filter of system calls is known for {machine!r}")
    architecture, _, numbers = _MACHINES[machine]
    denied = _instruction(_RETURN, _ERRNO | _EPERM)
    lines = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, architecture, if_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        lines += [_instruction(_AT_LEAST, _X32, if_false=1), denied]
    for name in _BEHIND_A_POINTER:
        lines += [
            _instruction(_EQUAL, numbers[name], if_false=1),
            _instruction(_RETURN, _ERRNO | _ENOSYS),
        ]
    lines += [
        _instruction(_EQUAL, numbers["clone"], if_false=4),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_ANY_BIT, _CLONE_THREAD, if_false=1),
        _instruction(_RETURN, _ALLOW),
        denied,
    ]
    allowed = _instruction(_RETURN, _ALLOW)
    for name, values in _OWN_ALONE.items():
        lines += _by_value(numbers[name], _FIRST_ARGUMENT, (process, *values), allowed, denied)
    for name, (argument, values) in _WITHOUT.items():
        lines += _by_value(numbers[name], argument, values, denied, allowed)
    for name, (argument, bits) in _WITHOUT_BITS.items():
        if name in numbers:
            lines += _by_bits(numbers[name], argument, bits, denied, allowed)
    for name, number in numbers.items():
        if name not in _BY_ARGUMENT:
            lines += [_instruction(_EQUAL, number, if_false=1), denied]
    return b"".join((*lines, allowed))


def _by_value(
    number: int, argument: int, values: Sequence[int], among: bytes, otherwise: bytes
) -> list[bytes]:
    """One call, decided by an argument of 32 bits: whether its value is among these."""
    found: list[bytes] = []
    for value in values:
        found += [_instruction(_EQUAL, value, if_false=1), among]
    return [
        _instruction(_EQUAL, number, if_false=len(found) + 2),
        _instruction(_LOAD, argument),
        *found,
        otherwise,
    ]


def _by_bits(
    number: int, argument: int, bits: Sequence[int], every: bytes, otherwise: bytes
) -> list[bytes]:
    """One call, decided by whether an argument has every one of these bits."""
    last = len(bits) - 1
    return [
        _instruction(_EQUAL, number, if_false=len(bits) + 3),
        _instruction(_LOAD, argument),
        *(_instruction(_ANY_BIT, bit, if_false=last - at + 1) for at, bit in enumerate(bits)),
        every,
        otherwise,
    ]


def restrict() -> None:
    """Filter the system calls of every thread of this process, for good.

    Raises:
        OSError: the kernel refused, or the machine is not known.
    """
    machine = platform.machine()
    instructions = program(machine, os.getpid())
    held = ctypes.create_string_buffer(instructions, len(instructions))
    whole = _Program(len(instructions) // 8, ctypes.cast(held, ctypes.c_void_p))
    called(
        _MACHINES[machine][1],
        ctypes.c_uint(_SET_MODE_FILTER),
        ctypes.c_uint(_TSYNC),
        ctypes.byref(whole),
    )
