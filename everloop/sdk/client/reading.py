"""JSON as frozen dataclasses: every declared field with its declared type, or an error that says which.

Fields that a newer service adds are passed over.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from datetime import date, datetime
from typing import Any, TypeVar, cast

import orjson

from everloop.contracts.errors import ShouldUpdateClient

T = TypeVar("T")
_REMEDY = "Install the client of the service's version."


def read_as(kind: type[T]) -> Callable[[bytes], T]:
    """What reads an answer's body as a dataclass.

    Raises (what is returned):
        ShouldUpdateClient: the body is no JSON, or lacks a field, or has one of another type.
    """

    def read(body: bytes) -> T:
        return parse(kind, json_of(body))

    return read


def json_of(body: bytes) -> Any:
    """An answer's JSON.

    Raises:
        ShouldUpdateClient: it is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise ShouldUpdateClient(f"The answer is no JSON ({problem}).", _REMEDY) from None


def parse(kind: type[T], value: Any, place: str = "answer") -> T:
    """A JSON object as a frozen dataclass.

    Raises:
        ShouldUpdateClient: naming the place of what does not fit.
    """
    if not isinstance(value, dict):
        raise _unfit(place, "an object", value)
    found: dict[str, Any] = {}
    for name, hint, required in _fields(cast(Hashable, kind)):
        if name in value:
            found[name] = _value(hint, value[name], f"{place}.{name}")
        elif required:
            raise ShouldUpdateClient(f"{place}.{name} is missing.", _REMEDY)
    return kind(**found)


@functools.cache
def _fields(kind: Hashable) -> tuple[tuple[str, Any, bool], ...]:
    declared = cast(type, kind)
    hints = typing.get_type_hints(declared)
    return tuple(
        (
            each.name,
            hints[each.name],
            each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING,
        )
        for each in dataclasses.fields(declared)
    )


def _value(hint: Any, value: Any, place: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in {types.UnionType, typing.Union}:
        return _either(typing.get_args(hint), value, place)
    if origin is tuple:
        return _items(typing.get_args(hint)[0], value, place)
    if origin is Mapping:
        return _entries(typing.get_args(hint)[1], value, place)
    if dataclasses.is_dataclass(hint):
        return parse(cast(type, hint), value, place)
    return _scalar(hint, value, place)


def _either(hints: tuple[Any, ...], value: Any, place: str) -> Any:
    """``X | None``; no other union is declared."""
    if value is None:
        return None
    return _value(next(hint for hint in hints if hint is not type(None)), value, place)


def _items(hint: Any, value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _unfit(place, "a list", value)
    return tuple(_value(hint, item, f"{place}[{index}]") for index, item in enumerate(value))


def _entries(hint: Any, value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _unfit(place, "an object", value)
    return types.MappingProxyType(
        {name: _value(hint, item, f"{place}.{name}") for name, item in value.items()}
    )


def _scalar(hint: Any, value: Any, place: str) -> Any:
    if hint in {datetime, date}:
        try:
            return hint.fromisoformat(value)
        except (TypeError, ValueError):
            raise _unfit(place, f"a {hint.__name__}", value) from None
    if hint is float and type(value) in {int, float}:
        return float(value)
    if type(value) is not hint:  # a bool is no int here
        raise _unfit(place, f"of type {hint.__name__}", value)
    return value


def _unfit(place: str, wanted: str, value: Any) -> ShouldUpdateClient:
    return ShouldUpdateClient(f"{place} is not {wanted} but {type(value).__name__}.", _REMEDY)
