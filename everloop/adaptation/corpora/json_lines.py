"""Conversations in JSON Lines, plain or gzipped, in either of the two shapes that ``CorpusSpec`` names."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, BinaryIO, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from everloop.adaptation.corpora.corpus_row import CorpusRow
from everloop.contracts.errors import ShouldFixInput, ShouldRestoreArtefact
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import Message, Role

MAX_LINE = 10_000_000
"""Bytes of one row; a longer line is no conversation."""


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Role
    content: str


class _Conversation(BaseModel):
    model_config = ConfigDict(extra="ignore")
    messages: Annotated[list[_Turn], Field(min_length=2)]
    category: Category | None = None
    source: str = ""

    def turns(self) -> tuple[Message, ...]:
        return tuple(Message(turn.role, turn.content) for turn in self.messages)


class _Instruction(BaseModel):
    """The product specification's shape; a ``_category`` that is none of ours counts as none."""

    model_config = ConfigDict(extra="ignore")
    instruction: str
    input: str = ""
    output: str
    source: Annotated[str, Field(alias="_source")] = ""
    named: Annotated[str, Field(alias="_category")] = ""

    @property
    def category(self) -> Category | None:
        return _CATEGORIES.get(self.named.strip().lower())

    def turns(self) -> tuple[Message, ...]:
        asked = "\n\n".join(part for part in (self.instruction, self.input) if part.strip())
        return Message("user", asked), Message("assistant", self.output)


_CATEGORIES = {category.value: category for category in Category}


def json_line_rows(path: Path) -> Iterator[CorpusRow]:
    """Rows of a file, one at a time; blank lines are passed over.

    Raises:
        ShouldRestoreArtefact: the file is missing or cannot be read to its end.
        ShouldFixInput: a line is no such row; ``file:line`` is named.
    """
    try:
        with _opened(path) as stream:
            number = 0
            while line := stream.readline(MAX_LINE + 1):
                number += 1
                if line.strip():
                    yield _row(line, f"{path.name}:{number}")
    except (OSError, EOFError, zlib.error) as problem:
        raise ShouldRestoreArtefact(
            f"The corpus {path} cannot be read ({problem}).", "Give a whole file of JSON Lines."
        ) from problem


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    if path.suffix == ".gz":
        return cast(AbstractContextManager[BinaryIO], gzip.open(path, "rb"))
    return path.open("rb")


def _row(line: bytes, place: str) -> CorpusRow:
    if len(line) > MAX_LINE:
        raise ShouldFixInput(f"{place}: the line has over {MAX_LINE:,} bytes.", "Leave it out.")
    try:
        told = json.loads(line)
        shape = _Conversation if isinstance(told, dict) and "messages" in told else _Instruction
        read = shape.model_validate(told)
        return CorpusRow(place, read.turns(), read.category, read.source)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the row"
        raise ShouldFixInput(f"{place}: {where}: {first['msg']}.", "Correct the row.") from None
    except (ValueError, RecursionError) as problem:
        raise ShouldFixInput(f"{place}: this is no JSON ({problem}).", "Correct the row.") from None
