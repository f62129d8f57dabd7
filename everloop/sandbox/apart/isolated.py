"""The parent's side: a voice in a process apart, asked as any other voice is."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pydantic import BaseModel

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixInput,
    ShouldProvideEngine,
    ShouldRetryLater,
)
from everloop.contracts.sandboxes import Isolation, VoiceConfiguration, VoiceOpening
from everloop.contracts.speaking import Answer, Speaker, SpeakRequest, TextScore
from everloop.contracts.voice_spec import SandboxSpec
from everloop.contracts.voices import Message
from everloop.sandbox.apart import attempts
from everloop.sandbox.apart.code_folder import linked
from everloop.sandbox.apart.confinement import Limits
from everloop.sandbox.apart.lures import Lures
from everloop.sandbox.apart.messages import (
    Answers,
    AskAnswers,
    AskPrompt,
    AskScores,
    AskStream,
    Begin,
    Closed,
    Failed,
    Open,
    Opened,
    Piece,
    Prompt,
    Said,
    Scores,
    is_readable,
    read_said,
    write_frame,
)
from everloop.sandbox.apart.watch import Watch
from everloop.settings.threads import SPINS

_START_SECONDS = 60.0
_GRACE_SECONDS = 1.0
"""After the deadline, before the process is ended though nobody waits for it."""
_LAST_LINES = 2000
_LONGEST_PLACE = 70
"""Bytes of a folder's path with which a sandbox's UNIX socket still fits into Linux's 107."""
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # a folder of its own is made in one
T = TypeVar("T", bound=BaseModel)


class ShouldCloseSandbox(ShouldProvideEngine):
    """The sandbox is open somewhere: nothing was loaded into it. ``isolation`` says where."""

    def __init__(self, message: str, remedy: str = "", isolation: Isolation | None = None) -> None:
        super().__init__(message, remedy)
        self.isolation = isolation or Isolation(False, False, False, ())


class ShouldMendVoice(ShouldFixInput):
    """The voice in the sandbox raised an error; the sandbox goes on."""


class IsolatedVoice:
    """A voice opened in a process without network, with nothing to write and little to read.

    It is an ``OpenedVoice`` and a ``Speaker``. Use it as a context manager; leaving it ends the process
    with everything in it.

    Args:
        factory: ``module:function`` that opens the voice (``VoiceFactory``), the service's own.
        opening: model, adapters and a copy of the persona graph.
        spec: its time in all and its memory.
        guarded: the workspace's own files (database, keys): the sandbox must be unable to open them.
        threads: that the model may use.
        paths: places of code; None: this process' own.

    Past its time, its memory, its threads or its disk it is ended, whoever waits for it or not; what is
    asked next raises ``ShouldRetryLater`` (time) or ``ShouldFixInput`` (the others).

    Raises (on entering):
        ShouldCloseSandbox: it could not be closed, or an attempt was not denied. Nothing was loaded.
        ShouldMendVoice: the factory raised.
        ShouldRetryLater: it took too long.
    """

    def __init__(
        self,
        factory: str,
        opening: VoiceOpening,
        spec: SandboxSpec,
        guarded: Sequence[Path] = (),
        threads: int = 1,
        paths: Sequence[str] | None = None,
    ) -> None:
        self._factory, self._opening, self._spec = factory, opening, spec
        self._guarded, self._threads, self._paths = tuple(guarded), threads, paths
        self._process: subprocess.Popen[bytes] | None = None
        self._lures: Lures | None = None
        self._watch: Watch | None = None
        self._root: Path | None = None
        self.isolation = Isolation(False, False, False, ())
        self.configuration = VoiceConfiguration({})

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + self._spec.timeout_seconds
        self._root = Path(
            tempfile.mkdtemp(prefix="everloop-sandbox-", dir=_short_place())
        ).resolve()
        try:
            readable = self._start()
            self._close(readable)
            said = self._ask(Open(factory=self._factory, opening=self._opening), Opened)
            self.configuration = said.configuration
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.checked()
        finally:
            self.end()

    @property
    def speaker(self) -> Speaker:
        """This voice."""
        return self

    def answer(self, requests: Sequence[SpeakRequest]) -> tuple[Answer, ...]:
        """See ``Speaker``."""
        return self._ask(AskAnswers(requests=tuple(requests)), Answers).answers

    def stream(self, request: SpeakRequest) -> Iterator[str]:
        """See ``Speaker``."""
        piece = self._ask(AskStream(request=request), Piece)
        while not piece.last:
            yield piece.text
            piece = self._expected(Piece)

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str], adapter: str = ""
    ) -> tuple[TextScore, ...]:
        """See ``Speaker``."""
        told = AskScores(prompts=tuple(prompts), completions=tuple(completions), adapter=adapter)
        return self._ask(told, Scores).scores

    def prompt(
        self, said: Sequence[Message], traits: Mapping[str, float], user_id: str
    ) -> tuple[Message, ...]:
        """See ``OpenedVoice``."""
        told = AskPrompt(said=tuple(said), traits=dict(traits), user_id=user_id)
        return self._ask(told, Prompt).messages

    def checked(self) -> Isolation:
        """The isolation once more, after the work: nothing outside was reached meanwhile.

        Raises:
            ShouldCloseSandbox: something was.
        """
        reached = self._lures.reached() if self._lures is not None else ()
        if reached:
            self.isolation = Isolation(
                False,
                False,
                False,
                self.isolation.mechanisms,
                {**self.isolation.tried, **{f"reached {each}": "" for each in reached}},
            )
            raise ShouldCloseSandbox(
                f"The sandbox reached {', '.join(reached)}.",
                "Trust nothing of this run; check the adapter.",
                self.isolation,
            )
        return self.isolation

    def end(self) -> None:
        """End the process with everything in it and remove its folder."""
        if self._watch is not None:
            self._watch.stop()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            os.close(self._writing)
            os.close(self._reading)
            self._process = None
        if self._lures is not None:
            self._lures.__exit__(None, None, None)
            self._lures = None
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None

    def _start(self) -> tuple[Path, ...]:
        """Start the process, not yet closed; what it may read."""
        root = self._folder()
        (root / "scratch").mkdir()
        code = linked(root / "code", self._paths)
        models = (self._opening.base.path, *(each.path for each in self._opening.adapters))
        readable = tuple(
            path.resolve() for path in (root / "code", root / "outside" / "lent", *code, *models)
        )
        for path in self._guarded:
            held = next((each for each in readable if path.resolve().is_relative_to(each)), None)
            if held is not None:
                raise ShouldFixArgument(
                    f"{path} lies in {held}, which the sandbox reads.",
                    "Keep the workspace elsewhere.",
                )
        state = tuple(file for file in map(_a_file, models) if file is not None)
        self._lures = Lures(root / "outside", self._guarded, state).__enter__()
        to_child, self._writing = os.pipe()
        self._reading, from_child = os.pipe()
        with (root / "scratch" / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 — our own module
                (
                    sys.executable,
                    "-m",
                    "everloop.sandbox.apart.process",
                    str(to_child),
                    str(from_child),
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(root),
                cwd=root / "scratch",
                pass_fds=(to_child, from_child),
                start_new_session=True,
            )
        os.close(to_child)
        os.close(from_child)
        os.set_blocking(self._writing, False)
        self._watch = Watch(
            self._process.pid, root / "scratch", self._limits(), self._deadline + _GRACE_SECONDS
        )
        return readable

    def _limits(self) -> Limits:
        return Limits(
            self._spec.memory_mb * 1024 * 1024,
            int(self._spec.timeout_seconds * max(1, self._threads)) + 1,
        )

    def _environment(self, root: Path) -> dict[str, str]:
        """Its whole environment: no variable of this process' own goes over."""
        scratch = str(root / "scratch")
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": scratch,
            "TMPDIR": scratch,
            "HF_HOME": f"{scratch}/hf",
            "HF_HUB_OFFLINE": "1",
            "USER": "sandbox",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(root / "code"),
            "PYTHONSAFEPATH": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": str(self._threads),
            "GOMP_SPINCOUNT": SPINS,
            "TOKENIZERS_PARALLELISM": "false",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def _close(self, readable: tuple[Path, ...]) -> None:
        """Have it close itself and try the doors; raise unless every one is shut."""
        lures = self._lures
        if lures is None:
            raise ShouldFixArgument("The sandbox was not started.", "Enter it.")
        limits = self._limits()
        begin = Begin(
            readable=readable,
            scratch=self._folder() / "scratch",
            memory_bytes=limits.memory_bytes,
            cpu_seconds=limits.cpu_seconds,
            bait=lures.bait,
        )
        try:
            closed = self._ask(
                begin, Closed, min(self._deadline, time.monotonic() + _START_SECONDS)
            )
        except ShouldMendVoice as problem:
            raise ShouldCloseSandbox(problem.message, problem.remedy) from problem
        self.isolation = isolation_of(closed, lures.reached())
        open_ = [name for name, met in self.isolation.tried.items() if not attempts.is_denial(met)]
        if open_:
            met = self.isolation.tried[open_[0]] or "it succeeded"
            raise ShouldCloseSandbox(
                f"The sandbox was not denied to {open_[0]} ({met})"
                + (f", nor {len(open_) - 1} other attempts." if open_[1:] else "."),
                "Nothing was loaded. Run it on Linux 6.2 or later with Landlock and seccomp.",
                self.isolation,
            )

    def _ask(self, told: BaseModel, expected: type[T], deadline: float | None = None) -> T:
        if self._process is None:
            raise ShouldRetryLater("The sandbox has ended.", "Open it again.")
        with self._ending():
            if is_readable(self._reading):
                said = read_said(self._reading, deadline or self._deadline)
                raise ShouldFixInput(
                    f"The sandbox said {type(said).__name__} without being asked.",
                    "Trust nothing of this run; check the adapter.",
                )
            write_frame(self._writing, told, deadline or self._deadline)
        return self._expected(expected, deadline)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """End the sandbox with what it did wrong, and its last lines."""
        try:
            yield
        except (ShouldRetryLater, ShouldFixInput, BrokenPipeError) as met:
            last, watch = self._log(), self._watch
            self.end()
            problem = watch.problem if watch is not None and watch.problem is not None else met
            if not isinstance(problem, ShouldRetryLater | ShouldFixInput):
                problem = ShouldRetryLater("The sandbox has ended.", "Open it again.")
            raise type(problem)(f"{problem.message} {last}".strip(), problem.remedy) from met

    def _expected(self, expected: type[T], deadline: float | None = None) -> T:
        with self._ending():
            said: Said = read_said(self._reading, deadline or self._deadline)
        if isinstance(said, Failed):
            raise ShouldMendVoice(f"In the sandbox: {said.kind}: {said.message}")
        if not isinstance(said, expected):
            self.end()
            raise ShouldFixInput(
                f"The sandbox answered {type(said).__name__} to what asks for {expected.__name__}.",
                "Trust nothing of this run; check the adapter.",
            )
        return said

    def _folder(self) -> Path:
        if self._root is None:
            raise ShouldRetryLater("The sandbox has ended.", "Open it again.")
        return self._root

    def _log(self) -> str:
        """The last lines that it wrote."""
        path = self._root / "scratch" / "log" if self._root is not None else None
        if path is None or path.is_symlink() or not path.is_file():
            return ""
        text = path.read_bytes()[-_LAST_LINES:].decode("utf-8", "replace").strip()
        return f"It wrote last: {text}" if text else ""


def isolation_of(closed: Closed, reached: Sequence[str]) -> Isolation:
    """What was denied, of every attempt; what the parent saw reached counts as not denied."""
    tried = {**closed.tried, **{f"reached {each}": "" for each in reached}}
    missing = {*attempts.ATTEMPTS} - closed.tried.keys()
    tried |= dict.fromkeys(missing, "it was not tried")

    def denied(names: Sequence[str]) -> bool:
        return not reached and all(attempts.is_denial(tried[name]) for name in names)

    own = [name for name in tried if name not in attempts.ATTEMPTS]
    return Isolation(
        network_denied=denied(attempts.NETWORK),
        writes_denied=denied(attempts.WRITES),
        state_read_only=denied((*attempts.OTHERS, *own)),
        mechanisms=closed.mechanisms,
        tried=tried,
    )


def _short_place() -> str:
    """Where temporary files go; another place where that one's path is too long for a socket in it."""
    for place in (tempfile.gettempdir(), *_PLACES):
        real = os.path.realpath(place)
        if len(os.fsencode(real)) <= _LONGEST_PLACE and os.access(real, os.W_OK | os.X_OK):
            return real
    raise ShouldProvideEngine(
        f"{tempfile.gettempdir()} is too long a path for a socket, and none of {', '.join(_PLACES)} "
        "can be written to.",
        f"Set TMPDIR to a folder of at most {_LONGEST_PLACE} bytes.",
    )


def _a_file(folder: Path) -> Path | None:
    """One of a model's files, for the attempt to write it."""
    return next((each for each in sorted(folder.rglob("*")) if each.is_file()), None)
