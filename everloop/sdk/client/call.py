"""One request: what is sent, and how its answer is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from everloop.contracts.canonical import canonical_bytes
from everloop.contracts.errors import ShouldFixArgument

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request that either client sends.

    Attributes:
        route: the path as the service documents it, ``/api/ml/train/{job_id}``.
        path: ``route`` with its values.
        body: JSON, ``None`` for none; it may hold what people said and is never shown.
        read: the answer's body as what the method returns.
        ids: of the records that it carries.
        kept: what the method returns once the request waits in the buffer; ``None`` where it may not.
        repeatable: whether sending it twice does what sending it once does.
        into: file that an answer is written to as it comes, instead of being read.
        accepted: statuses that ``read`` understands besides those of success.
        longest: seconds that its answer may take, where that is more than the client waits otherwise.
    """

    method: str
    route: str
    path: str
    read: Callable[[bytes], T] = field(repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    ids: tuple[str, ...] = ()
    kept: T | None = None
    repeatable: bool = True
    into: Path | None = None
    accepted: frozenset[int] = frozenset()
    longest: float | None = None


def path_of(route: str, **values: str) -> str:
    """A route with its values.

    Raises:
        ShouldFixArgument: a value is empty or can't stand in a path.
    """
    for name, value in values.items():
        if not value or "/" in value or value in {".", ".."}:
            raise ShouldFixArgument(
                f"{name}={value!r} cannot stand in an address.", "Give an id without '/'."
            )
        route = route.replace(f"{{{name}}}", quote(value, safe=""))
    return route


def body_of(value: Any) -> bytes:
    """JSON of a record, or of an object that holds records; absent values are left out.

    Raises:
        ShouldFixArgument: something in it is no finite JSON.
    """
    try:
        return canonical_bytes(_plain(value))
    except (TypeError, ValueError) as problem:
        raise ShouldFixArgument(
            f"The request is not finite JSON ({problem}).",
            "Send finite numbers, text, lists and objects.",
        ) from None


def params_of(**values: str | int | datetime | date | None) -> Mapping[str, str]:
    """Query parameters; absent ones are left out."""
    return {
        name: value.isoformat() if isinstance(value, date) else str(value)
        for name, value in values.items()
        if value is not None
    }


def _plain(value: Any) -> Any:
    """Records as objects, wherever they stand; what is inside a product's own JSON is left as it is."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return {name: _field(item) for name, item in named.items() if item is not None}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _written(value)


def _field(value: Any) -> Any:
    """A record's field: records in a list are written as such, a product's own JSON as it is."""
    if isinstance(value, list | tuple) and any(map(dataclasses.is_dataclass, value)):
        return _plain(value)
    return _written(value)


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
