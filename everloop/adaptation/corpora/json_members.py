"""The members of one large JSON object, one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from everloop.contracts.errors import ShouldRestoreArtefact

_CHUNK = 1 << 20
"""Characters."""


def json_members(path: Path) -> Iterator[tuple[str, Any]]:
    """(name, value) of each member of the object that a file holds; one value is in memory at a time.

    Raises:
        ShouldRestoreArtefact: the file is missing, or holds no JSON object.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            yield from _members(_Window(stream))
    except (OSError, ValueError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} is not the JSON object that it should be ({problem}).",
            "Reinstall its package.",
        ) from problem


def _members(window: _Window) -> Iterator[tuple[str, Any]]:
    window.expect("{")
    if window.take("}"):
        return
    while True:
        name = window.value()
        if not isinstance(name, str):
            raise ValueError(f"{name!r} is no name")
        window.expect(":")
        yield name, window.value()
        if window.take("}"):
            return
        window.expect(",")


class _Window:
    """The part of a text that is being read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._text, self._at = stream, "", 0
        self._decoder = json.JSONDecoder()

    def take(self, mark: str) -> bool:
        """Pass over blanks, and over ``mark`` if it comes next."""
        self._skip()
        found = self._text[self._at] == mark
        self._at += found
        return found

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            raise ValueError(f"{mark!r} is missing")

    def value(self) -> Any:
        """The JSON value that comes next."""
        self._skip()
        while True:
            try:
                value, after = self._decoder.raw_decode(self._text, self._at)
            except ValueError:
                if not self._more():
                    raise
                continue
            # A number that ends where the window does may go on beyond it.
            if after < len(self._text) or not self._more():
                self._at = after
                return value

    def _skip(self) -> None:
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return
            if not self._more():
                raise ValueError("it breaks off")

    def _more(self) -> bool:
        chunk = self._stream.read(_CHUNK)
        self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)
