"""A person's own texts in a file of JSON lines, read as a stream and stored as packages.

A line is ``{"text": …}``, ``{"texts": […]}`` or ``{"said": …, "answered": …}``, with ``timestamp`` (RFC
3339 with an offset) unless one was given for all, ``user_id`` likewise, and optionally ``package_id`` (a
UUID) and ``origin``. Without an id a line is known by what it says, so that a file that was broken off is
read again from its beginning and stores what is missing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from everloop.adaptation.screens.identifiers import identifiers
from everloop.contracts.canonical import canonical_json
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixInput,
    ShouldRespectConsent,
)
from everloop.contracts.voice_ports import VoiceStore
from everloop.contracts.voices import UserDataPackage

_NAMESPACE = uuid.UUID("5d0b2c54-7f7a-4d0a-9d51-6a0c3b8f4f0e")
_BATCH = 200
_LARGEST_LINE = 4 * 1024 * 1024
_FIELDS = frozenset(
    {"text", "texts", "said", "answered", "timestamp", "user_id", "package_id", "origin"}
)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for every line that says nothing else.

    Attributes:
        person: the product's own id -> pseudonym.
    """

    persona: str
    tenant: str
    person: Callable[[str], str]
    user: str | None = None
    written: datetime | None = None
    origin: str = "file"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a file's lines; ``refused``: of people who refused training or were erased.

    ``personal``: lines with what looks like an address, a number or a card; the screens keep such texts
    out of training.
    """

    lines: int = 0
    stored: int = 0
    known: int = 0
    refused: int = 0
    personal: int = 0


def ingest(
    path: Path,
    defaults: Defaults,
    store: VoiceStore,
    actor: str,
    progress: Callable[[int], None],
) -> Ingested:
    """Store a file's lines, some hundred at a time; a second time nothing changes.

    Args:
        progress: told how many bytes were read.

    Raises:
        ShouldFixInput: a line is wrong; its number is named, and what came before it is stored.
        ShouldResolveConflict: a line's id holds another content; its number is named.
    """
    done = Ingested()
    batch: list[tuple[int, UserDataPackage]] = []
    try:
        for number, read, package in _packages(path, defaults):
            batch.append((number, package))
            done = replace(
                done, lines=done.lines + 1, personal=done.personal + _is_personal(package)
            )
            if len(batch) == _BATCH:
                done = _stored(done, path, store, actor, batch)
                batch = []
                progress(read)
    except ShouldFixInput:
        _stored(done, path, store, actor, batch)
        raise
    return _stored(done, path, store, actor, batch)


def _stored(
    done: Ingested,
    path: Path,
    store: VoiceStore,
    actor: str,
    batch: Sequence[tuple[int, UserDataPackage]],
) -> Ingested:
    try:
        new = store.add_packages([package for _, package in batch], actor)
    except EverloopError:  # of one line; which one is found by asking for each
        for number, package in batch:
            done = _stored_alone(done, f"{path}:{number}", store, actor, package)
        return done
    stored = sum(new)
    return replace(done, stored=done.stored + stored, known=done.known + len(new) - stored)


def _stored_alone(
    done: Ingested, place: str, store: VoiceStore, actor: str, package: UserDataPackage
) -> Ingested:
    try:
        new = store.add_package(package, actor)
    except ShouldRespectConsent:
        return replace(done, refused=done.refused + 1)
    except EverloopError as problem:
        raise type(problem)(f"{place}: {problem.message}", problem.remedy) from problem
    return replace(done, stored=done.stored + new, known=done.known + (not new))


def _packages(path: Path, defaults: Defaults) -> Iterator[tuple[int, int, UserDataPackage]]:
    """(number of the line, bytes read so far, package) of every line that is not empty."""
    read = 0
    with path.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(_LARGEST_LINE + 1), b""), 1):
            read += len(line)
            if line.strip():
                yield number, read, _package(f"{path}:{number}", line, defaults)


def _package(place: str, line: bytes, defaults: Defaults) -> UserDataPackage:
    told = _object(place, line)
    user, written = told.get("user_id", defaults.user), _moment(place, told, defaults)
    if not isinstance(user, str) or not user:
        raise ShouldFixInput(f"{place}: user_id={user!r} names nobody.", "Add it, or give --user.")
    texts = told.get("texts", [told["text"]] if "text" in told else [])
    replies = [(told["said"], told["answered"])] if {"said", "answered"} <= told.keys() else []
    if not isinstance(texts, list) or not all(
        isinstance(text, str) for text in (*texts, *(part for reply in replies for part in reply))
    ):
        raise ShouldFixInput(f"{place}: a text is no string.", "Write texts as JSON strings.")
    person = defaults.person(user)
    origin = str(told.get("origin", defaults.origin))
    said = [person, defaults.persona, written.isoformat(), origin, texts, replies]
    try:
        return UserDataPackage(
            package_id=told.get("package_id") or str(uuid.uuid5(_NAMESPACE, canonical_json(said))),
            user_id=person,
            timestamp=written,
            origin=origin,
            texts=tuple(texts),
            replies=tuple(replies),
            persona=defaults.persona,
            tenant=defaults.tenant,
        )
    except ShouldFixInput as problem:
        raise ShouldFixInput(f"{place}: {problem.message}", problem.remedy) from None


def _object(place: str, line: bytes) -> dict[str, Any]:
    if len(line) > _LARGEST_LINE:
        raise ShouldFixInput(
            f"{place} has more than {_LARGEST_LINE // 2**20} MiB.", "Write several lines."
        )
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError as problem:
        raise ShouldFixInput(
            f"{place} is no JSON ({problem}).", "Write one object a line."
        ) from None
    if not isinstance(told, dict) or not told.keys() <= _FIELDS:
        unknown = sorted(told.keys() - _FIELDS) if isinstance(told, dict) else type(told).__name__
        raise ShouldFixInput(
            f"{place}: {unknown} is not known.", f"Write an object of {', '.join(sorted(_FIELDS))}."
        )
    if ("said" in told) != ("answered" in told):
        raise ShouldFixInput(f"{place} has one of said and answered.", "Write both.")
    return told


def _moment(place: str, told: dict[str, Any], defaults: Defaults) -> datetime:
    given = told.get("timestamp")
    if given is None and defaults.written is not None:
        return defaults.written
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ShouldFixInput(
            f"{place}: timestamp={given!r} is no RFC 3339 time with an offset.",
            "Add it, or give --written.",
        )
    return moment


def _is_personal(package: UserDataPackage) -> bool:
    texts = (*package.texts, *(part for reply in package.replies for part in reply))
    return any(next(identifiers(text), None) is not None for text in texts)
