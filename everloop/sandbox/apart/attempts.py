"""What the sandbox tries before the first scenario, from inside: everything here must be denied.

The parent makes each of these attempts itself before, with success (``lures``), so that a denial says
something about the sandbox and not about a wrong address.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from everloop.sandbox.apart.messages import Bait

SECONDS = 0.5
"""How long an answer from the network is waited for."""
QUERY = (
    b"\x13\x37\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08everloop\x07invalid\x00\x00\x01\x00\x01"
)
"""A question for an address, as a resolver is asked it (RFC 1035)."""

NETWORK = (
    "connect by TCP",
    "ask a name server",
    "connect to a UNIX socket",
    "connect to an abstract socket",
    "open a netlink socket",
    "start a program that connects",
    "start a process that connects",
)
WRITES = (
    "write outside of scratch",
    "make a file outside of scratch",
    "remove a file outside of scratch",
    "change a file's mode outside of scratch",
    "cut a file outside of scratch",
    "cut a file that it may read",
    "write a file that it may read",
)
OTHERS = (
    "read a secret",
    "read the parent's environment",
    "signal the parent",
    "limit the parent",
    "place the parent on a processor",
    "have the parent signalled by a file",
    "share memory",
    "make a file of memory",
)


def tcp(bait: Bait) -> None:
    with socket.create_connection((bait.host, bait.tcp_port), SECONDS):
        pass


def name_server(bait: Bait) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(SECONDS)
        asking.sendto(QUERY, (bait.host, bait.udp_port))
        asking.recv(512)


def unix(bait: Bait) -> None:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(bait.unix_path))


def abstract(bait: Bait) -> None:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(f"\0{bait.abstract_name}")


def netlink(_bait: Bait) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


def program(bait: Bait) -> None:
    code = f"import socket; socket.create_connection(({bait.host!r}, {bait.tcp_port}), {SECONDS})"
    subprocess.run(  # noqa: S603 — our own program, to show that it cannot be started
        (sys.executable, "-I", "-S", "-c", code), check=True, capture_output=True, timeout=30
    )


def process(bait: Bait) -> None:
    started = os.fork()
    if started == 0:
        try:
            tcp(bait)
        except BaseException:  # a forked child may not go on as its parent
            os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(started, 0)[1]) != 0:
        raise ChildProcessError("the process was started, and did not connect")


def write(bait: Bait) -> None:
    with bait.canary.open("r+b") as file:
        file.write(b"x")


def make(bait: Bait) -> None:
    made = bait.canary.with_name("made")
    made.write_bytes(b"")
    made.unlink()


def remove(bait: Bait) -> None:
    bait.canary.with_name("removable").unlink()


def mode(bait: Bait) -> None:
    bait.canary.chmod(0o600)


def cut(bait: Bait) -> None:
    open_for(bait.canary, os.O_RDONLY | os.O_TRUNC)


def cut_lent(bait: Bait) -> None:
    open_for(bait.lent, os.O_RDONLY | os.O_TRUNC)


def write_lent(bait: Bait) -> None:
    open_for(bait.lent, os.O_RDWR)


def read(bait: Bait) -> None:
    bait.secret.read_bytes()


def environment(bait: Bait) -> None:
    Path(f"/proc/{bait.parent}/environ").read_bytes()


def signal_parent(bait: Bait) -> None:
    os.kill(bait.parent, 0)


def limit_parent(bait: Bait) -> None:
    found = resource.prlimit(bait.parent, resource.RLIMIT_CORE)
    resource.prlimit(bait.parent, resource.RLIMIT_CORE, found)


def place_parent(bait: Bait) -> None:
    os.sched_setaffinity(bait.parent, os.sched_getaffinity(bait.parent))


def own_parent(bait: Bait) -> None:
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(reading, fcntl.F_SETOWN, bait.parent)
    finally:
        os.close(reading)
        os.close(writing)


def shared_memory(_bait: Bait) -> None:
    mmap.mmap(-1, mmap.PAGESIZE).close()


def memory_file(_bait: Bait) -> None:
    os.close(os.memfd_create("everloop"))


ATTEMPTS: Mapping[str, Callable[[Bait], None]] = dict(
    zip(
        (*NETWORK, *WRITES, *OTHERS),
        (
            tcp, name_server, unix, abstract, netlink, program, process, write, make, remove, mode,
            cut, cut_lent, write_lent,
            read, environment, signal_parent, limit_parent, place_parent, own_parent,
            shared_memory, memory_file,
        ),
        strict=True,
    )
)  # fmt: skip
"""Name -> the attempt; it returns where it succeeded."""


def open_for(path: Path, flags: int) -> None:
    """Open a file and close it, with nothing read or written."""
    os.close(os.open(path, flags | os.O_CLOEXEC))


def of_files(bait: Bait) -> Mapping[str, Callable[[], None]]:
    """The attempts on the workspace's own files."""
    found: dict[str, Callable[[], None]] = {}
    for path in bait.guarded:
        found[f"read {path.name}"] = lambda path=path: open_for(path, os.O_RDONLY)  # type: ignore[misc]
        found[f"write {path.name}"] = lambda path=path: open_for(path, os.O_RDWR)  # type: ignore[misc]
    for path in bait.state:
        found[f"write the state's {path.name}"] = lambda path=path: open_for(path, os.O_RDWR)  # type: ignore[misc]
    return found


def tried(bait: Bait) -> Mapping[str, str]:
    """Each attempt with the error that it met; "" where it succeeded."""
    every = {name: (lambda one=one: one(bait)) for name, one in ATTEMPTS.items()}
    return {name: _met(one) for name, one in (*every.items(), *of_files(bait).items())}


def is_denial(met: str) -> bool:
    """Whether an attempt was denied, and not merely unlucky."""
    return met.startswith("PermissionError")


def _met(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"
    return ""
