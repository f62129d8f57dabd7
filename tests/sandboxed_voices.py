"""Factories that a sandbox opens in tests: a quick voice, and ones that try to get out."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from everloop.contracts.sandboxes import VoiceConfiguration, VoiceOpening
from everloop.contracts.voices import Message
from everloop.sandbox.apart import libc
from tests.fake_speaker import FakeSpeaker


class Voice:
    """An ``OpenedVoice`` around a fake speaker."""

    def __init__(self, speaker: FakeSpeaker, settings: Mapping[str, str]) -> None:
        self.speaker = speaker
        self.configuration = VoiceConfiguration(dict(settings))

    def prompt(
        self, said: Sequence[Message], traits: Mapping[str, float], user_id: str
    ) -> tuple[Message, ...]:
        system = f"You speak. {dict(sorted(traits.items()))} {user_id}"
        return (Message("system", system), *said)


def quick(opening: VoiceOpening) -> Voice:
    """Answers by ``FakeSpeaker``; its configuration repeats the opening."""
    adapters = [each.version for each in opening.adapters]
    return Voice(FakeSpeaker(adapters), {"base": opening.base.sha256, "graph": opening.graph})


def escaping(opening: VoiceOpening) -> Voice:
    """What it is told, it tries, and says what it met."""
    return Voice(
        FakeSpeaker(says=lambda request: _met(*request.messages[-1].content.split("|"))), {}
    )


def at_once(opening: VoiceOpening) -> Voice:
    """Tries to get out while it is loaded, as a planted adapter would."""
    return Voice(FakeSpeaker(), {"met": _met(*opening.graph.split("|"))})


def _met(what: str, *arguments: str) -> str:
    try:
        return f"did it: {_WAYS[what](*arguments)}"
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"


def _connect(host: str, port: str) -> str:
    with socket.create_connection((host, int(port)), 1):
        return "connected"


def _resolve() -> str:
    return str(socket.getaddrinfo("example.com", 80))


def _read(path: str) -> str:
    return Path(path).read_text()


def _write(path: str) -> str:
    with Path(path).open("r+b") as file:
        return str(file.write(b"gone"))


def _program(*command: str) -> str:
    return subprocess.run(
        (sys.executable, "-c", *command), check=True, capture_output=True, text=True
    ).stdout


def _fork(host: str, port: str) -> str:
    started = os.fork()
    if started == 0:
        os._exit(0 if "connected" in _met("connect", host, port) else 1)
    return str(os.waitpid(started, 0))


def _environment() -> str:
    return ",".join(sorted(os.environ))


def _memory() -> str:
    return str(len(bytearray(4 << 30)))


def _forever() -> str:
    while True:
        pass


def _leave() -> str:
    os._exit(7)


def _fill(path: str) -> str:
    return str(Path(path).write_bytes(bytes(200 << 20)))


def _limit(process: str) -> str:
    return str(resource.prlimit(int(process), resource.RLIMIT_NOFILE, (77, 77)))


def _limit_itself() -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE, (soft - 1, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 2, hard))
    return "limited"


def _call(*arguments: str) -> str:
    return str(libc.called(*(int(each) for each in arguments)))


def _deaf() -> str:
    """Answers by itself, so that the next question is written, and reads nothing any more."""
    from everloop.sandbox.apart.messages import Answers, write_frame

    writing = int(sys.argv[2])
    write_frame(writing, Answers(answers=()))
    time.sleep(3600)
    return ""


def _unasked() -> str:
    """Says something before its answer."""
    from everloop.sandbox.apart.messages import Piece, write_frame

    write_frame(int(sys.argv[2]), Piece(text="and another thing"))
    return "an answer"


def _cut(path: str) -> str:
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))
    return "cut"


def _shared() -> str:
    with mmap.mmap(-1, 1 << 20) as held:
        return str(len(held))


def _zeros() -> str:
    with Path("/dev/zero").open("rb") as file, mmap.mmap(file.fileno(), 1 << 20, prot=1) as held:
        return str(len(held))


def _stack() -> str:
    """Memory that grows downwards counts as stack, for which RLIMIT_DATA does not ask."""
    c = ctypes.CDLL(None)
    c.mmap.restype = ctypes.c_void_p
    size = 400 << 20
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100
    place = c.mmap(None, ctypes.c_size_t(size), 3, flags, -1, ctypes.c_long(0))
    ctypes.memset(place, 1, size)
    time.sleep(3600)
    return ""


def _files() -> str:
    for name in range(6):
        with Path(f"file-{name}").open("wb") as file:
            file.truncate(60 << 20)
    time.sleep(3600)
    return ""


def _threads() -> str:
    threading.stack_size(64 << 10)
    for _ in range(1000):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    time.sleep(3600)
    return ""


def _open_files() -> str:
    return str(len([os.open("/dev/null", os.O_RDONLY) for _ in range(1000)]))


def _nameless() -> str:
    return str(os.open(".", os.O_TMPFILE | os.O_RDWR))


def _remove() -> str:
    made = Path("made")
    made.write_bytes(b"x")
    made.unlink()
    return "removed"


_WAYS: Mapping[str, Callable[..., str]] = {
    "connect": _connect,
    "resolve": _resolve,
    "read": _read,
    "write": _write,
    "program": _program,
    "fork": _fork,
    "environment": _environment,
    "memory": _memory,
    "forever": _forever,
    "leave": _leave,
    "fill": _fill,
    "limit": _limit,
    "limit itself": _limit_itself,
    "call": _call,
    "cut": _cut,
    "shared": _shared,
    "zeros": _zeros,
    "stack": _stack,
    "files": _files,
    "threads": _threads,
    "open files": _open_files,
    "nameless": _nameless,
    "remove": _remove,
    "memory file": lambda: str(os.memfd_create("x")),
    "deaf": _deaf,
    "unasked": _unasked,
}
