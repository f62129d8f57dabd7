"""Batches of records: read whole when small, record by record when large.

Checking JSON holds the interpreter's lock for as long as it takes, in whichever thread. Between the
records of a large batch other requests are served.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError

from everloop.contracts.errors import ShouldFixInput
from everloop.serving.problems import MOST_ERRORS
from everloop.serving.reading import (
    INLINE_BYTES,
    LARGEST_BODY,
    LARGEST_EVENT,
    body_within,
    worked_on,
)

T = TypeVar("T")

Errors = Sequence[Any]
"""pydantic's error details."""

_SPACE = re.compile(r"[ \t\r\n]*")
_END = re.compile(r"[ \t\r\n]*\}[ \t\r\n]*")
_SCANNER = json.JSONDecoder()


def _as_they_are(errors: Errors, _: int) -> Errors:
    return errors


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What a batch is made of.

    Attributes:
        body: the whole request; its list stops at the first record that is wrong.
        field: name of the list.
        record: one record.
        most: records of one request.
        meant: which of a record's errors to tell, given all and the place in their ``loc`` where the
            record begins.
    """

    body: type[BaseModel]
    field: str
    record: TypeAdapter[T]
    most: int
    meant: Callable[[Errors, int], Errors] = _as_they_are

    async def received(self, request: Request) -> tuple[list[T], bool]:
        """The records of a request, and whether they are so many that work on them belongs in a thread.

        Raises:
            BodyTooLarge: the body is larger than any batch may be.
            RequestValidationError, ValidationError, ShouldFixInput: as ``read`` does.
        """
        raw = await body_within(request.receive, LARGEST_BODY)
        large = len(raw) > INLINE_BYTES
        return await worked_on(large, lambda: self.read(raw)), large

    def read(self, raw: bytes) -> list[T]:
        """The records of a request body.

        Raises:
            RequestValidationError: a field is wrong; it is named with its record's place.
            ValidationError: so much is wrong that nothing is named.
            ShouldFixInput: a large body is no list of records.
        """
        if len(raw) > LARGEST_EVENT:
            return self._sliced(raw)
        try:
            found: list[T] = getattr(self.body.model_validate_json(raw), self.field)
        except ValidationError as problem:
            raise self._told(problem, 2, ()) from None
        return found

    def _sliced(self, raw: bytes) -> list[T]:
        records: list[T] = []
        for place, text in enumerate(self._texts(raw)):
            if place == self.most:
                raise ShouldFixInput(
                    f"{self.field} has more than {self.most:,} records.", "Send fewer at once."
                )
            try:
                records.append(self.record.validate_json(text))
            except ValidationError as problem:
                raise self._told(problem, 0, (self.field, place)) from None
        return records

    def _told(
        self, problem: ValidationError, begins: int, before: tuple[str | int, ...]
    ) -> ValidationError | RequestValidationError:
        if problem.error_count() > MOST_ERRORS:
            return problem
        errors = self.meant(problem.errors(include_url=False), begins)
        return RequestValidationError([{**e, "loc": (*before, *e["loc"])} for e in errors])

    def _texts(self, raw: bytes) -> Iterator[str]:
        """The JSON of each record. No step takes longer than one record may."""
        try:
            text = raw.decode()
        except UnicodeDecodeError as problem:
            raise ShouldFixInput(f"The body is no UTF-8 ({problem}).", "Send JSON.") from None
        begin = re.match(rf'[ \t\r\n]*{{[ \t\r\n]*"{self.field}"[ \t\r\n]*:[ \t\r\n]*\[', text)
        if begin is None:
            raise self._other("does not begin so")
        at, base, window, place = begin.end(), 0, "", 0
        while True:
            at = _after_space(text, at)
            if not text.startswith("{", at):
                raise self._no_record(place)
            end = _end_of(window, at - base)
            if end is None:
                base, window = at, text[at : at + LARGEST_EVENT]
                end = _end_of(window, 0)
                if end is None:
                    raise self._no_record(place)
            yield text[at : base + end]
            place += 1
            at = _after_space(text, base + end)
            if text.startswith("]", at):
                break
            if not text.startswith(",", at):
                raise self._other(f"has no comma after {self.field}[{place - 1}]")
            at += 1
        if _END.fullmatch(text, at + 1) is None:
            raise self._other("goes on after the list")

    def _no_record(self, place: int) -> ShouldFixInput:
        return ShouldFixInput(
            f"{self.field}[{place}] is no JSON object, or has more than {LARGEST_EVENT // 2**20} MiB.",
            "Send records of the documented form.",
        )

    def _other(self, how: str) -> ShouldFixInput:
        return ShouldFixInput(
            f'A body this large must be {{"{self.field}": [...]}} and nothing else; it {how}.',
            "Send valid JSON of this form.",
        )


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _end_of(window: str, at: int) -> int | None:
    """Where the object at a place ends; ``None`` when it does not end within the window."""
    if at >= len(window):
        return None
    try:
        return _SCANNER.raw_decode(window, at)[1]
    except (ValueError, RecursionError):
        return None
