"""What a sandbox would reach if it were none: listeners and files of the parent's, tried out first."""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from everloop.contracts.errors import ShouldProvideEngine
from everloop.sandbox.apart import attempts
from everloop.sandbox.apart.messages import Bait

_HOST = "127.0.0.1"
_SECRET = b"EVERLOOP_PSEUDONYM_KEY=planted\n"
_LENT = b"weights"
_SKIPPED = frozenset({"start a process that connects"})
"""Not tried in the parent, which may have threads; the program that connects stands for it."""


class Lures:
    """Listeners on this machine and files in a folder, for as long as the sandbox runs.

    Args:
        folder: of the files; beside the sandbox's scratch, not in it.
        guarded: files of the workspace that the sandbox may neither read nor write; those that do not
            exist are left out.
        state: files that it may read and not write.

    ``reached`` names what was reached since the parent tried everything itself.
    """

    def __init__(
        self, folder: Path, guarded: Sequence[Path] = (), state: Sequence[Path] = ()
    ) -> None:
        self._folder = folder
        self._guarded = tuple(path for path in guarded if path.exists())
        self._state = tuple(state)
        self._reached: set[str] = set()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o700, parents=True)
        (self._folder / "canary").write_bytes(b"canary")
        (self._folder / "removable").write_bytes(b"removable")
        (self._folder / "secrets.env").write_bytes(_SECRET)
        (self._folder / "lent").mkdir()
        (self._folder / "lent" / "weights").write_bytes(_LENT)
        name = f"everloop-{secrets.token_hex(8)}"
        self._tcp = socket.create_server((_HOST, 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((_HOST, 0))
        self._unix, self._abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self._unix.bind(str(self._folder / "s"))
        self._abstract.bind(f"\0{name}")
        self._unix.listen()
        self._abstract.listen()
        self.bait = Bait(
            host=_HOST,
            tcp_port=self._tcp.getsockname()[1],
            udp_port=self._udp.getsockname()[1],
            unix_path=self._folder / "s",
            abstract_name=name,
            canary=self._folder / "canary",
            secret=self._folder / "secrets.env",
            lent=self._folder / "lent" / "weights",
            parent=os.getpid(),
            guarded=self._guarded,
            state=self._state,
        )
        self._thread = threading.Thread(target=self._listen, name="sandbox lures", daemon=True)
        self._thread.start()
        try:
            self._try_out()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        for each in (self._tcp, self._udp, self._unix, self._abstract):
            each.close()

    def reached(self) -> tuple[str, ...]:
        """What the sandbox reached after all, as the parent sees it; empty where nothing."""
        found = set(self._reached)
        expected: Mapping[str, bytes | None] = {
            "canary": b"canary",
            "removable": b"removable",
            "secrets.env": _SECRET,
            "lent/weights": _LENT,
            "made": None,
        }
        for name, content in expected.items():
            path = self._folder / name
            if (path.read_bytes() if path.exists() else None) != content:
                found.add(f"the file {name}")
        return tuple(sorted(found))

    def _listen(self) -> None:
        with selectors.DefaultSelector() as waiting:
            for each, name in (
                (self._tcp, "TCP"),
                (self._udp, "the name server"),
                (self._unix, "the UNIX socket"),
                (self._abstract, "the abstract socket"),
            ):
                waiting.register(each, selectors.EVENT_READ, name)
            while not self._stop.is_set():
                for key, _ in waiting.select(0.05):
                    self._take(key.fileobj, key.data)  # type: ignore[arg-type]

    def _take(self, listener: socket.socket, name: str) -> None:
        self._reached.add(name)
        if listener is self._udp:
            asked, sender = listener.recvfrom(512)
            listener.sendto(asked, sender)
        else:
            listener.accept()[0].close()

    def _try_out(self) -> None:
        """Make every attempt here, where it must succeed, and put back what that changed."""
        for name, attempt in attempts.ATTEMPTS.items():
            if name not in _SKIPPED:
                self._must(name, lambda attempt=attempt: attempt(self.bait))  # type: ignore[misc]
        for name, open_it in attempts.of_files(self.bait).items():
            self._must(name, open_it)
        (self._folder / "canary").write_bytes(b"canary")
        (self._folder / "removable").write_bytes(b"removable")
        self.bait.lent.write_bytes(_LENT)
        wanted = {"TCP", "the name server", "the UNIX socket", "the abstract socket"}
        for _ in range(100):
            if self._reached == wanted:
                break
            self._stop.wait(0.02)
        else:
            raise ShouldProvideEngine(
                f"Only {sorted(self._reached)} heard what was tried from outside the sandbox.",
                "Let loopback and UNIX sockets work where sandboxes are run.",
            )
        self._reached.clear()

    @staticmethod
    def _must(name: str, attempt: Callable[[], object]) -> None:
        try:
            attempt()
        except Exception as problem:
            raise ShouldProvideEngine(
                f"Outside the sandbox, where it must succeed, the attempt to {name} failed: {problem}.",
                "Without it a denial inside would show nothing: run it where this works.",
            ) from problem
