"""What parent and sandbox say to each other: frames of JSON on two pipes, each of a known type.

A frame is its length (4 bytes, big-endian) and that many bytes of JSON. What does not fit its type is
refused, so that a sandbox can make its parent believe nothing but answers.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from everloop.contracts.errors import ShouldFixInput, ShouldRetryLater
from everloop.contracts.sandboxes import VoiceConfiguration, VoiceOpening
from everloop.contracts.speaking import Answer, SpeakRequest, TextScore
from everloop.contracts.voices import Message

TOO_LONG = "The sandbox took longer than it may."
MAX_FRAME = 64 * 1024 * 1024
"""Bytes of one frame."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bait(_Value):
    """What the process tries to reach. ``lent``: a file of no worth that it may read, as it may its
    model's; ``guarded``: files of the workspace, from the database to the keys; ``state``: files that it
    may read and not write."""

    host: str
    tcp_port: int
    udp_port: int
    unix_path: Path
    abstract_name: str
    canary: Path
    secret: Path
    lent: Path
    parent: int
    guarded: tuple[Path, ...] = ()
    state: tuple[Path, ...] = ()


class Begin(_Value):
    """The first frame: what may be read and written, what is limited, what is to be tried."""

    tell: Literal["begin"] = "begin"
    readable: tuple[Path, ...]
    scratch: Path
    memory_bytes: int
    cpu_seconds: int
    bait: Bait


class Open(_Value):
    tell: Literal["open"] = "open"
    factory: str
    opening: VoiceOpening


class AskAnswers(_Value):
    tell: Literal["answers"] = "answers"
    requests: tuple[SpeakRequest, ...]


class AskStream(_Value):
    tell: Literal["stream"] = "stream"
    request: SpeakRequest


class AskScores(_Value):
    tell: Literal["scores"] = "scores"
    prompts: tuple[tuple[Message, ...], ...]
    completions: tuple[str, ...]
    adapter: str


class AskPrompt(_Value):
    tell: Literal["prompt"] = "prompt"
    said: tuple[Message, ...]
    traits: Mapping[str, float]
    user_id: str


Told = Annotated[
    Begin | Open | AskAnswers | AskStream | AskScores | AskPrompt, Field(discriminator="tell")
]


class Closed(_Value):
    """What enforces the sandbox, and each attempt with the error that it met ("" where it succeeded)."""

    say: Literal["closed"] = "closed"
    mechanisms: tuple[str, ...]
    tried: Mapping[str, str]


class Opened(_Value):
    say: Literal["opened"] = "opened"
    configuration: VoiceConfiguration


class Answers(_Value):
    say: Literal["answers"] = "answers"
    answers: tuple[Answer, ...]


class Piece(_Value):
    """A piece of a stream; ``last`` has no text."""

    say: Literal["piece"] = "piece"
    text: str
    last: bool = False


class Scores(_Value):
    say: Literal["scores"] = "scores"
    scores: tuple[TextScore, ...]


class Prompt(_Value):
    say: Literal["prompt"] = "prompt"
    messages: tuple[Message, ...]


class Failed(_Value):
    """An exception; the sandbox goes on after it."""

    say: Literal["failed"] = "failed"
    kind: str
    message: str


Said = Annotated[
    Closed | Opened | Answers | Piece | Scores | Prompt | Failed, Field(discriminator="say")
]
TOLD: TypeAdapter[Told] = TypeAdapter(Told)
SAID: TypeAdapter[Said] = TypeAdapter(Said)


def write_frame(descriptor: int, value: BaseModel, deadline: float | None = None) -> None:
    """Write one message whole.

    Args:
        deadline: of ``time.monotonic``; the descriptor is then a non-blocking one.

    Raises:
        ShouldRetryLater: the deadline passed while the other side did not read.
    """
    body = value.model_dump_json().encode()
    left = memoryview(struct.pack(">I", len(body)) + body)
    while left:
        if deadline is not None:
            _wait(descriptor, select.POLLOUT, deadline)
        with contextlib.suppress(BlockingIOError):
            left = left[os.write(descriptor, left) :]


def read_told(descriptor: int) -> Told | None:
    """The parent's next message; None once it has gone."""
    head = _read(descriptor, 4, None)
    if not head:
        return None
    return TOLD.validate_json(_read(descriptor, struct.unpack(">I", head)[0], None))


def read_said(descriptor: int, deadline: float) -> Said:
    """The sandbox's next message.

    Args:
        deadline: of ``time.monotonic``.

    Raises:
        ShouldRetryLater: the deadline passed, or the sandbox ended.
        ShouldFixInput: it said what is no message.
    """
    (length,) = struct.unpack(">I", _whole(descriptor, 4, deadline))
    if length > MAX_FRAME:
        raise ShouldFixInput(
            f"The sandbox announced a message of {length} bytes.", f"At most {MAX_FRAME}."
        )
    body = _whole(descriptor, length, deadline)
    try:
        return SAID.validate_json(body)
    except ValidationError as problem:
        raise ShouldFixInput(
            f"The sandbox said what is no message: {problem.errors()[0]['msg']}.",
            "Trust nothing of this run; check the adapter.",
        ) from None


def _whole(descriptor: int, size: int, deadline: float) -> bytes:
    got = _read(descriptor, size, deadline)
    if len(got) < size:
        raise ShouldRetryLater(
            "The sandbox ended in the middle of its work.", "See its last lines."
        )
    return got


def is_readable(descriptor: int) -> bool:
    """Whether a message, or the end, is there already."""
    return _polled(descriptor, select.POLLIN, 0.0)


def _polled(descriptor: int, event: int, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(descriptor, event)
    return bool(waiting.poll(math.ceil(seconds * 1000)))


def _wait(descriptor: int, event: int, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0 or not _polled(descriptor, event, left):
        raise ShouldRetryLater(
            TOO_LONG, "Give voice.sandbox.timeout_seconds more, or fewer scenarios."
        )


def _read(descriptor: int, size: int, deadline: float | None) -> bytes:
    """``size`` bytes; fewer only where the other side has gone."""
    parts = bytearray()
    while len(parts) < size:
        if deadline is not None:
            _wait(descriptor, select.POLLIN, deadline)
        part = os.read(descriptor, min(size - len(parts), 1 << 20))
        if not part:
            break
        parts += part
    return bytes(parts)
